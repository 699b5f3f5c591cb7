"""How fast simulated scans are fitted: a network on all of them, FSL-MRS's Newton fit on some, in the same run.

Both have linear algebra on one thread. The network's time is that of the whole estimate: alignment, network, its
refinement and error bars; scans are fitted in chunks on all cores. Newton's is that of the fit of one spectrum with
its Cramer-Rao bounds, one scan after the other.
"""

import time
from dataclasses import dataclass, replace

import numpy as np

from ..basis.basis_set import SINGLE
from ..errors import FslMrsDlError
from ..fit.predict import BatchPredictor
from ..fit.scan import Scan
from ..synth.dataset import GRID_DWELL_S, Stream, as_narrow
from ..threads import in_chunks, one_thread
from .conventional import conventional_method
from .run import outcome_of

CHUNK = 64
"""Scans that are fitted together."""

WARM_UP = 2
"""Fits before the clock starts: what a process does once is not the time of a scan."""


@dataclass(frozen=True, eq=False)
class Scans:
    """Simulated scans of known contents.

    Attributes:
        fids: (scan, condition, point) complex64, on the training grid.
        contents: (scan, metabolite) concentrations relative to the largest, in the order of `basis`.
        basis: BasisSet that they were made with.
    """

    fids: np.ndarray
    contents: np.ndarray
    basis: object

    def scan(self, index):
        """One of them as a Scan."""
        return Scan(self.fids[index], self.basis.conditions, GRID_DWELL_S, self.basis.centre_hz, name=f"scan {index}")


@dataclass(frozen=True)
class ScanSpeed:
    """Times of a fit.

    Attributes:
        name: of the fit, and of what it fits.
        scans: how many were fitted.
        wall_s, cpu_s: of all of them (s).
        median_ms: processor time of a scan (ms): the median over chunks, or over scans fitted one by one.
        error: mean absolute error of concentrations relative to the largest.
    """

    name: str
    scans: int
    wall_s: float
    cpu_s: float
    median_ms: float
    error: float

    @property
    def scans_per_s(self):
        """Scans per second of wall time."""
        return self.scans / self.wall_s


def simulate_scans(basis, recipe, number, seed=1):
    """Scans of a recipe, all with the basis set itself.

    Args:
        basis: BasisSet.
        recipe: synth.priors.Recipe.
        number: of scans.
        seed: of the random numbers.

    Returns:
        Scans.
    """
    stream = Stream(as_narrow(basis, recipe), replace(recipe, pool_fraction=0.0), seed)
    fids = np.empty((number, len(basis.conditions), stream.members.shape[-1]), np.complex64)
    contents = np.empty((number, len(basis.names)))
    for index, start in enumerate(range(0, number, stream.batch)):
        batch, rows = stream[index], slice(start, min(start + stream.batch, number))
        fids[rows] = batch.measured[: rows.stop - start].numpy()
        contents[rows] = batch.draw.concentrations[: rows.stop - start].numpy()
    return Scans(fids, contents / contents.max(1, keepdims=True), basis)


def network_speed(model, scans):
    """Speed of a network on all scans, on all cores.

    Args:
        model: TrainedModel; its estimates are refined where it is `refined`.
        scans: Scans.

    Returns:
        ScanSpeed.
    """
    predictor = BatchPredictor(model, scans.scan(0), scans.basis)
    order = [scans.basis.names.index(name) for name in model.config.metabolites]

    def work(chunk):
        start = time.thread_time()
        found, _ = predictor(scans.fids[chunk])
        spent_s = time.thread_time() - start
        error = np.abs(found.concentrations - scans.contents[chunk][:, order]).mean()
        return chunk.stop - chunk.start, spent_s, error

    with one_thread():
        for _ in range(WARM_UP):
            work(slice(0, min(CHUNK, len(scans.fids))))
    wall, cpu = time.perf_counter(), time.process_time()
    sizes, spent_s, errors = np.array(list(in_chunks(work, len(scans.fids), CHUNK))).T
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    number = len(scans.fids)
    error = float(errors @ sizes / number)
    name = model.name if model.refiner is None else f"{model.name}, {model.refiner.steps} refinement steps"
    return ScanSpeed(name, number, wall_s, cpu_s, float(np.median(1e3 * spent_s / sizes)), error)


def newton_speed(scans, number, fit, version):
    """Speed of FSL-MRS's Newton fit on some of the scans, evenly chosen, one after the other.

    Of edited scans it is that of edit-off alone. Scans whose fit fails are left out.

    Args:
        scans: Scans.
        number: of scans to fit.
        fit, version: fslmrs.newton.NewtonFit and newton_version of `conventional.PPM_RANGE`.

    Returns:
        ScanSpeed.

    Raises:
        FslMrsDlError: every fit failed.
    """
    condition, edited = scans.basis.conditions[0], scans.basis.conditions != SINGLE
    single = replace(scans.basis, fids=scans.basis.spectrum(condition)[None], conditions=SINGLE, folders=())
    basis = single.keep(single.shown)
    method = conventional_method("newton", fit, basis, version)
    places = np.linspace(0, len(scans.fids) - 1, number).round().astype(int)
    chosen = [scans.scan(place).single(condition) if edited else scans.scan(place) for place in places]
    with one_thread():
        for scan in chosen[:WARM_UP]:
            outcome_of(method, scan)
        outcomes = [outcome_of(method, scan) for scan in chosen]
    kept = [place for place, one in enumerate(outcomes) if one.estimates]
    if not kept:
        raise FslMrsDlError(
            f"FSL-MRS's Newton fit failed on all {number} scans ({next(iter(outcomes[0].failures.values()))}): "
            "time other scans with --recipe or --basis."
        )
    values = np.array([[outcomes[place].estimates["single"][name] for name in basis.names] for place in kept])
    contents = scans.contents[places[kept]][:, [scans.basis.names.index(name) for name in basis.names]]
    error = np.abs(values / values.max(1, keepdims=True) - contents).mean()
    wall_s, cpu_s = np.array([(outcomes[place].seconds, outcomes[place].cpu_seconds) for place in kept]).T
    name = "FSL-MRS Newton" + (f", {condition.replace('_', '-')}" if edited else "")
    return ScanSpeed(name, len(kept), *map(float, (wall_s.sum(), cpu_s.sum(), 1e3 * np.median(cpu_s), error)))
