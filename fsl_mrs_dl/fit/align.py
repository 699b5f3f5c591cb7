"""Frequency referencing and zero-order phasing of a scan against a basis set, before inference.

The edit-off spectrum between 1.5 and 4.15 ppm is fitted with the basis: one shift, one phase, one
broadening and amplitudes that are not negative. The foot of the water line and a flat baseline are projected
out of data and basis alike, so that neither needs to be removed first. A grid over shifts and widths finds
the place, a simplex search refines it. The fixed distances between lines keep one from being taken for
another; choline is given a line of its own where the basis has none, since it is high in tissue and stands
next to creatine.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize, nnls

from .. import axes
from .scan import resample_scan

BAND_PPM = (1.5, 4.15)
MAX_SHIFT_PPM = 0.3
WIDTHS_HZ = (0.5, 3.0, 7.0, 13.0)
"""Lorentzian broadenings of the basis (FWHM, Hz) on the search grid."""

CHOLINE_PPM = 3.21
CHOLINES = frozenset({"GPC", "PCh", "Cho", "PCho", "PC"})

WATER_PPM = (4.3, 5.0)
WATER_STEP_PPM = 0.05
WATER_WIDTHS_HZ = (2.0, 8.0, 25.0)
NUISANCE_CUTOFF = 1e-3
"""Water and baseline terms weaker than this, relative to the strongest, are left out."""

CERTAIN_RATIO = 10.0
"""Signal that the basis explains against what it would explain of noise, below which a note warns."""


@dataclass(frozen=True, eq=False)
class _Problem:
    """The fit of one spectrum, on the basis's time grid.

    Attributes:
        basis: (metabolite, point) FIDs.
        data: (band) spectrum without nuisances, norm 1.
        nuisance: (band, term) orthonormal spectra of water's foot and baseline.
        band: (band) indices of the spectrum.
        dwell_s: dwell time (s).
    """

    basis: np.ndarray
    data: np.ndarray
    nuisance: np.ndarray
    band: np.ndarray
    dwell_s: float

    @property
    def bin_hz(self):
        """Distance of two points of the spectrum (Hz)."""
        return 1 / (self.basis.shape[-1] * self.dwell_s)

    def clear(self, spectra):
        """Spectra (..., band) without what water and baseline can explain."""
        return spectra - (spectra @ self.nuisance.conj()) @ self.nuisance.T

    def template(self, shift_hz, width_hz):
        """(metabolite, point) spectra of the shifted and broadened basis."""
        t = axes.time_axis(self.basis.shape[-1], self.dwell_s)
        return axes.fid_to_spectrum(self.basis * np.exp((2j * np.pi * shift_hz - np.pi * width_hz) * t))

    def normal(self, templates):
        """Normal equations of real amplitudes, whitened.

        Args:
            templates: (..., metabolite, band) spectra, nuisances still in them.

        Returns:
            root (..., metabolite, metabolite), the Cholesky factor of the Gram matrix, and whitened
            (..., metabolite, 2): at the phase p, amplitudes c leave 1 - |w|^2 + |root.T c - w|^2 of the data's
            energy, with w = whitened @ (cos p, sin p).
        """
        templates = self.clear(templates)
        gram = (templates @ templates.conj().swapaxes(-1, -2)).real
        count = gram.shape[-1]
        ridge = 1e-6 * np.trace(gram, axis1=-2, axis2=-1) / count
        root = np.linalg.cholesky(gram + ridge[..., None, None] * np.eye(count))
        overlap = templates.conj() @ self.data
        return root, np.linalg.solve(root, np.stack([overlap.real, overlap.imag], -1))


def _share(root, whitened, phase_rad):
    """Share of the data's energy that amplitudes of at least 0 explain at a phase; see `_Problem.normal`."""
    target = whitened @ [np.cos(phase_rad), np.sin(phase_rad)]
    return target @ target - nnls(root.T, target)[1] ** 2


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
        DataError: the scan is from another field strength than the basis.
        BasisError: the basis does not have the scan's conditions.
    """
    problem = _problem(scan, basis)
    limit_hz = MAX_SHIFT_PPM * 1e-6 * basis.centre_hz
    shift_hz, width_hz, phase_rad = _search(problem, limit_hz)
    shift_hz, phase_rad, share = _refine(problem, shift_hz, width_hz, phase_rad)
    notes = _doubts(problem, share, shift_hz, limit_hz)
    shift_hz *= scan.centre_hz / basis.centre_hz
    phase_rad = -((-phase_rad + np.pi) % (2 * np.pi) - np.pi)
    t = axes.time_axis(scan.points, scan.dwell_s)
    fids = scan.fids * np.exp(-1j * (phase_rad + 2 * np.pi * shift_hz * t))
    return replace(scan, fids=fids, notes=scan.notes + notes), float(shift_hz), float(phase_rad)


def _problem(scan, basis):
    """What is fitted: the edit-off spectrum on the basis's grid, no longer than either FID."""
    points = min(basis.points, int(np.ceil(scan.points * scan.dwell_s / basis.dwell_s)))
    fid = resample_scan(scan, basis.dwell_s, points, basis.centre_hz).fids[0]
    ppm = axes.ppm_axis(points, basis.dwell_s, basis.centre_hz)
    band = np.flatnonzero((ppm > BAND_PPM[0]) & (ppm < BAND_PPM[1]))
    nuisance = _nuisance(points, basis.dwell_s, basis.centre_hz, band)
    fids = basis.spectrum(scan.conditions[0])[:, :points]
    if CHOLINES.isdisjoint(basis.names):
        rate = 2j * np.pi * axes.ppm_to_hz(CHOLINE_PPM, basis.centre_hz) - np.pi * max(basis.linewidth_hz, 1.0)
        choline = np.abs(fids).max() * np.exp(rate * axes.time_axis(points, basis.dwell_s))
        fids = np.concatenate([fids, choline[None]])
    empty = _Problem(fids, np.zeros(len(band)), nuisance, band, basis.dwell_s)
    data = empty.clear(axes.fid_to_spectrum(fid)[band])
    return replace(empty, data=data / max(np.linalg.norm(data), np.finfo(float).tiny))


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


