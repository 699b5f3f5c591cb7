"""Signal-to-noise ratio and linewidth of every metabolite, as FSL-MRS defines them.

The SNR of a metabolite is the height of its fitted spectrum over the noise, both after a matched
exponential filter. Noise is measured where 1H spectra are empty, below -2 ppm and above 10 ppm. The
linewidth is the full width at half maximum of the most prominent peak of the fitted spectrum.

FSL-MRS 2.4.11 differs in two details, which `measure` takes over on demand:

- It gives no linewidth (0) to a metabolite whose peaks are all wider than it expects from the broadening
  alone, as happens with a basis that has a linewidth of its own, and then filters with a width of 0. Otherwise
  such a metabolite gets the width of its most prominent peak, and the filter of the SNR takes the smallest
  linewidth found.
- Where it sees oversampling, it takes points that are in the noise or in the outer half of the band, not in both,
  which moves its noise regions to -2 to 0.6 ppm and 8.7 to 10 ppm at 2000 Hz and 3 T. Otherwise only the
  noise in the inner half is taken.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks
from scipy.special import fdtrc

from .. import axes
from .voigt import voigt_fwhm_hz

NOISE_PPM = (-2.0, 10.0)
"""Noise is what lies below the first and above the second (ppm)."""

_FEWEST_NOISE_POINTS = 100
_EDGE_POINTS = 50
_OVERSAMPLED_P = 0.05  # level of Levene's test for a filtered (oversampled) band edge
_LEAST_PROMINENCE = 0.4  # of a peak that has a linewidth, relative to the highest


@dataclass(frozen=True, eq=False)
class Quality:
    """Quality figures of one fit.

    Attributes:
        names: metabolites.
        snr: (metabolite,) signal-to-noise ratios, matched filter.
        fwhm_hz: (metabolite,) linewidths (Hz), 0 where the metabolite shows no peak.
        spectrum_snr: height of the largest peak of the data over its noise, without a filter.
    """

    names: tuple
    snr: np.ndarray
    fwhm_hz: np.ndarray
    spectrum_snr: float


def measure_quality(fit):
    """SNR and FWHM of a VoigtFit's metabolites, as Quality."""
    widths_hz = fit.lorentz_hz, fit.gauss_hz
    snr, fwhm_hz = measure(fit.data, fit.metabolite_fids, *widths_hz, fit.ppm, fit.window, fit.dwell_s)
    spectrum = axes.fid_to_spectrum(fit.data)
    noise = noise_points(spectrum.real, fit.ppm)
    tallest = np.abs(spectrum.real[fit.window]).max()
    return Quality(fit.names, snr, fwhm_hz, float(tallest / _noise_sd(spectrum[noise])))


def measure(data, metabolite_fids, lorentz_hz, gauss_hz, ppm, window, dwell_s, like_host=False):
    """SNR and FWHM of the metabolites of fits.

    Args:
        data: (..., point) complex FIDs.
        metabolite_fids: (..., metabolite, point) their model.
        lorentz_hz, gauss_hz: (...) broadening beyond the basis (FWHM, Hz).
        ppm: (point,) axis of the spectra (ppm), ascending.
        window: slice of the fitted points.
        dwell_s: dwell time (s).
        like_host: whether to follow FSL-MRS in the two details above.

    Returns:
        snr (..., metabolite) and fwhm_hz (..., metabolite).
    """
    broadening = voigt_fwhm_hz(lorentz_hz, gauss_hz)
    shapes = axes.spectrum_points(metabolite_fids, window).real
    fwhm_hz = _linewidths(shapes, 2 * np.asarray(broadening), not like_host) / (dwell_s * ppm.size)
    narrowest = np.min(fwhm_hz if like_host else np.where(fwhm_hz > 0, fwhm_hz, np.inf), -1)
    narrowest = np.where(np.isfinite(narrowest), narrowest, 0.0)

    matched = np.exp(-narrowest[..., None] * dwell_s * np.arange(1, ppm.size + 1))
    heights = np.abs(axes.spectrum_points(metabolite_fids * matched[..., None, :], window).real).max(-1)
    spectra = axes.fid_to_spectrum(np.stack([data, data * matched]))
    # Only the real part counts, and taking it commutes with the removal of a trend.
    noise_sd = _noise_sds(spectra[1].real, *_noise_choice(spectra[0].real, ppm, like_host))
    return heights / noise_sd[..., None], fwhm_hz


def noise_points(spectrum, ppm):
    """Mask of the points of a 1H spectrum that hold only noise, (point,) bool.

    Where the outer half of the band is quieter or louder than the inner, as after oversampling, only the
    inner is used. Where fewer than 100 points are free of signal, 50 points of each end are added.

    Args:
        spectrum: (point,) real part of the spectrum.
        ppm: (point,) its axis (ppm), ascending.
    """
    whole, inner, oversampled = _noise_choice(spectrum, ppm)
    return inner if oversampled else whole


