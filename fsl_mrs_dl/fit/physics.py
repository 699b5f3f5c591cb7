"""FSL-MRS's Voigt model of one spectrum at a network's estimate, with what its result files need (see `voigt`)."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .. import axes
from ..errors import BasisError, DataError
from .voigt import (
    GAUSS_HZ_PER_SIGMA,
    PPM_LIMITS,
    fit_window,
    frequency_axis,
    nonlinear_parameters,
    parameter_names,
    solve_voigt,
)


@dataclass(frozen=True, eq=False)
class VoigtFit:
    """FSL-MRS's Voigt model of one spectrum, with everything its result files need.

    FIDs are complex (point,) in memory orientation and in the data's amplitude. P = metabolites + 5 +
    2 (order + 1) parameters stand in FSL-MRS's order, see `parameter_names`.

    Attributes:
        names: metabolites, sorted as FSL-MRS reads a basis folder.
        parameters: (P,) in FSL-MRS's internal units.
        covariance: (P, P) of the parameters, from the Fisher information unless `calibrated`.
        data: FID that was fitted.
        metabolite_fids: (metabolite, point) model FID of every metabolite, without baseline.
        visibility: (metabolite,) norm of each basis spectrum within the range, relative to the largest.
        baseline: FID of the baseline.
        fid_scaling: factor by which FSL-MRS scales the FID.
        basis_scaling: factor by which it scales the basis.
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency (Hz).
        ppm_limits: range of the fit (ppm).
    """

    names: tuple
    parameters: np.ndarray
    covariance: np.ndarray
    data: np.ndarray
    metabolite_fids: np.ndarray
    visibility: np.ndarray
    baseline: np.ndarray
    fid_scaling: float
    basis_scaling: float
    dwell_s: float
    centre_hz: float
    ppm_limits: tuple

    def __post_init__(self):
        count = len(self.parameter_names)
        if self.parameters.shape != (count,) or self.covariance.shape != (count, count):
            raise DataError(
                f"A Voigt fit of {len(self.names)} metabolites has {count} parameters, not "
                f"{self.parameters.shape} with a covariance of {self.covariance.shape}: use fit_voigt."
            )

    @cached_property
    def parameter_names(self):
        """Names of the parameters as FSL-MRS writes them in all_parameters.csv."""
        return parameter_names(self.names)

    @property
    def concentrations(self):
        """(metabolite,) concentrations in FSL-MRS's raw units."""
        return self.parameters[: len(self.names)]

    @cached_property
    def sds(self):
        """(P,) standard deviations of the parameters; Cramer-Rao bounds unless `calibrated`."""
        return np.sqrt(np.diagonal(self.covariance))

    def calibrated(self, covariance):
        """The fit with a model's own covariance of its concentrations in place of the Fisher information's.

        Args:
            covariance: (metabolite, metabolite) of the concentrations relative to the largest, in the order of `names`.
                A metabolite with NaN, whose errors are not known, keeps its bound.
        """
        count = len(self.names)
        combined = self.covariance.copy()
        combined[:count, count:], combined[count:, :count] = 0, 0
        raw = covariance * self.concentrations.max() ** 2
        combined[:count, :count] = with_model_errors(combined[:count, :count], raw)
        return replace(self, covariance=combined)

    @property
    def lorentz_hz(self):
        """Lorentzian FWHM beyond the basis (Hz)."""
        return self.parameters[len(self.names)] / np.pi

    @property
    def gauss_hz(self):
        """Gaussian FWHM beyond the basis (Hz)."""
        return self.parameters[len(self.names) + 1] * GAUSS_HZ_PER_SIGMA

    @property
    def amplitude_scaling(self):
        """Factor from FSL-MRS's raw concentrations to `amplitudes`."""
        gamma, sigma = self.parameters[len(self.names) : len(self.names) + 2]
        first_point = np.exp(-(gamma + sigma**2 * self.dwell_s) * self.dwell_s)
        return first_point * self.basis_scaling / self.fid_scaling

    @property
    def amplitudes(self):
        """(metabolite,) concentrations that make the data from the basis as it was given, at t = 0."""
        return self.concentrations * self.amplitude_scaling

    @cached_property
    def predicted(self):
        """FID of the whole model, baseline included."""
        return self.metabolite_fids.sum(0) + self.baseline

    @property
    def residual(self):
        """FID of the data less the model."""
        return self.data - self.predicted

    @cached_property
    def ppm(self):
        """(point,) chemical shifts (ppm), ascending, on FSL-MRS's axis."""
        return frequency_axis(self.data.size, self.dwell_s) / self.centre_hz * 1e6 + axes.REFERENCE_PPM

    @cached_property
    def window(self):
        """Slice of the points of a spectrum that lie within the range of the fit."""
        return fit_window(self.data.size, self.dwell_s, self.centre_hz, self.ppm_limits)


