"""Frequency referencing and zero-order phasing of scans against a basis set, before inference.

The edit-off spectrum between 1.5 and 4.15 ppm is fitted with the basis: one shift, one phase, one
broadening and amplitudes that are not negative. The foot of the water line and a flat baseline are projected
out of data and basis alike, so that neither needs to be removed first. A grid over shifts and widths finds
the place, a damped Gauss-Newton search refines it (see `align_search`). The fixed distances between lines
keep one from being taken for another; choline is given a line of its own where the basis has none, since it
is high in tissue and stands next to creatine.
"""

from dataclasses import replace

import numpy as np

from .. import axes
from ..errors import DataError
from .align_problem import BAND_PPM, MAX_SHIFT_PPM, is_certain, on_problem_grid, points_of, problem_of
from .align_search import refine, search
from .scan import check_field

UNCERTAIN = (
    "Warning: hardly any metabolite signal was found between "
    f"{BAND_PPM[0]:g} and {BAND_PPM[1]:g} ppm; reference and phase are uncertain."
)
FAR = (
    f"Warning: the scan stands {MAX_SHIFT_PPM:g} ppm or more from the basis, at the limit of the search; "
    "correct its reference first, for instance with fsl_mrs_proc fshift."
)


def align(scan, basis):
    """Referenced and phased scan, with the shift and the phase that were taken out.

    Both conditions are moved and turned alike, by what the first one (edit-off) says.

    Args:
        scan: Scan of any bandwidth and length.
        basis: BasisSet with the scan's conditions.

    Returns:
        aligned: the Scan on its own time grid.
        shift_hz: how far the scan stands above the basis, + to higher ppm (Hz of the scan).
        phase_rad: its zero-order phase in (-pi, pi]; scan = aligned * exp(i (phase_rad + 2 pi shift_hz t)).

    Raises:
        DataError: the scan is from another field strength than the basis, or cannot be aligned.
        BasisError: the basis does not have the scan's conditions.
    """
    aligner = Aligner(scan, basis)
    (shift_hz,), (phase_rad,), (notes,) = aligner.find(scan.fids[None, 0])
    fids = aligner.remove(scan.fids, shift_hz, phase_rad)
    return replace(scan, fids=fids, notes=scan.notes + notes), float(shift_hz), float(phase_rad)


class Aligner:
    """Alignment of any number of scans of one kind.

    Args:
        scan: Scan that stands for all of them: points, dwell time, frequency and conditions.
        basis: BasisSet with its conditions.

    Raises:
        DataError: the scan is from another field strength than the basis.
        BasisError: the basis does not have the scan's conditions.
    """

    def __init__(self, scan, basis):
        check_field(scan, basis.centre_hz)
        self._times_s = axes.time_axis(scan.points, scan.dwell_s)
        self._frequency_ratio = scan.centre_hz / basis.centre_hz
        self._dwell_s, self._name = scan.dwell_s, scan.name
        self._problem = problem_of(basis, scan.conditions[0], points_of(basis, scan.points * scan.dwell_s))

    def find(self, fids):
        """Shifts and phases of scans.

        Args:
            fids: (scan, point) complex FIDs of the first condition.

        Returns:
            shift_hz (scan,), phase_rad (scan,) as of `align`, and a tuple of warnings for each scan.

        Raises:
            DataError: the search finds no solution.
        """
        problem = self._problem
        data = on_problem_grid(problem, fids, self._dwell_s, self._frequency_ratio)
        data = data / np.maximum(np.linalg.norm(data, axis=-1, keepdims=True), np.finfo(float).tiny)
        try:
            line, shares = refine(problem, data, search(problem, data))
        except (np.linalg.LinAlgError, RuntimeError) as error:  # the second from scipy's nnls
            raise DataError(
                f"The scan could not be aligned to the basis ({error}): check that {self._name} holds 1H metabolite "
                f"lines between {BAND_PPM[0]:g} and {BAND_PPM[1]:g} ppm, and that the basis set does."
            ) from error
        notes = [self._doubts(share, shift_hz) for share, shift_hz in zip(shares, line[:, 0])]
        phase_rad = -((-line[:, 2] + np.pi) % (2 * np.pi) - np.pi)
        return line[:, 0] * self._frequency_ratio, phase_rad, notes

    def remove(self, fids, shift_hz, phase_rad):
        """FIDs (..., point) without a shift and a phase, each a number or an array that broadcasts to (...)."""
        shift_hz, phase_rad = (np.asarray(value)[..., None] for value in (shift_hz, phase_rad))
        return fids * np.exp(-1j * (phase_rad + 2 * np.pi * shift_hz * self._times_s))

    def _doubts(self, share, shift_hz):
        """Warnings about an alignment that may be wrong."""
        problem = self._problem
        notes = () if is_certain(problem, share) else (UNCERTAIN,)
        return notes + (FAR,) if abs(shift_hz) > 0.98 * problem.limit_hz else notes
