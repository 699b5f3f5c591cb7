"""The fit behind the alignment of scans: shift, width and phase on a grid, then refined; batched over scans.

At a shift and a width the best phase and amplitudes are a small non-negative least-squares problem. The grid is
the same for all scans, so its templates are made once. The refinement is a Gauss-Newton search in shift,
width and phase with the amplitudes eliminated (variable projection, Kaufman, BIT 1975), damped after
Levenberg and Marquardt.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import nnls

from .. import axes

WIDTHS_HZ = (0.5, 3.0, 7.0, 13.0)
"""Lorentzian broadenings of the basis (FWHM, Hz) on the search grid."""

_MOST_STEPS = 25
_SETTLED = np.array([2e-3, 2e-2, 2e-4])  # Hz, Hz, rad: a smaller step ends the search
_LONGEST = np.array([3.0, 6.0, 1.0])  # Hz, Hz, rad: of one step
_MOST_PIVOTS = 12
_DAMPING = (1e-3, 1e4)  # at the start; above the second the search has come to rest


@dataclass(frozen=True, eq=False)
class Problem:
    """What scans are fitted with, on the basis's time grid.

    Attributes:
        basis: (metabolite, point) FIDs.
        nuisance: (band, term) orthonormal spectra of water's foot and baseline.
        band: (band,) indices of the spectrum.
        dwell_s: dwell time (s).
        limit_hz: largest shift of the search (Hz).
    """

    basis: np.ndarray
    nuisance: np.ndarray
    band: np.ndarray
    dwell_s: float
    limit_hz: float

    @property
    def bin_hz(self):
        """Distance of two points of the spectrum (Hz)."""
        return 1 / (self.basis.shape[-1] * self.dwell_s)

    @cached_property
    def times_s(self):
        """(point,) times of the FIDs (s)."""
        return axes.time_axis(self.basis.shape[-1], self.dwell_s)

    def clear(self, spectra):
        """Spectra (..., band) without what water and baseline can explain."""
        return spectra - (spectra @ self.nuisance.conj()) @ self.nuisance.T

    def decay(self, shift_hz, width_hz):
        """(scan, point) factor that shifts and broadens FIDs, for (scan,) shifts and widths."""
        return np.exp((2j * np.pi * shift_hz - np.pi * width_hz)[:, None] * self.times_s)

    def templates(self, decay):
        """(scan, metabolite, band) spectra of the basis times (scan, point), cleared."""
        return self.clear(axes.spectrum_points(self.basis * decay[:, None], self.band))

    def slopes(self, amplitudes, decay):
        """(scan, band) spectra of t times the sum of the basis at (scan, metabolite) amplitudes, cleared."""
        return self.clear(axes.spectrum_points((amplitudes @ self.basis) * decay * self.times_s, self.band))

    @cached_property
    def grid(self):
        """Grid of the search, the same for all scans.

        Returns:
            places: (place, 2) shifts and widths (Hz), the shifts whole points of the spectrum; all of a width together.
            templates: for every width, (shift, metabolite, band) cleared spectra, as those of `templates`.
            grams, roots: for every width, (shift, metabolite, metabolite), as of `normal`.
        """
        stride = max(int(1.0 / self.bin_hz), 1)
        steps = np.arange(0, self.limit_hz / self.bin_hz + 1, stride).astype(int)
        steps = np.concatenate([-steps[:0:-1], steps])
        shifted = self.band - steps[:, None]
        templates = []
        for decay in self.decay(np.zeros(len(WIDTHS_HZ)), np.array(WIDTHS_HZ)):
            spectra = axes.fid_to_spectrum(self.basis * decay)
            templates.append(self.clear(np.moveaxis(spectra[:, shifted], 1, 0)))
        places = np.array([(step * self.bin_hz, width_hz) for width_hz in WIDTHS_HZ for step in steps])
        return places, templates, *zip(*map(_gram, templates))


def _gram(templates):
    """Products (..., metabolite, metabolite) of (..., metabolite, band) spectra, and their Cholesky factor."""
    gram = (templates @ templates.conj().swapaxes(-1, -2)).real
    count = gram.shape[-1]
    ridge = 1e-6 * np.trace(gram, axis1=-2, axis2=-1) / count
    gram = gram + ridge[..., None, None] * np.eye(count)
    return gram, np.linalg.cholesky(gram)


def _whiten(root, templates, data):
    """Products of templates and data, see `normal`."""
    return np.linalg.solve(root, templates.conj() @ data)


def normal(templates, data):
    """Normal equations of real amplitudes, whitened.

    Args:
        templates: (..., metabolite, band) cleared spectra.
        data: (..., band, scan) cleared spectra.

    Returns:
        gram (..., metabolite, metabolite), root of the same shape, its Cholesky factor, and whitened complex
        (..., metabolite, scan): at the phase p, amplitudes c leave 1 - |w|^2 + |root.T c - w|^2 of the data's
        energy, with w the real part of whitened exp(-i p).
    """
    gram, root = _gram(templates)
    return gram, root, _whiten(root, templates, data)


def _amplitudes(gram, root, whitened, phase_rad):
    """Amplitudes of at least 0 at a phase, and the share of the data's energy that they explain.

    Non-negative least squares for many scans together by block principal pivoting (Portugal, Judice and Vicente,
    Math Comput 1994): what comes out negative is held at 0, what would grow is let go, until nothing changes. The
    few that this does not settle are left to scipy's active-set method.

    Args:
        gram, root: (scan, metabolite, metabolite), as of `normal`.
        whitened: (scan, metabolite) complex.
        phase_rad: (scan,).

    Returns:
        amplitudes (scan, metabolite) and shares (scan,).
    """
    target = (whitened * np.exp(-1j * phase_rad[:, None])).real
    products = np.einsum("smn,sn->sm", root, target)
    identity = np.eye(gram.shape[-1])
    amplitudes, free = np.zeros_like(products), np.ones(products.shape, dtype=bool)
    running = np.arange(len(products))
    for _ in range(_MOST_PIVOTS):
        loose = free[running]
        held = np.where(loose[:, :, None] & loose[:, None], gram[running], identity)
        found = np.linalg.solve(held, np.where(loose, products[running], 0.0)[..., None])[..., 0]
        amplitudes[running] = found
        grows = products[running] - np.einsum("smn,sn->sm", gram[running], found)
        # Above rounding, or a metabolite would come and go.
        wrong = np.where(loose, found < 0, grows > 1e-10 * np.abs(products[running]).max(-1, keepdims=True))
        free[running] = loose ^ wrong
        running = running[wrong.any(-1)]
        if not running.size:
            break
    for scan in running:
        amplitudes[scan] = nnls(root[scan].T, target[scan])[0]
    left = target - np.einsum("snm,sn->sm", root, amplitudes)
    return amplitudes, np.sum(target**2 - left**2, -1)


def search(problem, data):
    """Best (shift_hz, width_hz, phase_rad) of each scan on a grid of whole points of the spectrum.

    Args:
        problem: Problem.
        data: (scan, band) cleared spectra of norm 1.

    Returns:
        (scan, 3).
    """
    places, templates, grams, roots = problem.grid
    # With amplitudes of any sign the energy is (a + |b| cos(2 p - arg b)) / 2 in the phase p. Its largest value
    # bounds the share from above, so that few points need amplitudes of at least 0.
    whitened = np.concatenate([_whiten(root, spectra, data.T) for root, spectra in zip(roots, templates)])
    grams, roots = np.concatenate(grams), np.concatenate(roots)
    energy, beat = np.sum(np.abs(whitened) ** 2, 1), np.sum(whitened**2, 1)
    bounds, phases = (energy + np.abs(beat)) / 2, np.angle(beat) / 2
    best, found = np.full(len(data), -1.0), np.zeros((len(data), 3))
    running = np.arange(len(data))
    for points in np.argsort(-bounds, 0):
        running = running[bounds[points[running], running] > best[running]]
        if not running.size:
            break
        at = points[running]
        for turn in (0.0, np.pi):
            phase_rad = phases[at, running] + turn
            share = _amplitudes(grams[at], roots[at], whitened[at, :, running], phase_rad)[1]
            better = share > best[running]
            done = running[better]
            best[done] = share[better]
            found[done] = np.column_stack([places[at[better]], phase_rad[better]])
    return found


def refine(problem, data, start):
    """Lines at the optimum next to a start.

    Args:
        problem: Problem.
        data: (scan, band) cleared spectra of norm 1.
        start: (scan, 3) shift (Hz), width (Hz), phase (rad).

    Returns:
        (scan, 3) shift, width and phase, and (scan,) the share of the data's energy that is explained.
    """
    lines, trial = start.copy(), start.copy()
    shares = np.full(len(data), -1.0)
    damping = np.full(len(data), _DAMPING[0])
    curvature, slope = np.empty((len(data), 3, 3)), np.empty((len(data), 3))
    running = np.arange(len(data))
    for _ in range(_MOST_STEPS):
        share, new_curvature, new_slope = _expand(problem, data[running], trial[running])
        better = share > shares[running]
        done = running[better]
        lines[done], shares[done] = trial[done], share[better]
        curvature[done], slope[done] = new_curvature[better], new_slope[better]
        damping[running] *= np.where(better, 0.1, 10.0)
        scale = np.einsum("sii->si", curvature[running]) * damping[running, None] + np.finfo(float).tiny
        step = np.linalg.solve(curvature[running] + scale[:, :, None] * np.eye(3), slope[running][..., None])[..., 0]
        step = np.clip(step, -_LONGEST, _LONGEST)
        trial[running] = lines[running] + step
        trial[running, 1] = np.maximum(trial[running, 1], 0)
        moved = (np.abs(trial[running] - lines[running]) > _SETTLED).any(-1)
        running = running[moved & (damping[running] < _DAMPING[1])]
        if not running.size:
            break
    return lines, shares


def _expand(problem, data, lines):
    """Explained share at (scan, 3) lines, and the Gauss-Newton matrix (scan, 3, 3) and slope (scan, 3) there."""
    decay = problem.decay(lines[:, 0], lines[:, 1])
    templates = problem.templates(decay)
    gram, root, whitened = normal(templates, data[..., None])
    amplitudes, shares = _amplitudes(gram, root, whitened[..., 0], lines[:, 2])
    mixture = np.einsum("sm,smb->sb", amplitudes, templates)
    left = data * np.exp(-1j * lines[:, 2:]) - mixture
    later = problem.slopes(amplitudes, decay)
    jacobian = np.stack([2j * np.pi * later, -np.pi * later, 1j * mixture], 1)
    slope = np.einsum("spb,sb->sp", jacobian.conj(), left).real
    curvature = (jacobian @ jacobian.conj().swapaxes(-1, -2)).real
    # What the amplitudes above 0 can follow by themselves is no information on the line.
    free = amplitudes > 0
    shared = (templates @ jacobian.conj().swapaxes(-1, -2)).real * free[..., None]
    held = np.where(free[:, :, None] & free[:, None], gram, np.eye(gram.shape[-1]))
    return shares, curvature - shared.swapaxes(-1, -2) @ np.linalg.solve(held, shared), slope
