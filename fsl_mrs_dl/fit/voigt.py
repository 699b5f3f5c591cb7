"""FSL-MRS's Voigt model of spectra at a network's estimates; scale and baseline by least squares.

A network gives relative concentrations, broadening, shift and phase. What is left, one common real
amplitude and a complex polynomial baseline, is linear and fitted to the data. The outcome is a complete
parameter vector of FSL-MRS's ``voigt`` model (Clarke et al., MRM 2021, doi 10.1002/mrm.28630)::

    S = exp(-i (Phi0 + Phi1 nu)) FFT[basis_k exp(-(i eps + gamma + sigma^2 t) t)] conc + baseline

with the axes and scalings of FSL-MRS 2.4, which differ from those of `axes` in two points: the time
axis starts at one dwell time, and the frequency axis ends at plus half the bandwidth. Both matter only
in that FSL-MRS recomputes its figures from the vector. Everything is batched over leading axes.
"""

from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from .. import axes
from ..errors import DataError

PPM_LIMITS = (0.2, 4.2)
"""Fitting range (ppm), FSL-MRS's default for 1H."""

BASELINE_ORDER = 2
"""Order of the polynomial baseline, FSL-MRS's default ("poly, 2")."""

FSL_NORM = 100.0
"""L2 norm that FSL-MRS gives the FID, and the mean of the basis FIDs, before it fits."""

_MIDDLE_PPM = 2.7  # of the strong lines between NAA and creatine's CH2

GAUSS_HZ_PER_SIGMA = 2.335 * np.sqrt(2) / (2 * np.pi)  # FSL-MRS rounds 2 sqrt(2 ln 2) to 2.335
_FISHER_RIDGE = 1e-5  # FSL-MRS adds it to every diagonal element of the Fisher matrix


def voigt_fwhm_hz(lorentz_hz, gauss_hz):
    """Full width at half maximum (Hz) of a Voigt line, from those of its parts (Hz), good to 0.02 %.

    Source: Olivero and Longbothum, J Quant Spectrosc Radiat Transfer 17:233 (1977).
    """
    return 0.5346 * lorentz_hz + np.hypot(np.sqrt(0.2166) * lorentz_hz, gauss_hz)


def parameter_names(metabolites):
    """Names of the parameters of the model, as FSL-MRS writes them in all_parameters.csv."""
    lines = ("gamma_0", "sigma_0", "eps_0", "Phi0", "Phi1")
    baseline = (f"B_{part}_{order}" for order in range(BASELINE_ORDER + 1) for part in ("real", "imag"))
    return (*metabolites, *lines, *baseline)


@dataclass(frozen=True, eq=False)
class VoigtSolution:
    """The fields of `VoigtFit` that depend on the data, for spectra (...): each has these axes in front."""

    parameters: np.ndarray
    covariance: np.ndarray
    metabolite_fids: np.ndarray
    visibility: np.ndarray
    baseline: np.ndarray
    fid_scaling: np.ndarray
    basis_scaling: float