def _search(problem, limit_hz):
    """Best (shift_hz, width_hz, phase_rad) on a grid of whole points of the spectrum."""
    stride = max(int(1.0 / problem.bin_hz), 1)
    steps = np.arange(0, limit_hz / problem.bin_hz + 1, stride).astype(int)
    steps = np.concatenate([-steps[:0:-1], steps])
    best = (-1.0, 0.0, 0.0, 0.0)
    for width_hz in WIDTHS_HZ:
        spectra = problem.template(0.0, width_hz)
        root, whitened = problem.normal(np.moveaxis(spectra[:, problem.band - steps[:, None]], 1, 0))
        # With amplitudes of any sign the energy is a quadratic form in (cos, sin) of the phase. Its
        # largest value bounds the share from above, so that few points need amplitudes of at least 0.
        bounds, phasors = np.linalg.eigh(whitened.swapaxes(-1, -2) @ whitened)
        for point in np.argsort(-bounds[:, -1]):
            if bounds[point, -1] <= best[0]:
                break
            phase_rad = np.arctan2(phasors[point, 1, -1], phasors[point, 0, -1])
            for turned_rad in (phase_rad, phase_rad + np.pi):
                share = _share(root[point], whitened[point], turned_rad)
                best = max(best, (share, steps[point] * problem.bin_hz, width_hz, turned_rad))
    return best[1:]


def _refine(problem, shift_hz, width_hz, phase_rad):
    """Shift (Hz), phase (rad) and explained share at the optimum next to a grid point."""

    def unexplained(vector):
        template = problem.template(vector[0], abs(vector[1]))[:, problem.band]
        return 1 - _share(*problem.normal(template), vector[2])

    start = np.array([shift_hz, width_hz, phase_rad])
    simplex = start + np.concatenate([np.zeros((1, 3)), np.diag([1.0, 2.0, 0.3])])
    options = {"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-9, "maxiter": 300}
    found = minimize(unexplained, start, method="Nelder-Mead", options=options)
    return found.x[0], found.x[2], 1 - found.fun


def _doubts(problem, share, shift_hz, limit_hz):
    """Warnings about an alignment that may be wrong."""
    notes = ()
    fitted = len(problem.basis) + 3
    free = 2 * len(problem.band) - 2 * problem.nuisance.shape[1] - fitted
    ratio = (share / fitted) / max((1 - share) / free, 1e-12)
    if ratio < CERTAIN_RATIO:
        notes += (
            "Warning: hardly any metabolite signal was found between "
            f"{BAND_PPM[0]:g} and {BAND_PPM[1]:g} ppm; reference and phase are uncertain.",
        )
    if abs(shift_hz) > 0.98 * limit_hz:
        notes += (
            f"Warning: the scan stands {MAX_SHIFT_PPM:g} ppm or more from the basis, at the limit of the search; "
            "correct its reference first, for instance with fsl_mrs_proc fshift.",
        )
    return notes
