"""FSL-MRS's Voigt model of one spectrum at a network's estimate; scale and baseline by least squares.

A network gives relative concentrations, broadening, shift and phase. What is left, one common real
amplitude and a complex polynomial baseline, is linear and fitted to the data. The outcome is a complete
parameter vector of FSL-MRS's ``voigt`` model (Clarke et al., MRM 2021, doi 10.1002/mrm.28630)::

    S = exp(-i (Phi0 + Phi1 nu)) FFT[basis_k exp(-(i eps + gamma + sigma^2 t) t)] conc + baseline

with the axes and scalings of FSL-MRS 2.4, which differ from those of `axes` in two points: the time
axis starts at one dwell time, and the frequency axis ends at plus half the bandwidth. Both matter only
in that FSL-MRS recomputes its figures from the vector.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from .. import axes
from ..errors import BasisError, DataError

PPM_LIMITS = (0.2, 4.2)
"""Fitting range (ppm), FSL-MRS's default for 1H."""

BASELINE_ORDER = 2
"""Order of the polynomial baseline, FSL-MRS's default ("poly, 2")."""

FSL_NORM = 100.0
"""L2 norm that FSL-MRS gives the FID, and the mean of the basis FIDs, before it fits."""

_MIDDLE_PPM = 2.7  # of the strong lines between NAA and creatine's CH2

_GAUSS_HZ_PER_SIGMA = 2.335 * np.sqrt(2) / (2 * np.pi)  # FSL-MRS rounds 2 sqrt(2 ln 2) to 2.335
_FISHER_RIDGE = 1e-5  # FSL-MRS adds it to every diagonal element of the Fisher matrix


@dataclass(frozen=True, eq=False)
class VoigtFit:
    """FSL-MRS's Voigt model of one spectrum, with everything its result files need.

    FIDs are complex (point,) in memory orientation and in the data's amplitude. P = metabolites + 5 +
    2 (order + 1) parameters stand in FSL-MRS's order, see `parameter_names`.

    Attributes:
        names: metabolites, sorted as FSL-MRS reads a basis folder.
        parameters: (P,) in FSL-MRS's internal units.
        covariance: (P, P) of the parameters, from the Fisher information.
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
        lines = ("gamma_0", "sigma_0", "eps_0", "Phi0", "Phi1")
        baseline = (f"B_{part}_{order}" for order in range(BASELINE_ORDER + 1) for part in ("real", "imag"))
        return (*self.names, *lines, *baseline)

    @property
    def concentrations(self):
        """(metabolite,) concentrations in FSL-MRS's raw units."""
        return self.parameters[: len(self.names)]

    @cached_property
    def sds(self):
        """(P,) standard deviations of the parameters (Cramer-Rao bound)."""
        return np.sqrt(np.diagonal(self.covariance))

    @property
    def lorentz_hz(self):
        """Lorentzian FWHM beyond the basis (Hz)."""
        return self.parameters[len(self.names)] / np.pi

    @property
    def gauss_hz(self):
        """Gaussian FWHM beyond the basis (Hz)."""
        return self.parameters[len(self.names) + 1] * _GAUSS_HZ_PER_SIGMA

    @property
    def amplitudes(self):
        """(metabolite,) concentrations that make the data from the basis as it was given, at t = 0."""
        gamma, sigma = self.parameters[len(self.names) : len(self.names) + 2]
        first_point = np.exp(-(gamma + sigma**2 * self.dwell_s) * self.dwell_s)
        return self.concentrations * first_point * self.basis_scaling / self.fid_scaling

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
        return _frequency_axis(self.data.size, self.dwell_s) / self.centre_hz * 1e6 + axes.REFERENCE_PPM

    @cached_property
    def window(self):
        """Slice of the points of a spectrum that lie within the range of the fit."""
        return _window(self.ppm, self.ppm_limits)


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

    fid_scaling = FSL_NORM / np.linalg.norm(fid)
    basis_scaling = FSL_NORM / np.linalg.norm(basis_fids.mean(0))
    nonlinear = nonlinear_parameters(prediction, dwell_s, centre_hz, basis_centre_hz)
    times = np.arange(1, fid.size + 1) * dwell_s
    window = _window(axes.REFERENCE_PPM + _frequency_axis(fid.size, dwell_s) / centre_hz * 1e6, ppm_limits)
    regressors = polynomial_regressors(fid.size, window)

    lines = basis_fids * basis_scaling * _decay(nonlinear, times)
    shapes = axes.fid_to_spectrum(lines) * np.exp(-1j * nonlinear[3])
    target = axes.fid_to_spectrum(fid) * fid_scaling
    scale, weights = linear_fit(target[window], (relative @ shapes)[window], regressors[window])
    parameters = np.concatenate([scale * relative, nonlinear, weights])

    norms = np.linalg.norm(shapes[:, window], axis=-1)
    covariance = _covariance(parameters, lines, times, window, regressors, target, dwell_s)
    return VoigtFit(
        names=names,
        parameters=parameters,
        covariance=covariance,
        data=fid,
        metabolite_fids=lines * np.exp(-1j * nonlinear[3]) * (scale * relative / fid_scaling)[:, None],
        visibility=norms / norms.max(),
        baseline=axes.spectrum_to_fid(regressors @ weights) / fid_scaling,
        fid_scaling=float(fid_scaling),
        basis_scaling=float(basis_scaling),
        dwell_s=float(dwell_s),
        centre_hz=float(centre_hz),
        ppm_limits=tuple(ppm_limits),
    )