def _noise_choice(spectra, ppm, like_host=False):
    """Masks (point,) of all noise and of the inner noise, and whether the second is to be used, (...) bool.

    Args:
        spectra: (..., point) real parts.
        ppm: (point,) axis.
        like_host: see `measure`.
    """
    first, last = (int(np.argmin(np.abs(ppm - limit))) for limit in NOISE_PPM)
    noise = np.zeros(ppm.size, dtype=bool)
    flat = np.zeros(spectra.shape)
    # A band that ends before the limits still gives its outermost point, as in FSL-MRS.
    for region in (slice(0, first + 1), slice(last, ppm.size)):
        noise[region] = True
        flat[..., region] = _detrend(spectra[..., region], ppm[region])
    unknown = np.zeros(spectra.shape[:-1], dtype=bool)
    if noise.sum() < _FEWEST_NOISE_POINTS:
        noise[:_EDGE_POINTS] = noise[-_EDGE_POINTS:] = True
        return noise, noise, unknown
    quarter = ppm.size // 4
    outer = np.ones(ppm.size, dtype=bool)
    outer[quarter : ppm.size - quarter] = False
    inner = noise ^ outer if like_host else noise & ~outer
    if inner.sum() < 3 or not (noise & outer).any():
        return noise, inner, unknown
    return noise, inner, _levene(flat[..., noise & outer], flat[..., inner]) < _OVERSAMPLED_P


def _levene(*groups):
    """p value of Levene's test for two equal variances, about the means; groups (..., value), result (...)."""
    spreads = [np.abs(group - group.mean(-1, keepdims=True)) for group in groups]
    counts, means = [spread.shape[-1] for spread in spreads], [spread.mean(-1) for spread in spreads]
    total = sum(counts)
    grand = sum(count * mean for count, mean in zip(counts, means)) / total
    between = sum(count * (mean - grand) ** 2 for count, mean in zip(counts, means))
    within = sum(((spread - mean[..., None]) ** 2).sum(-1) for spread, mean in zip(spreads, means))
    with np.errstate(divide="ignore", invalid="ignore"):
        return fdtrc(1, total - 2, (total - 2) * between / within)


def _noise_sds(spectra, whole, inner, oversampled):
    """Standard deviations (...) of the noise in (..., point) real parts, its trend removed; see `_noise_choice`."""
    found = np.empty(oversampled.shape)
    for mask, chosen in ((whole, ~oversampled), (inner, oversampled)):
        if chosen.any():
            found[chosen] = _noise_sd(_detrend(spectra[chosen][..., mask]))
    return found


def _noise_sd(spectrum):
    """Standard deviation of complex noise from its real part, (..., point) to (...)."""
    return np.sqrt(2) * np.std(spectrum.real, axis=-1)


def _detrend(values, positions=None):
    """Real values (..., point) less a polynomial through them: of order 4, 1 for up to 20 points, none for up to 2."""
    points = values.shape[-1]
    if points <= 2:
        return values
    positions = np.arange(points) if positions is None else positions
    # The fit is the same on any linear axis; from -1 to 1 it is well conditioned.
    scaled = np.interp(positions, (positions[0], positions[-1]), (-1, 1))
    powers, _ = np.linalg.qr(np.vander(scaled, 2 if points <= 20 else 5))
    return values - (values @ powers) @ powers.T


def _linewidths(spectra, widest, wider_too):
    """Width in points of the most prominent peak of each spectrum, 0 without one.

    Args:
        spectra: (..., metabolite, point) real parts.
        widest: (...) largest width in points; FSL-MRS compares it with twice the broadening in Hz.
        wider_too: whether a wider peak is taken where there is no other.

    Returns:
        (..., metabolite).
    """
    height = np.abs(spectra).reshape(-1, spectra.shape[-1])
    height = height / np.maximum(height.max(-1, keepdims=True), np.finfo(float).tiny)
    # One search for all: a wall between spectra ends a peak's surroundings as the end of a spectrum does.
    walled = np.column_stack([height, np.full(len(height), 2.0)]).ravel()
    peaks, found = find_peaks(walled, height=(None, 1.5), prominence=_LEAST_PROMINENCE, width=(None, None))
    rows = peaks // (spectra.shape[-1] + 1)
    narrow = found["widths"] <= np.repeat(widest, spectra.shape[-2])[rows]
    order = np.lexsort((found["prominences"], narrow))
    if not wider_too:
        order = order[narrow[order]]
    widths = np.zeros(len(height))
    widths[rows[order]] = found["widths"][order]  # of several peaks of a spectrum the last, the best, stays
    return widths.reshape(spectra.shape[:-1])
