"""Spectroscopic imaging: the network and the Voigt physics over the voxels of a mask, many at a time."""

import tempfile
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..axes import REFERENCE_PPM
from ..errors import DataError
from ..threads import in_chunks
from .basis_grid import on_grid
from .physics import with_model_errors
from .predict import BatchPredictor
from .quality import measure
from .result import FOLDERS, SPECTRA
from .trust import Judge
from .voigt import (
    GAUSS_HZ_PER_SIGMA,
    PPM_LIMITS,
    fit_window,
    frequency_axis,
    nonlinear_parameters,
    parameter_names,
    solve_voigt,
    voigt_fwhm_hz,
)
from .voxel_trust import VoxelTrust

CHUNK = 32
"""Voxels that are worked on together; some 5 MB each."""


@dataclass(frozen=True, eq=False)
class VoxelFits:
    """What the network and FSL-MRS's Voigt model say about the voxels of a Volume, in their order.

    Attributes:
        names: metabolites, sorted.
        parameters: (voxel, parameter) in FSL-MRS's order and units, see `voigt`.
        variances: (voxel, metabolite, metabolite) covariances of the raw concentrations: the model's own where it has
            a calibration, else Cramer-Rao bounds.
        snr, fwhm_hz: (voxel, metabolite) by FSL-MRS's own rules, as `quality.measure` has them.
        fit, baseline: (voxel, point) complex64 FIDs of the whole model and of its baseline, as the data are stored;
            they lie in scratch files.
        uncertain: (voxel,) bool, where the alignment warned.
        failed: (voxel,) bool, where the fit has no solution; all values are 0 there.
        trust: VoxelTrust of all spectra together.
    """

    names: tuple
    parameters: np.ndarray
    variances: np.ndarray
    snr: np.ndarray
    fwhm_hz: np.ndarray
    fit: np.ndarray
    baseline: np.ndarray
    uncertain: np.ndarray
    failed: np.ndarray
    trust: VoxelTrust

    @classmethod
    def empty(cls, names, count, points, folder, trust):
        """Fits of a number of voxels and points that are yet to be made; large arrays lie in a folder."""
        metabolites = len(names)
        return cls(
            names=names,
            parameters=np.zeros((count, len(parameter_names(names)))),
            variances=np.zeros((count, metabolites, metabolites)),
            snr=np.zeros((count, metabolites)),
            fwhm_hz=np.zeros((count, metabolites)),
            fit=_scratch_array((count, points), folder),
            baseline=_scratch_array((count, points), folder),
            uncertain=np.zeros(count, dtype=bool),
            failed=np.zeros(count, dtype=bool),
            trust=trust,
        )

    def leave_out(self, voxels):
        """Set all values of some voxels (voxel,) bool to 0, as of those whose fit has no solution."""
        for values in (self.parameters, self.variances, self.snr, self.fwhm_hz, self.fit, self.baseline):
            values[voxels] = 0
        self.failed[voxels] = True

    @property
    def raw(self):
        """(voxel, metabolite) concentrations in FSL-MRS's raw units."""
        return self.parameters[:, : len(self.names)]

    @property
    def nuisance(self):
        """Maps (voxel,) of the line parameters by FSL-MRS's names: p0 in degrees, p1 in s, widths in Hz."""
        gamma, sigma, _, phi0, phi1 = self.parameters[:, len(self.names) :].T[:5]
        lorentz_hz, gauss_hz = gamma / np.pi, sigma * GAUSS_HZ_PER_SIGMA
        return {
            "p0": np.rad2deg(phi0),
            "p1": -phi1 / (2 * np.pi),
            "combined_lw_group0": voigt_fwhm_hz(lorentz_hz, gauss_hz),
            "gamma_group0": lorentz_hz,
            "sigma_group0": gauss_hz,
        }

    def shift_ppm(self, centre_hz):
        """(voxel,) shift of the model (ppm, positive to lower ppm as in FSL-MRS)."""
        return self.parameters[:, len(self.names) + 2] / (2 * np.pi) / (centre_hz * 1e-6)