def polynomial_regressors(points, window, order=BASELINE_ORDER):
    """FSL-MRS's polynomial baseline, (point, 2 (order + 1)) complex; columns alternate real and imaginary.

    Powers of a variable that runs from -1 to 1 over the window (and is 0 outside), each less its projection
    on the lower columns over the whole spectrum, then cut to the window. FSL-MRS projects with the
    pseudo-inverse of columns that are dependent over the complex numbers (a power and 1j times it), which
    leaves a rest far above rounding in its columns. Weights mean the same here only with the same rest, so
    this projects in that way too.

    Args:
        points: points of the spectrum.
        window: slice of the points that the baseline covers.
        order: order of the polynomial.
    """
    return _regressors(points, window.start, window.stop, order)


@lru_cache(maxsize=8)
def _regressors(points, first, last, order):
    variable = np.zeros(points, dtype=complex)
    variable[first:last] = np.linspace(-1, 1, last - first)
    columns = np.zeros((points, 0), dtype=complex)
    for exponent in range(order + 1):
        power = variable**exponent
        if exponent:
            power = power - columns @ (np.linalg.pinv(columns) @ power)
        columns = np.column_stack([columns, power, 1j * power])
    columns[:first] = columns[last:] = 0
    columns.setflags(write=False)
    return columns


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


def _frequency_axis(points, dwell_s):
    """FSL-MRS's frequency axis (Hz): both band edges included."""
    return np.linspace(-0.5 / dwell_s, 0.5 / dwell_s, points)


def _window(ppm, ppm_limits):
    """Slice from the point nearest to the lower limit to the one before the point nearest to the upper."""
    first, last = (int(np.argmin(np.abs(ppm - limit))) for limit in ppm_limits)
    if last - first < 2 * (BASELINE_ORDER + 2):
        raise DataError(
            f"The spectrum runs from {ppm[0]:.2f} to {ppm[-1]:.2f} ppm and has {last - first} points from "
            f"{ppm_limits[0]} to {ppm_limits[1]} ppm, too few to fit: check its bandwidth and length."
        )
    return slice(first, last)


