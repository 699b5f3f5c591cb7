"""Signal-to-noise ratio and linewidth of every metabolite, as FSL-MRS defines them.

The SNR of a metabolite is the height of its fitted spectrum over the noise, both after a matched
exponential filter. Noise is measured where 1H spectra are empty, below -2 ppm and above 10 ppm. The
linewidth is the full width at half maximum of the most prominent peak of the fitted spectrum.
"""

from dataclasses import dataclass

import numpy as np
from scipy.signal import find_peaks
from scipy.stats import levene

from .. import axes

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
    """SNR and FWHM of a VoigtFit's metabolites.

    FSL-MRS 2.4 gives no linewidth (0) to a metabolite whose peaks are all wider than it expects from the
    broadening alone, as happens with a basis that has a linewidth of its own; here such a metabolite
    gets the width of its most prominent peak. The filter of the SNR takes the smallest linewidth found.

    Returns:
        Quality.
    """
    spectrum = axes.fid_to_spectrum(fit.data)
    noise = noise_points(spectrum.real, fit.ppm)
    metabolites = axes.fid_to_spectrum(fit.metabolite_fids).real[:, fit.window]
    fwhm_hz = np.array([_linewidth(metabolite, fit) for metabolite in metabolites])
    narrowest = fwhm_hz[fwhm_hz > 0].min() if (fwhm_hz > 0).any() else 0.0

    matched = np.exp(-narrowest * fit.dwell_s * np.arange(1, fit.data.size + 1))
    noise_sd = _noise_sd(_detrend(axes.fid_to_spectrum(fit.data * matched)[noise]))
    heights = np.abs(axes.fid_to_spectrum(fit.metabolite_fids * matched).real[:, fit.window]).max(-1)
    tallest = np.abs(spectrum.real[fit.window]).max()
    return Quality(fit.names, heights / noise_sd, fwhm_hz, float(tallest / _noise_sd(spectrum[noise])))


def noise_points(spectrum, ppm):
    """Mask of the points of a 1H spectrum that hold only noise, (point,) bool.

    Where the outer half of the band is quieter or louder than the inner, as after oversampling, only the
    inner is used. (FSL-MRS 2.4.11 takes points that are in either, not in both, for the inner noise, which
    moves its noise regions to -2 to 0.6 ppm and 8.7 to 10 ppm at 2000 Hz and 3 T.)

    Where fewer than 100 points are free of signal, 50 points of each end are added.

    Args:
        spectrum: (point,) real part of the spectrum.
        ppm: (point,) its axis (ppm), ascending.
    """
    first, last = (int(np.argmin(np.abs(ppm - limit))) for limit in NOISE_PPM)
    noise = np.zeros(ppm.size, dtype=bool)
    flat = np.zeros(ppm.size)
    # A band that ends before the limits still gives its outermost point, as in FSL-MRS.
    for region in (slice(0, first + 1), slice(last, ppm.size)):
        noise[region] = True
        flat[region] = _detrend(spectrum[region], ppm[region])
    if noise.sum() < _FEWEST_NOISE_POINTS:
        noise[:_EDGE_POINTS] = noise[-_EDGE_POINTS:] = True
        return noise
    quarter = ppm.size // 4
    outer = np.ones(ppm.size, dtype=bool)
    outer[quarter : ppm.size - quarter] = False
    inner = noise & ~outer
    if inner.sum() < 3 or not (noise & outer).any():
        return noise
    return inner if levene(flat[noise & outer], flat[inner], center="mean").pvalue < _OVERSAMPLED_P else noise


def _noise_sd(spectrum):
    """Standard deviation of complex noise, from its real part."""
    return np.sqrt(2) * np.std(spectrum.real)


def _detrend(values, positions=None):
    """Values less a polynomial through them: of order 4, 1 for up to 20 points, none for up to 2."""
    if values.size <= 2:
        return values
    positions = np.arange(values.size) if positions is None else positions
    # The fit is the same on any linear axis; from -1 to 1 it is well conditioned.
    scaled = np.interp(positions, (positions[0], positions[-1]), (-1, 1))
    powers = np.vander(scaled, 2 if values.size <= 20 else 5)
    return values - powers @ np.linalg.lstsq(powers, values, rcond=None)[0]


def _linewidth(metabolite, fit):
    """FWHM (Hz) of the most prominent peak of a metabolite's real spectrum, 0 without one."""
    height = np.abs(metabolite)
    if not height.any():
        return 0.0
    hz_per_point = 1 / (fit.dwell_s * fit.data.size)
    broadening = 0.5346 * fit.lorentz_hz + np.hypot(np.sqrt(0.2166) * fit.lorentz_hz, fit.gauss_hz)
    # FSL-MRS compares the width in points with twice the broadening in Hz; wider peaks are a second choice.
    for widest in (2 * broadening, None):
        peaks, properties = find_peaks(height / height.max(), prominence=_LEAST_PROMINENCE, width=(None, widest))
        if peaks.size:
            return float(properties["widths"][np.argmax(properties["prominences"])] * hz_per_point)
    return 0.0