def fit_volume(volume, model, basis, scratch, ppm_limits=PPM_LIMITS, progress=False, judged=True):
    """Fit every voxel of a Volume.

    Args:
        volume: Volume.
        model: TrainedModel of its conditions.
        basis: BasisSet that it was trained with.
        scratch: folder for temporary files, which are removed with the arrays that they hold.
        ppm_limits: range of the fit (ppm).
        progress: show a progress bar.
        judged: whether each voxel gets a trust flag.

    Returns:
        VoxelFits of each spectrum that is written, "off" and "diff", or "single".

    Raises:
        DataError, ModelError, BasisError: volume, model and basis set do not belong together, or no voxel can be
            fitted.
    """
    from tqdm import tqdm

    work = _Work(volume, model, basis, ppm_limits, judged)
    count = len(volume.voxels)
    trust = VoxelTrust.empty(count)
    fits = {key: VoxelFits.empty(work.names, count, volume.points, scratch, trust) for key in work.spectra}
    with tqdm(total=count, desc="voxels", unit="voxel", disable=not progress, leave=False) as bar:
        for done in in_chunks(partial(work.run, fits=fits), count, CHUNK):
            bar.update(done)
    if next(iter(fits.values())).failed.all():
        raise DataError(f"{volume.name}: none of the {count} voxels could be fitted: check the scale of the data.")
    return fits


class _Work:
    """What all chunks share; `run` fits one chunk and may run in several threads."""

    def __init__(self, volume, model, basis, ppm_limits, judged):
        like = volume.scan(volume.fids([0])[0])
        self._predict = BatchPredictor(model, like, basis)
        self._judge = Judge(model, basis, 1 / volume.dwell_s) if judged else None
        predicted = model.config.metabolites
        self.names = tuple(sorted(predicted))
        self._order = [predicted.index(name) for name in self.names]
        self.spectra = FOLDERS[:2] if volume.edited else FOLDERS[2:]
        resampled = on_grid(basis.keep(self.names), like)
        self._basis_fids = {key: resampled.spectrum(SPECTRA[key]) for key in self.spectra}
        self._volume, self._ppm_limits, self._basis_centre_hz = volume, ppm_limits, basis.centre_hz
        grid = volume.points, volume.dwell_s
        self._window = fit_window(*grid, volume.centre_hz, ppm_limits)
        self._ppm = REFERENCE_PPM + frequency_axis(*grid) / volume.centre_hz * 1e6

    def run(self, chunk, fits):
        """Fit the voxels of a slice into the VoxelFits of each spectrum; returns their number."""
        count = chunk.stop - chunk.start
        try:
            self._run(chunk, fits)
        except DataError:  # of one of the voxels, which must not take the others with it
            if count > 1:
                return sum(self.run(slice(row, row + 1), fits) for row in range(chunk.start, chunk.stop))
            for one in fits.values():
                one.failed[chunk] = True
        return count

    def _run(self, chunk, fits):
        volume = self._volume
        fids = volume.fids(chunk)
        found, notes = self._predict(fids)
        line = nonlinear_parameters(found, volume.dwell_s, volume.centre_hz, self._basis_centre_hz)
        relative = found.concentrations[:, self._order]
        solved = {}
        for key in self.spectra:
            target = volume.of(fids, SPECTRA[key])
            kind = volume.dwell_s, volume.centre_hz, self._ppm_limits
            solution = solve_voigt(target, self._basis_fids[key], relative, line, *kind)
            widths_hz = line[:, 0] / np.pi, line[:, 1] * GAUSS_HZ_PER_SIGMA
            quality = measure(
                target, solution.metabolite_fids, *widths_hz, self._ppm, self._window, volume.dwell_s, like_host=True
            )
            solved[key] = solution, quality
        if self._judge is not None:
            fits[self.spectra[0]].trust.keep(chunk, self._judge(found.seen))
        count = len(self.names)
        for key, (solution, quality) in solved.items():
            one = fits[key]
            one.snr[chunk], one.fwhm_hz[chunk] = quality
            one.parameters[chunk] = solution.parameters
            bounds = solution.covariance[:, :count, :count]
            one.variances[chunk] = bounds
            if found.uncertainty is not None:
                covariance = found.uncertainty.take(metabolites=self._order).covariance
                largest = solution.parameters[:, :count].max(1)[:, None, None]
                one.variances[chunk] = with_model_errors(bounds, covariance * largest**2)
            one.fit[chunk] = volume.turn(solution.metabolite_fids.sum(1) + solution.baseline)
            one.baseline[chunk] = volume.turn(solution.baseline)
            one.uncertain[chunk] = [bool(note) for note in notes]


def _scratch_array(shape, folder):
    """complex64 array in a file without a name, so that memory need not hold it."""
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, np.complex64, "w+", shape=shape)