def nonlinear_parameters(prediction, dwell_s, centre_hz, basis_centre_hz=None):
    """[gamma, sigma, eps, Phi0, Phi1] of FSL-MRS's Voigt model at a network's estimate, (5,).

    Args:
        prediction: Prediction.
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency of the data (Hz).
        basis_centre_hz: that of the basis (Hz), if it differs; see `fit_voigt`.
    """
    middle_hz = axes.ppm_to_hz(_MIDDLE_PPM, centre_hz) - axes.ppm_to_hz(_MIDDLE_PPM, basis_centre_hz or centre_hz)
    eps = -2 * np.pi * (prediction.shift_hz + middle_hz)
    # FSL-MRS's time axis starts one dwell late, so its shift also turns the phase of the first point.
    return np.array(
        [
            np.pi * prediction.lorentz_hz,
            prediction.gauss_hz / _GAUSS_HZ_PER_SIGMA,
            eps,
            -prediction.phase_rad - eps * dwell_s,
            0.0,
        ]
    )


def _decay(nonlinear, times):
    """(point,) factor that broadens and shifts a basis FID."""
    gamma, sigma, eps = nonlinear[:3]
    return np.exp(-(1j * eps + gamma + sigma**2 * times) * times)


def linear_fit(target, model, regressors, penalty=None):
    """Scale of the model (not negative) and weights of the baseline, by real least squares.

    Args:
        target: (point,) complex spectrum.
        model: (point,) complex spectrum to scale.
        regressors: (point, weight) complex.
        penalty: (weight, weight) positive semidefinite matrix P that adds weights @ P @ weights to the sum of
            squares, as of a penalised spline; None for none.
    """
    design = np.column_stack([model, regressors])
    design, wanted = np.concatenate([design.real, design.imag]), np.concatenate([target.real, target.imag])
    if penalty is not None:
        values, vectors = np.linalg.eigh(penalty)
        rows = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
        design = np.concatenate([design, np.column_stack([np.zeros(len(rows)), rows])])
        wanted = np.concatenate([wanted, np.zeros(len(rows))])
    solution = np.linalg.lstsq(design, wanted, rcond=None)[0]
    if solution[0] < 0:
        return 0.0, np.linalg.lstsq(design[:, 1:], wanted, rcond=None)[0]
    return float(solution[0]), solution[1:]


def _covariance(parameters, lines, times, window, regressors, target, dwell_s):
    """Covariance from the Fisher information of the model at the parameters, (P, P), as FSL-MRS has it.

    The noise variance is that of the complex residual within the window. It holds the noise of both
    the real and the imaginary part, hence the factor 1/2 for one of them.

    Args:
        parameters: (P,) vector.
        lines: (metabolite, point) basis FIDs, scaled, broadened and shifted.
        times: (point,) time axis of FSL-MRS (s).
        window: slice of the points that were fitted.
        regressors: (point, weight) baseline.
        target: (point,) data spectrum, scaled.
        dwell_s: dwell time (s).
    """
    count = len(lines)
    sigma, phi0, phi1 = parameters[count + 1], parameters[count + 3], parameters[count + 4]
    frequency = _frequency_axis(times.size, dwell_s)
    phase = np.exp(-1j * (phi0 + phi1 * frequency))[window]
    mixture = parameters[:count] @ lines
    spectra = axes.fid_to_spectrum(np.vstack([lines, mixture, times * mixture, times**2 * mixture]))[:, window] * phase
    shapes, total, first_moment, second_moment = spectra[:count], *spectra[count:]
    jacobian = np.vstack(
        [
            shapes,
            -first_moment,
            -2 * sigma * second_moment,
            -1j * first_moment,
            -1j * total,
            -1j * frequency[window] * total,
            regressors[window].T,
        ]
    )
    weights = parameters[count + 5 :]
    noise = np.var(target[window] - total - regressors[window] @ weights)
    noise = max(noise, np.finfo(float).eps ** 2 * np.var(target))  # an exact model of noise-free data
    stacked = np.concatenate([jacobian.real, jacobian.imag], axis=1)
    fisher = stacked @ stacked.T / noise + _FISHER_RIDGE * np.eye(parameters.size)
    return np.linalg.inv(fisher) / 2
