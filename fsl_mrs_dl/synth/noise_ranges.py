"""The parts of a spectrum that hold nothing but noise, as values to fit."""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter
from scipy.stats import theilslopes

from .. import axes
from ..errors import DataError

SIGNAL_PPM = (0.0, 6.0)
"""Where a 1H spectrum has signal; the automatic choice stays outside (ppm)."""

BLOCK_POINTS = 64
"""Spectra are judged in blocks of this many points, at most twice as many."""

FEWEST_VALUES = 400
"""Fewest values (points x real and imaginary part x conditions) from which a shape is estimated."""

MOST_CORRELATION = 3.0
"""Largest correlation of neighbouring points of white noise, times the root of their number: the magnitude
of a complex mean, so noise alone exceeds x with the probability exp(-x^2), here 1e-4."""

MOST_TAIL = 2.0
"""Largest change along a block, in standard deviations, of a tail that a straight line still describes."""

SPREAD_RATIO = (0.6, 1.6)
"""Spread of a block relative to the inner half of the band: outside, it is a filter's edge or has signal."""

SMOOTH_SPREAD_RATIO = (0.85, 1.2)
"""The same for the median of five neighbouring blocks, which shows the slow fall of a receiver's filter: over
noise of several levels the shape would be less than that of each."""

HIGHEST_DEGREE = 6
"""Of the polynomial that takes the tails of lines out of a range."""

_LEAST_SPREAD = 1e-9  # relative to the FID's maximum: below it there is rounding, not noise
_FEWEST_INNER = 4  # blocks that make a level
_SIGMA_PER_MAD = 1.4826  # of a Gaussian


@dataclass(frozen=True, eq=False)
class NoiseValues:
    """Noise of one scan.

    Attributes:
        values: (value,) real and imaginary parts of all conditions in all ranges, without the tails of
            lines, relative to the FID's maximum.
        ranges_ppm: ((low, high), ...) where they are from, in ascending order (ppm).
        fid_maximum: largest magnitude of the scan's FIDs, in the unit of the scan.
        spectra: (condition, point) complex spectra relative to the FID's maximum.
        ppm: (point,) their axis (ppm).
        name: of the scan.
        notes: what was decided, in words to print.
    """

    values: np.ndarray
    ranges_ppm: tuple
    fid_maximum: float
    spectra: np.ndarray
    ppm: np.ndarray
    name: str
    notes: tuple = ()


