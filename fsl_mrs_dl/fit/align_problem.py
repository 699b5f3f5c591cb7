"""What scans are aligned with: a basis set's condition in a band of the spectrum, water and baseline taken out."""

from functools import lru_cache

import numpy as np

from .. import axes
from .align_search import Problem

BAND_PPM = (1.5, 4.15)
MAX_SHIFT_PPM = 0.3

LONGEST_S = 0.5
"""What scans hold later than this (s) is mostly noise: it takes time and tells hardly anything of shift and phase."""

CHOLINE_PPM = 3.21
CHOLINES = frozenset({"GPC", "PCh", "Cho", "PCho", "PC"})

WATER_PPM = (4.3, 5.0)
WATER_STEP_PPM = 0.05
WATER_WIDTHS_HZ = (2.0, 8.0, 25.0)
NUISANCE_CUTOFF = 1e-3
"""Water and baseline terms weaker than this, relative to the strongest, are left out."""

CERTAIN_RATIO = 10.0
"""Signal that the basis explains against what it would explain of noise, below which a fit tells nothing."""


def points_of(basis, duration_s):
    """How many points of a BasisSet are fitted to scans of a duration (s)."""
    return min(basis.points, int(np.ceil(min(LONGEST_S, duration_s) / basis.dwell_s)))


def on_problem_grid(problem, fids, dwell_s, frequency_ratio):
    """Spectra (..., band) of FIDs in a Problem's band, cleared.

    Args:
        problem: Problem.
        fids: (..., point) complex.
        dwell_s: their dwell time (s).
        frequency_ratio: their spectrometer frequency over the basis set's: chemical shifts stay where they are, as in
            `scan.resample_scan`.
    """
    on_grid = axes.resample(fids, dwell_s, problem.dwell_s / frequency_ratio, problem.basis.shape[-1])
    return problem.clear(axes.fid_to_spectrum(on_grid)[..., problem.band])


def is_certain(problem, share, spectra=1):
    """Whether a fit with a Problem's basis explains more of spectra than it would of noise.

    Args:
        problem: Problem.
        share: of the spectra's energy that it explains.
        spectra: how many are fitted together, with one set of amplitudes, shift, width and phase.
    """
    fitted = len(problem.basis) + 3
    free = 2 * spectra * (len(problem.band) - problem.nuisance.shape[1]) - fitted
    return (share / fitted) / max((1 - share) / free, 1e-12) >= CERTAIN_RATIO


@lru_cache(maxsize=8)
def problem_of(basis, condition, points):
    """Problem of a condition of a BasisSet (told apart by identity), kept for the scans that follow.

    Args:
        basis: BasisSet.
        condition: name of the condition.
        points: how many points of the basis are fitted to the scans.
    """
    ppm = axes.ppm_axis(points, basis.dwell_s, basis.centre_hz)
    band = np.flatnonzero((ppm > BAND_PPM[0]) & (ppm < BAND_PPM[1]))
    nuisance = _nuisance(points, basis.dwell_s, basis.centre_hz, band)
    fids = basis.spectrum(condition)[:, :points]
    if CHOLINES.isdisjoint(basis.names):
        rate = 2j * np.pi * axes.ppm_to_hz(CHOLINE_PPM, basis.centre_hz) - np.pi * max(basis.linewidth_hz, 1.0)
        choline = np.abs(fids).max() * np.exp(rate * axes.time_axis(points, basis.dwell_s))
        fids = np.concatenate([fids, choline[None]])
    return Problem(fids, nuisance, band, basis.dwell_s, MAX_SHIFT_PPM * 1e-6 * basis.centre_hz)


def _nuisance(points, dwell_s, centre_hz, band):
    """Orthonormal (band, term) spectra that span water's foot and a flat baseline.

    The foot is smooth inside the band, so that a few terms do for any water line; more would cost precision of
    the phase.
    """
    t = axes.time_axis(points, dwell_s)
    places_hz = axes.ppm_to_hz(np.arange(WATER_PPM[0], WATER_PPM[1] + 1e-9, WATER_STEP_PPM), centre_hz)
    rates = 2j * np.pi * places_hz[:, None] - np.pi * np.array(WATER_WIDTHS_HZ)
    water = axes.fid_to_spectrum(np.exp(rates.reshape(-1, 1) * t))[:, band]
    terms = np.concatenate([water, np.ones((1, len(band)))])
    terms /= np.linalg.norm(terms, axis=-1, keepdims=True)
    left, strength, _ = np.linalg.svd(terms.T, full_matrices=False)
    return left[:, strength > NUISANCE_CUTOFF * strength[0]]
