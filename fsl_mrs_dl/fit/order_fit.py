"""Which of two edited spectra is edit-on, by how well a basis set explains them either way.

Editing changes nearly every multiplet: what J leaves in antiphase in edit-off is in phase in edit-on, and lines in the
editing band are gone. So the right order leaves less of the scan than the wrong one, whichever of the shipped basis
set's metabolites there are.
"""

from functools import lru_cache

import numpy as np
from scipy.optimize import nnls

from ..basis.basis_set import EDITED, read_basis, shipped_basis
from .align_problem import is_certain, on_problem_grid, points_of, problem_of
from .align_search import refine, search

MAX_FREQUENCY_DIFFERENCE = 0.1
"""Largest relative difference of spectrometer frequencies at which the shipped basis set still tells."""


def left_unexplained(fids, dwell_s, centre_hz):
    """Share of the energy of two spectra that the shipped basis set leaves, in the order given and the other way round.

    Shift, phase and width are those of what is taken as edit-off; then one set of concentrations, not negative, must
    make both spectra.

    Args:
        fids: (2, point) complex, memory orientation.
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency (Hz).

    Returns:
        (as edit-off and edit-on, as edit-on and edit-off), or None where that tells nothing: the basis set is of
        another field strength, a spectrum is empty, no fit is found, or it explains hardly more than it would of noise.
    """
    basis = _shipped()
    ratio = centre_hz / basis.centre_hz
    if abs(ratio - 1) > MAX_FREQUENCY_DIFFERENCE or not np.isfinite(fids).all():
        return None
    points = points_of(basis, fids.shape[-1] * dwell_s)
    problems = [problem_of(basis, condition, points) for condition in EDITED]
    spectra = on_problem_grid(problems[0], fids, dwell_s, ratio)
    if not np.linalg.norm(spectra, axis=-1).all():
        return None
    spectra = spectra / np.linalg.norm(spectra)
    try:
        left = tuple(_left(problems, pair) for pair in (spectra, spectra[::-1]))
    except (np.linalg.LinAlgError, RuntimeError):  # the second from scipy's nnls
        return None
    return left if is_certain(problems[0], 1 - min(left), spectra=2) else None


@lru_cache(maxsize=1)
def _shipped():
    return read_basis(shipped_basis())


def _left(problems, spectra):
    """Share that is left of (2, band) spectra, edit-off first, of norm 1 together."""
    first = spectra[:1] / np.linalg.norm(spectra[0])
    ((shift_hz, width_hz, phase_rad),), _ = refine(problems[0], first, search(problems[0], first))
    decay = problems[0].decay(np.array([shift_hz]), np.array([width_hz]))
    columns = np.concatenate([problem.templates(decay)[0] for problem in problems], -1)
    data = np.exp(-1j * phase_rad) * spectra.ravel()
    parts = [np.concatenate([values.real, values.imag], -1) for values in (columns, data)]
    return nnls(parts[0].T, parts[1])[1] ** 2