def noise_values(fids, dwell_s, centre_hz, ranges_ppm=None, name="The scan"):
    """Take the signal-free parts of a scan's spectra.

    Blocks of about 64 points are judged less a straight line, found with the Theil-Sen estimator, which
    outliers do not move. The automatic choice takes the blocks outside 0 to 6 ppm in which, in every
    condition, neighbouring points are uncorrelated (no lines), the tail is straight, and the spread is that
    of the inner half of the band (no receiver filter). None of the three prefers Gaussian noise to other white noise.

    What remains of water's and other tails in the blocks taken is removed range by range, real and
    imaginary part of each condition for itself (see `_without_tail`): a line less in every block would
    take so much of the noise along that its shape is lost.

    Args:
        fids: (condition, point) complex, memory orientation.
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency (Hz).
        ranges_ppm: ((low, high), ...) to take instead (ppm), as they are.
        name: of the scan, for messages.

    Returns:
        NoiseValues.

    Raises:
        DataError: there is no such part, it is too small, or it is constant.
    """
    fids, notes = _checked(fids, name)
    maximum = float(np.abs(fids).max())
    spectra = axes.fid_to_spectrum(fids / maximum)
    ppm = axes.ppm_axis(fids.shape[1], dwell_s, centre_hz)
    blocks = _blocks(ppm, ranges_ppm, name)
    spread, tail, correlation = (np.array(list(v)) for v in zip(*(_judged(spectra[:, block]) for block in blocks)))
    if max(spread) < _LEAST_SPREAD:
        raise DataError(
            f"{name}: the signal-free parts are constant (spread below {_LEAST_SPREAD:g} of the FID's maximum), so "
            "there is no noise to estimate; give a measured scan."
        )
    inner = np.array([abs(block.start + block.stop - ppm.size) < ppm.size // 2 for block in blocks])
    good = _good(spread, tail, correlation, inner)
    if ranges_ppm is not None:
        notes += _doubts(good)
        good[:] = True
    elif good.any():
        notes += (f"{int(good.sum())} of {len(blocks)} blocks outside 0 to 6 ppm hold only noise.",)
    else:
        raise DataError(
            f"{name}: none of the {len(blocks)} blocks outside 0 to 6 ppm is white noise on a straight tail (the "
            f"smallest correlation of neighbours is {correlation.min():.1f}, up to {MOST_CORRELATION:g} is allowed); "
            "give a scan that is not filtered or denoised, or signal-free ranges with --ppm."
        )
    ranges = _merged([block for block, kept in zip(blocks, good, strict=True) if kept])
    values = np.concatenate([_without_tail(row[part]) for row in _rows(spectra) for part in ranges])
    if values.size < FEWEST_VALUES:
        raise DataError(
            f"{name}: noise needs at least {FEWEST_VALUES} signal-free values, {values.size} were found; give wider "
            "ranges with --ppm, or a scan with more points or bandwidth."
        )
    taken = tuple((round(float(ppm[part.start]), 4), round(float(ppm[part.stop - 1]), 4)) for part in ranges)
    return NoiseValues(values, taken, maximum, spectra, ppm, name, notes)


def _checked(fids, name):
    """Complex (condition, point) FIDs without zero-filling, and notes."""
    fids = np.array(fids, dtype=complex)
    if fids.ndim != 2:
        raise DataError(f"{name}: FIDs must be (condition, point), not {fids.shape}.")
    if not np.isfinite(fids).all():
        raise DataError(f"{name}: FIDs must be finite; repeat the preprocessing that left NaN or infinity.")
    used = np.flatnonzero(fids.any(axis=0))
    if not used.size:
        raise DataError(f"{name}: the FIDs are zero everywhere, so there is no noise; convert the file again.")
    points = int(used[-1]) + 1
    filled = fids.shape[1] - points
    notes = (f"{filled} points of zero-filling were left out.",) if filled else ()
    return fids[:, :points], notes


def _blocks(ppm, ranges_ppm, name):
    """Slices of the axis of `BLOCK_POINTS` to twice as many points; a shorter range of half as many is one."""
    sought = _listed(ranges_ppm) if ranges_ppm else f"below {SIGNAL_PPM[0]:g} or above {SIGNAL_PPM[1]:g}"
    if ranges_ppm is None:
        ranges_ppm = ((-np.inf, SIGNAL_PPM[0]), (SIGNAL_PPM[1], np.inf))
    blocks = []
    for low, high in sorted(ranges_ppm):
        start = max(int(np.searchsorted(ppm, low)), blocks[-1].stop if blocks else 0)
        stop = int(np.searchsorted(ppm, high, side="right"))
        if stop - start >= BLOCK_POINTS // 2:
            edges = np.linspace(start, stop, max(1, (stop - start) // BLOCK_POINTS) + 1).astype(int)
            blocks += [slice(int(first), int(last)) for first, last in zip(edges, edges[1:])]
    if not blocks:
        raise DataError(
            f"{name}: noise is taken where there are {BLOCK_POINTS // 2} points in a row, there are none {sought} ppm "
            f"in a band of {ppm[0]:.2f} to {ppm[-1]:.2f} ppm; give signal-free ranges inside it with --ppm."
        )
    return blocks


def _judged(spectra):
    """What tells whether one block is noise, once it has lost a straight line.

    Args:
        spectra: (condition, point) complex.

    Returns:
        spread: standard deviation, from the median absolute deviation.
        tail: largest change of the straight line along the block, in spreads.
        correlation: largest over the conditions of the correlation of neighbours, times the root of the points.
    """
    place = np.linspace(-0.5, 0.5, spectra.shape[1])
    parts = np.stack([spectra.real, spectra.imag], axis=1)
    slopes = np.array([[theilslopes(row, place)[0] for row in rows] for rows in parts])
    flat = parts - slopes[..., None] * place
    flat -= np.median(flat, axis=-1, keepdims=True)
    spread = _SIGMA_PER_MAD * float(np.median(np.abs(flat)))
    if spread < _LEAST_SPREAD:
        return spread, np.inf, np.inf
    whole = flat[:, 0] + 1j * flat[:, 1]
    neighbours = np.abs((whole[:, 1:] * whole[:, :-1].conj()).sum(-1)) / (np.abs(whole) ** 2).sum(-1)
    return spread, float(np.abs(slopes).max() / spread), float(neighbours.max() * np.sqrt(place.size))


def _good(spread, tail, correlation, inner):
    """Which blocks are noise, (block,) bool; the level is the median of those without lines and bent tails.

    Args:
        spread, tail, correlation: (block,) as `_judged` gives them.
        inner: (block,) bool, the inner half of the band, where no receiver filter falls.
    """
    good = (tail < MOST_TAIL) & (correlation < MOST_CORRELATION)
    if good.any():
        level = np.median(spread[good & inner] if (good & inner).sum() >= _FEWEST_INNER else spread[good])
        # Blocks with lines have no say in the spread of their neighbours.
        smooth = np.interp(np.arange(good.size), np.flatnonzero(good), median_filter(spread[good], 5, mode="mirror"))
        for ratio, (low, high) in ((spread / level, SPREAD_RATIO), (smooth / level, SMOOTH_SPREAD_RATIO)):
            good &= (ratio > low) & (ratio < high)
    return good


def _doubts(good):
    """Notes on given ranges with blocks that are not good, (block,) bool."""
    if good.all():
        return ()
    return (
        f"Warning: {int((~good).sum())} of {good.size} blocks in the given ranges have lines, a bent tail or another "
        "noise level; the estimate may not be of noise.",
    )


def _merged(blocks):
    """Ascending blocks, neighbours joined."""
    joined = []
    for block in blocks:
        if joined and joined[-1].stop == block.start:
            block = slice(joined.pop().start, block.stop)
        joined.append(block)
    return joined


def _rows(spectra):
    """Real and imaginary parts of all conditions, one by one."""
    return [part for spectrum in spectra for part in (spectrum.real, spectrum.imag)]


def _without_tail(row):
    """One part of one range less the polynomial that the Bayesian information criterion asks for.

    Nothing is taken from a range that is zero on average and flat. The rest is scaled to the standard
    deviation that it had before the polynomial took its degrees of freedom.

    Args:
        row: (point,) real.

    Returns:
        (point,).
    """
    points = row.size
    # Orthonormal columns: the fit of degree d is the sum of the first d + 1 projections.
    columns, _ = np.linalg.qr(np.polynomial.chebyshev.chebvander(np.linspace(-1, 1, points), HIGHEST_DEGREE))
    weights = columns.T @ row
    misfit = (row**2).sum() - np.concatenate([[0.0], np.cumsum(weights**2)])
    terms = np.arange(misfit.size)
    best = int(np.argmin(points * np.log(np.maximum(misfit, 1e-300)) + terms * np.log(points)))
    return (row - columns[:, :best] @ weights[:best]) * np.sqrt(points / (points - best))


def _listed(ranges_ppm):
    """Ranges in words."""
    return "in " + ", ".join(f"{low:g} to {high:g}" for low, high in ranges_ppm)
