"""How fast spectroscopic imaging is fitted: whole commands, timed on the same voxels and cores.

Every command is run on all voxels of a mask and on a few of them. The time of the few is mostly start-up (imports,
reading, workers); what a voxel takes is the difference of the two over the difference in voxels.
"""

import subprocess
import sys
import time
from dataclasses import dataclass

import nibabel
import numpy as np

from .. import axes
from ..errors import ConfigError, FslMrsDlError
from ..fit.nifti_input import open_image
from ..fit.volume import read_mask

POINTS, DWELL_S, VOXEL_MM = 1024, 5e-4, 10.0
"""Grid of simulated voxels."""


@dataclass(frozen=True)
class Speed:
    """Times of one command.

    Attributes:
        name: of the command.
        voxels, few: how many voxels all and the few are.
        wall_s, few_wall_s: wall time of the whole command on all and on the few (s), medians of the runs.
        cpu_s, few_cpu_s: processor time of all its processes (s), likewise.
    """

    name: str
    voxels: int
    few: int
    wall_s: float
    few_wall_s: float
    cpu_s: float
    few_cpu_s: float

    @property
    def voxels_per_s(self):
        """Voxels per second of wall time of the whole command, start-up included."""
        return self.voxels / self.wall_s

    @property
    def further_per_s(self):
        """Voxels per second of wall time once the command has started; NaN where the runs are too short to tell."""
        further_s = self.wall_s - self.few_wall_s
        return (self.voxels - self.few) / further_s if further_s > 0 else float("nan")

    @property
    def cpu_ms(self):
        """Processor time that a voxel takes once the command has started (ms)."""
        return 1e3 * (self.cpu_s - self.few_cpu_s) / (self.voxels - self.few)


def simulate_grid(folder, basis, shape, seed=1):
    """Write data.nii.gz and mask.nii.gz of random contents of a basis set of one spectrum.

    Contents are uniform in 0.1 to 1, shifts in -8 to 8 Hz, Lorentzian broadenings in 2 to 7 Hz, phases in -0.6 to 0.6
    rad; the noise has a standard deviation of 0.01 of the FID's maximum.

    Args:
        folder: Path that exists.
        basis: BasisSet of one condition.
        shape: (x, y, z) voxels.
        seed: of the random numbers.

    Returns:
        Paths of the data and of the mask.
    """
    from nifti_mrs.create_nmrs import gen_nifti_mrs

    random = np.random.default_rng(seed)
    fids = basis.resample(DWELL_S, POINTS).fids[0]
    t = axes.time_axis(POINTS, DWELL_S)
    data = np.empty((*shape, POINTS), np.complex64)
    for slab in range(shape[2]):  # one at a time, as large grids would take much memory
        grid = shape[:2]
        rate = 2j * np.pi * random.uniform(-8, 8, grid) - np.pi * random.uniform(2, 7, grid)
        lines = np.exp(rate[..., None] * t + 1j * random.uniform(-0.6, 0.6, grid)[..., None])
        clean = random.uniform(0.1, 1, (*grid, len(fids))) @ fids * lines
        clean /= np.abs(clean).max(-1, keepdims=True)
        noise = random.standard_normal((2, *clean.shape))
        data[:, :, slab] = clean + 0.01 * (noise[0] + 1j * noise[1])
    affine = np.diag([VOXEL_MM, VOXEL_MM, VOXEL_MM, 1])
    paths = folder / "data.nii.gz", folder / "mask.nii.gz"
    gen_nifti_mrs(data, DWELL_S, basis.centre_hz / 1e6, affine=affine).save(paths[0])
    nibabel.save(nibabel.Nifti1Image(np.ones(shape, np.uint8), affine), paths[1])
    return paths


def few_of(mask, few, path):
    """Write a mask of the first few voxels of another one; returns how many voxels the other one has.

    Raises:
        ConfigError: it has not more than the few.
        DataError: it cannot be read or is empty.
    """
    image = open_image(mask)
    chosen = read_mask(mask, image.shape[:3], "the data")
    places = np.argwhere(chosen)
    if len(places) <= few:
        raise ConfigError(f"Times of {len(places)} voxels say nothing: give a mask of more than {few}.")
    fewer = np.zeros(chosen.shape, np.uint8)
    fewer[tuple(places[:few].T)] = 1
    nibabel.save(nibabel.Nifti1Image(fewer, image.affine), path)
    return len(places)


def commands(data, basis, model, internal_ref, folder, workers=()):
    """Name -> function of a mask's path that gives the words of a command.

    Args:
        data, basis, model: as of fsl_mrs_dl fit.
        internal_ref: metabolites of the internal reference.
        folder: Path for the results.
        workers: numbers of worker processes to run FSL-MRS's Newton fit with; 0 is all in one process.
    """

    def words(module, number, mask, *more):
        given = ["--data", data, "--mask", mask, "--basis", basis, "--output", folder / f"out_{number}", "--overwrite"]
        return [sys.executable, "-m", module, *map(str, given), *more, "--internal_ref", *internal_ref]

    ours = {"fsl_mrs_dl": (), "fsl_mrs_dl --no_trust": ("--no_trust",)}
    made = {
        name: lambda mask, more=more: words("fsl_mrs_dl.cli.main", "dl", mask, "--model", str(model), *more)
        for name, more in ours.items()
    }
    for count in workers:
        parallel = ("--parallel-workers", str(count)) if count else ("--parallel", "off")
        name = f"fsl_mrsi (Newton), {f'{count} workers' if count else 'one process'}"
        made[name] = lambda mask, count=count, how=parallel: words("fsl_mrs.scripts.fsl_mrsi", count, mask, *how)
    return made


def measure_speed(name, command, all_voxels, few_voxels, repeats=1, timer=None):
    """Speed of a command.

    Args:
        name: of it.
        command: function of a mask's path that gives its words.
        all_voxels, few_voxels: (path of a mask, its number of voxels).
        repeats: how often it is run on each, in turn.
        timer: as `time_command`, which it is if None.
    """
    runs = [[(timer or time_command)(command(mask)) for mask, _ in (all_voxels, few_voxels)] for _ in range(repeats)]
    (wall_s, cpu_s), (few_wall_s, few_cpu_s) = np.median(runs, 0).tolist()
    return Speed(name, all_voxels[1], few_voxels[1], wall_s, few_wall_s, cpu_s, few_cpu_s)


def time_command(words):
    """(wall, processor) seconds of a command and all its processes.

    Raises:
        FslMrsDlError: it fails; with the last line that it printed.
    """
    import resource

    def cpu_s():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    start, before = time.perf_counter(), cpu_s()
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "it printed nothing").splitlines()[-1]
        raise FslMrsDlError(f"{' '.join(words[2:5])} ... failed with exit code {done.returncode} ({last}).")
    return time.perf_counter() - start, cpu_s() - before