def with_model_errors(bounds, covariance):
    """A model's covariances of concentrations, completed where it has none.

    Args:
        bounds: (..., metabolite, metabolite) from the Fisher information.
        covariance: (..., metabolite, metabolite) of the model, in the same units; NaN in the rows and columns of
            metabolites whose errors are not known, which keep their bounds.
    """
    unknown = np.isnan(np.diagonal(covariance, axis1=-2, axis2=-1))
    both = unknown[..., :, None] & unknown[..., None, :]
    # Between what is known and what is not there is no covariance.
    return np.where(both, bounds, np.nan_to_num(covariance))


def fit_voigt(fid, basis_fids, prediction, dwell_s, centre_hz, basis_centre_hz=None, ppm_limits=PPM_LIMITS):
    """Fit the scale and the baseline of one spectrum, at a network's estimate of everything else.

    Args:
        fid: (point,) complex data, memory orientation.
        basis_fids: (metabolite, point) complex, on the data's time grid, in the order of prediction.names.
        prediction: Prediction for the scan that the spectrum belongs to.
        dwell_s: dwell time of both (s).
        centre_hz: spectrometer frequency of the data (Hz).
        basis_centre_hz: that of the basis (Hz), if it differs. FSL-MRS takes a basis in Hz as it is, so only
            the middle of the spectrum can be put right.
        ppm_limits: range of the fit (ppm).

    Returns:
        VoigtFit with the metabolites sorted by name. A metabolite without signal in this spectrum (Cr in a
        difference) keeps the network's value, with a standard deviation that shows it as undetermined.

    Raises:
        DataError: the FID holds nothing, or values that are not numbers.
        BasisError: the basis does not fit the FID or the prediction.
    """
    fid, basis_fids = np.asarray(fid, dtype=complex), np.asarray(basis_fids, dtype=complex)
    _check(fid, basis_fids, prediction)
    order = sorted(range(len(prediction.names)), key=prediction.names.__getitem__)
    names = tuple(prediction.names[index] for index in order)
    basis_fids, relative = basis_fids[order], prediction.concentrations[order]

    nonlinear = nonlinear_parameters(prediction, dwell_s, centre_hz, basis_centre_hz)
    solution = solve_voigt(fid, basis_fids, relative, nonlinear, dwell_s, centre_hz, ppm_limits)
    return VoigtFit(
        names=names,
        parameters=solution.parameters,
        covariance=solution.covariance,
        data=fid,
        metabolite_fids=solution.metabolite_fids,
        visibility=solution.visibility,
        baseline=solution.baseline,
        fid_scaling=float(solution.fid_scaling),
        basis_scaling=float(solution.basis_scaling),
        dwell_s=float(dwell_s),
        centre_hz=float(centre_hz),
        ppm_limits=tuple(ppm_limits),
    )


def _check(fid, basis_fids, prediction):
    """Raise where data, basis and prediction cannot belong together."""
    if fid.ndim != 1 or not np.isfinite(fid).all() or not fid.any():
        raise DataError(
            f"A fit needs one FID of finite values that are not all 0, not an array of shape {fid.shape} with "
            f"{int((~np.isfinite(fid)).sum())} non-finite values: check the scan."
        )
    if basis_fids.shape != (len(prediction.names), fid.size):
        raise BasisError(
            f"The basis must hold {len(prediction.names)} metabolites of {fid.size} points as the data does, "
            f"not {basis_fids.shape}: resample it and keep the metabolites of the prediction."
        )
    if not np.isfinite(basis_fids).all() or not basis_fids.mean(0).any():
        raise BasisError("The basis spectra hold no signal, or values that are not finite: check the basis.")