def solve_voigt(fids, basis_fids, relative, nonlinear, dwell_s, centre_hz, ppm_limits=PPM_LIMITS):
    """Fit the scale and the baseline of spectra, at estimates of everything else.

    Args:
        fids: (..., point) complex data, memory orientation, none of them 0 everywhere.
        basis_fids: (metabolite, point) complex, on the data's time grid.
        relative: (..., metabolite) concentrations up to one factor.
        nonlinear: (..., 5) [gamma, sigma, eps, Phi0, Phi1], see `nonlinear_parameters`.
        dwell_s, centre_hz, ppm_limits: as `fit_voigt`.

    Returns:
        VoigtSolution, metabolites in the order given.

    Raises:
        DataError: the spectra cannot be fitted.
    """
    points = fids.shape[-1]
    window = fit_window(points, dwell_s, centre_hz, ppm_limits)
    regressors = polynomial_regressors(points, window)
    times = np.arange(1, points + 1) * dwell_s
    fid_scaling = FSL_NORM / np.linalg.norm(fids, axis=-1)
    basis_scaling = FSL_NORM / np.linalg.norm(basis_fids.mean(0))
    phase = np.exp(-1j * nonlinear[..., 3])[..., None]

    lines = basis_fids * basis_scaling * _decay(nonlinear, times)[..., None, :]
    shapes = axes.spectrum_points(lines, window)
    target = axes.spectrum_points(fids, window) * fid_scaling[..., None]
    model = np.einsum("...m,...mb->...b", relative, shapes) * phase
    scale, weights = linear_fit(target, model, regressors[window])
    concentrations = scale[..., None] * relative
    parameters = np.concatenate([concentrations, nonlinear, weights], -1)

    norms = np.linalg.norm(shapes, axis=-1)
    covariance = _covariance(parameters, lines, shapes, times, window, regressors, target, dwell_s)
    amplitudes = concentrations * phase / fid_scaling[..., None]
    return VoigtSolution(
        parameters=parameters,
        covariance=covariance,
        metabolite_fids=lines * amplitudes[..., None],
        visibility=norms / norms.max(-1, keepdims=True),
        baseline=axes.spectrum_to_fid(weights @ regressors.T) / fid_scaling[..., None],
        fid_scaling=fid_scaling,
        basis_scaling=basis_scaling,
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


def frequency_axis(points, dwell_s):
    """FSL-MRS's frequency axis (Hz): both band edges included."""
    return np.linspace(-0.5 / dwell_s, 0.5 / dwell_s, points)


def fit_window(points, dwell_s, centre_hz, ppm_limits=PPM_LIMITS):
    """Slice of the points of a spectrum that lie within the range of the fit."""
    return _window(axes.REFERENCE_PPM + frequency_axis(points, dwell_s) / centre_hz * 1e6, ppm_limits)


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
    """[gamma, sigma, eps, Phi0, Phi1] of FSL-MRS's Voigt model at a network's estimate, (..., 5).

    Args:
        prediction: Prediction, or another holder of lorentz_hz, gauss_hz, shift_hz and phase_rad (numbers or arrays).
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency of the data (Hz).
        basis_centre_hz: that of the basis (Hz), if it differs; see `fit_voigt`.
    """
    middle_hz = axes.ppm_to_hz(_MIDDLE_PPM, centre_hz) - axes.ppm_to_hz(_MIDDLE_PPM, basis_centre_hz or centre_hz)
    eps = -2 * np.pi * (prediction.shift_hz + middle_hz)
    # FSL-MRS's time axis starts one dwell late, so its shift also turns the phase of the first point.
    return np.stack(
        [
            np.pi * prediction.lorentz_hz,
            prediction.gauss_hz / GAUSS_HZ_PER_SIGMA,
            eps,
            -prediction.phase_rad - eps * dwell_s,
            np.zeros_like(eps),
        ],
        -1,
    )


def _decay(nonlinear, times):
    """(..., point) factor that broadens and shifts a basis FID, for (..., 5) nonlinear parameters."""
    gamma, sigma, eps = np.moveaxis(nonlinear[..., :3, None], -2, 0)
    return np.exp(-(1j * eps + gamma + sigma**2 * times) * times)


@contextmanager
def _solvable():
    """Says of a system of equations without a solution what can be done."""
    try:
        yield
    except np.linalg.LinAlgError as error:
        raise DataError(
            f"The spectrum could not be fitted ({error}): check the scan, most of all its scale and its "
            "preprocessing, with mrs_tools vis."
        ) from error


@_solvable()
def linear_fit(target, model, regressors, penalty=None):
    """Scale of the model (not negative) and weights of the baseline, by real least squares.

    Args:
        target: (..., point) complex spectra.
        model: (..., point) complex spectra to scale.
        regressors: (point, weight) complex.
        penalty: (weight, weight) positive semidefinite matrix P that adds weights @ P @ weights to the sum of
            squares, as of a penalised spline; None for none.

    Returns:
        scale (...) and weights (..., weight).

    Raises:
        DataError: the least-squares problem has no solution.
    """
    design = np.concatenate([regressors.real, regressors.imag])
    rows = np.zeros((0, design.shape[1]))
    if penalty is not None:
        values, vectors = np.linalg.eigh(penalty)
        rows = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    design = np.concatenate([design, rows])
    both = np.stack([target, model])
    both = np.concatenate([both.real, both.imag, np.zeros((*both.shape[:-1], len(rows)))], -1)
    # What the baseline can explain leaves both; the scale is fitted to the rest (Frisch, Waugh, Lovell).
    weights = np.linalg.lstsq(design, both.reshape(-1, len(design)).T, rcond=None)[0].T
    wanted, rest = both - (weights @ design.T).reshape(both.shape)
    overlap, energy = np.sum(wanted * rest, -1), np.sum(rest * rest, -1)
    scale = np.maximum(overlap, 0) / np.where(energy > 0, energy, 1)
    of_target, of_model = weights.reshape(2, *scale.shape, -1)
    return scale, of_target - scale[..., None] * of_model


@_solvable()
def _covariance(parameters, lines, shapes, times, window, regressors, target, dwell_s):
    """Covariance from the Fisher information of the model at the parameters, (..., P, P), as FSL-MRS has it.

    The noise variance is that of the complex residual within the window. It holds the noise of both
    the real and the imaginary part, hence the factor 1/2 for one of them.

    Args:
        parameters: (..., P) vectors.
        lines: (..., metabolite, point) basis FIDs, scaled, broadened and shifted.
        shapes: (..., metabolite, band) their spectra within the window.
        times: (point,) time axis of FSL-MRS (s).
        window: slice of the points that were fitted.
        regressors: (point, weight) baseline.
        target: (..., band) data spectra within the window, scaled.
        dwell_s: dwell time (s).
    """
    count = lines.shape[-2]
    concentrations, weights = parameters[..., :count], parameters[..., count + 5 :]
    sigma, phi0, phi1 = (parameters[..., count + place, None] for place in (1, 3, 4))
    frequency = frequency_axis(times.size, dwell_s)[window]
    phase = np.exp(-1j * (phi0 + phi1 * frequency))
    later = np.einsum("...m,...mp->...p", concentrations, lines) * times
    moments = axes.spectrum_points(np.stack([later, later * times], -2), window) * phase[..., None, :]
    first_moment, second_moment = moments[..., 0, :], moments[..., 1, :]
    shapes = shapes * phase[..., None, :]
    total = np.einsum("...m,...mb->...b", concentrations, shapes)
    line = [-first_moment, -2 * sigma * second_moment, -1j * first_moment, -1j * total, -1j * frequency * total]
    baseline = np.broadcast_to(regressors[window].T, (*target.shape[:-1], *regressors[window].T.shape))
    jacobian = np.concatenate([shapes, np.stack(line, -2), baseline], -2)
    noise = np.var(target - total - weights @ regressors[window].T, axis=-1)
    noise = np.maximum(noise, np.finfo(float).eps ** 2 * np.var(target, axis=-1))  # an exact model of noise-free data
    stacked = np.concatenate([jacobian.real, jacobian.imag], axis=-1)
    fisher = stacked @ stacked.swapaxes(-1, -2) / noise[..., None, None]
    return np.linalg.inv(fisher + _FISHER_RIDGE * np.eye(parameters.shape[-1])) / 2
