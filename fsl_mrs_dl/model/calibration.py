"""Error bars of a model, learnt from the errors that it makes on simulated scans.

A network expects an error of every concentration (`output.Output.spread`). Split conformal calibration (Lei et al.,
J Am Stat Assoc 113:1094, 2018, with locally weighted residuals) makes intervals of it: if the scores

    (truth - estimate) / expected error

of simulated scans lie between two numbers in a share of them, the interval from the estimate plus one to the estimate
plus the other of these times the expected error holds the truth of that share of new scans of the same kind, whatever
the errors' distribution is. `conformal` finds the numbers; here they are kept, checked and used.

The errors hold the noise of the scans as well as what the network gets wrong: an interval is of both together.
"""

import json
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

import numpy as np

from ..basis.basis_files import MAX_METABOLITES
from ..errors import ConfigError, ModelError
from .doubt import Doubt
from .for_weights import WAY_OUT, check_metabolites, read_for_weights
from .unshrink import TENTHS, Correction, tenths_of

FILE = "calibration.json"
"""Name of the file in a model's folder."""

LEVELS = (0.68, 0.95)

CELLS = TENTHS + 1
"""Tenths of the range of an estimate, and one more for the estimate that is the largest of its scan."""

CLASSES = 3
"""Classes of expected errors: small, middling, large. Each has its own cells."""

MAX_FACTOR = 1e6

SOURCE_SHOWN = 500
"""Characters of a calibration's source that are shown; a file may hold any number."""


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """What is known about the errors of concentrations relative to the largest; noise and model error together.

    A metabolite whose errors are not known has NaN everywhere.

    Attributes:
        sd: (..., metabolite) standard deviations: half the width of the 68 % interval, before it is cut to [0, 1].
        interval68, interval95: (..., metabolite, 2) lower and upper ends, within [0, 1].
        covariance: (..., metabolite, metabolite) of the same standard deviations.
    """

    sd: np.ndarray
    interval68: np.ndarray
    interval95: np.ndarray
    covariance: np.ndarray

    def take(self, scan=(), metabolites=slice(None)):
        """Of one scan, or of some; of all metabolites, or those of a list of numbers."""
        rows = self.covariance[scan][..., metabolites, :][..., :, metabolites]
        intervals = (one[scan][..., metabolites, :] for one in (self.interval68, self.interval95))
        return Uncertainty(self.sd[scan][..., metabolites], *intervals, rows)


@dataclass(frozen=True)
class Intervals:
    """Factors from expected errors to the ends of intervals.

    Attributes:
        limits: of each metabolite the logarithms of expected errors between which the `CLASSES` lie; None for one
            whose errors are not known, as in the rows below.
        low68, high68, low95, high95: of each metabolite what is taken from the estimate and added to it, in expected
            errors, in each of the `CELLS` of the first class, then of the second, and so on.
        correlation: (metabolite, metabolite) correlations of the errors about 0.

    Raises:
        ConfigError: numbers that cannot be such factors or correlations.
    """

    limits: tuple[tuple[float, ...] | None, ...]
    low68: tuple[tuple[float, ...] | None, ...]
    high68: tuple[tuple[float, ...] | None, ...]
    low95: tuple[tuple[float, ...] | None, ...]
    high95: tuple[tuple[float, ...] | None, ...]
    correlation: tuple[tuple[float, ...], ...]

    def __post_init__(self):
        count, cells = len(self.limits), CELLS * CLASSES
        if count < 1:
            raise ConfigError("limits must have a row for each metabolite, not none.")
        for row in self.limits:
            if row is None:
                continue
            if len(row) != CLASSES - 1 or not np.isfinite(row).all() or (np.diff(row) < 0).any():
                raise ConfigError(f"A row of limits must be {CLASSES - 1} ascending numbers, or null.")
        for name in ("low68", "high68", "low95", "high95"):
            rows = getattr(self, name)
            if len(rows) != count or [row is None for row in rows] != [row is None for row in self.limits]:
                raise ConfigError(f"{name} must have {count} rows, one for each of limits, and null where it has null.")
            for row in rows:
                if row is not None and (len(row) != cells or not all(0 <= value <= MAX_FACTOR for value in row)):
                    raise ConfigError(f"A row of {name} must be {cells} numbers from 0 to {MAX_FACTOR:g}, or null.")
        for inner, outer in ((self.low68, self.low95), (self.high68, self.high95)):
            if any(one > other for near, far in zip(inner, outer) for one, other in zip(near or (), far or ())):
                raise ConfigError("low95 and high95 must be at least low68 and high68.")
        self._check_correlation(count)

    def _check_correlation(self, count):
        """Refuse what is no matrix of correlations."""
        if len(self.correlation) != count or any(len(row) != count for row in self.correlation):
            raise ConfigError(f"correlation must be {count} rows of {count} numbers.")
        matrix = np.array(self.correlation, dtype=float).reshape(count, count)
        near = {"atol": 1e-6, "rtol": 0}
        fine = np.isfinite(matrix).all() and np.allclose(matrix, matrix.T, **near) and np.abs(matrix).max() < 1 + 1e-6
        if not fine or not np.allclose(np.diagonal(matrix), 1, **near) or np.linalg.eigvalsh(matrix).min() < -1e-6:
            raise ConfigError("correlation must be symmetric, with 1 on its diagonal and no negative eigenvalue.")

    def around(self, concentrations, spread):
        """Uncertainty of estimates.

        Args:
            concentrations: (..., metabolite) relative to the largest.
            spread: (..., metabolite) logarithms of the expected errors.
        """
        spread = np.asarray(spread, dtype=float)
        cells = [
            np.zeros(one.shape, dtype=int) if limits is None else cells_of(one, other, limits)
            for one, other, limits in zip(*(np.moveaxis(both, -1, 0) for both in (concentrations, spread)), self.limits)
        ]
        cells, expected, places = np.stack(cells, -1), np.exp(spread), np.arange(len(self.limits))
        low68, high68, low95, high95 = (
            np.array([(np.nan,) * (CELLS * CLASSES) if row is None else row for row in rows])[places, cells] * expected
            for rows in (self.low68, self.high68, self.low95, self.high95)
        )
        intervals = (
            np.stack([concentrations - low, concentrations + high], -1).clip(0, 1)
            for low, high in ((low68, high68), (low95, high95))
        )
        half = (low68 + high68) / 2
        covariance = half[..., :, None] * np.array(self.correlation) * half[..., None, :]
        return Uncertainty(half, *intervals, covariance)


@dataclass(frozen=True)
class Calibration:
    """What is known about a model's errors.

    Attributes:
        metabolites: names, in the order of the model's output.
        intervals: of the model's estimates.
        scans: number of simulated scans that they come from.
        source: what those scans were, in words.
        correction: of the estimates' shrinkage; None where it is not known.
        corrected: intervals of the corrected estimates; None where there is no correction.
        doubt: how expected errors grow with what the network's reconstruction leaves unexplained, before anything else
            is made of them; None where this is not known.
        steps: in which the estimates were refined.
        weights_sha256: of the model's weights' file; empty before it was saved.

    Raises:
        ConfigError: parts that are not of the same metabolites, or no number of scans.
    """

    metabolites: tuple[str, ...]
    intervals: Intervals
    scans: int
    source: str
    correction: Correction | None = None
    corrected: Intervals | None = None
    doubt: Doubt | None = None
    steps: int = 0
    weights_sha256: str = ""

    def __post_init__(self):
        count = len(self.metabolites)
        if not 1 <= count <= MAX_METABOLITES:
            raise ConfigError(f"metabolites must be 1 to {MAX_METABOLITES} names, not {count}.")
        if (self.correction is None) != (self.corrected is None):
            raise ConfigError("correction and corrected belong together.")
        parts = [self.intervals.limits]
        if self.correction is not None:
            parts += [self.correction.knots, self.corrected.limits]
        if self.doubt is not None:
            parts.append(self.doubt.weights)
        if any(len(part) != count for part in parts):
            raise ConfigError(f"Every part of a calibration must be of the same {count} metabolites.")
        if not 0 < self.scans < 2**53:
            raise ConfigError(f"scans must be 1 or more, not {self.scans}.")
        if self.steps < 0:
            raise ConfigError(f"steps must be 0 or more, not {self.steps}.")

    @property
    def origin(self):
        """Where the error bars come from, in a phrase."""
        cut = "…" if len(self.source) > SOURCE_SHOWN else ""
        return f"{self.scans} simulated scans ({self.source[:SOURCE_SHOWN]}{cut})"

    def fingerprint(self):
        """SHA-256 (hexadecimal) of all that estimates and error bars depend on."""
        return sha256(json.dumps(asdict(replace(self, weights_sha256=""))).encode()).hexdigest()

    def judge(self, concentrations, spread, unexplained=None, own_spread=None, correct=False, further=None):
        """Estimates and their Uncertainty.

        Args:
            concentrations: (..., metabolite) relative to the largest.
            spread: (..., metabolite) logarithms of the errors that the network expects.
            unexplained: (..., condition) of `doubt.unexplained`; None is for a calibration without a doubt.
            own_spread: (..., metabolite) of the expected errors what estimates shrink for; None where that is all.
            correct: whether the estimates are corrected for shrinkage.
            further: function of these estimates that gives those which the error bars are of, if any.

        Raises:
            ConfigError: the calibration has a doubt, and what is unexplained is not given.
        """
        if self.doubt is not None and unexplained is None:
            raise ConfigError("This calibration has a doubt: give unexplained, of doubt.unexplained.")
        concentrations = np.asarray(concentrations, dtype=float)
        # A network shrinks for what it expects by itself; of what raises doubts it knows nothing.
        own_spread = spread if own_spread is None else own_spread
        spread = spread if self.doubt is None else self.doubt(spread, unexplained)
        found = self.correction(concentrations, own_spread) if correct else concentrations
        found = found if further is None else further(found)
        return found, (self.corrected if correct else self.intervals).around(found, spread)


def cells_of(concentrations, spread, limits):
    """Number of the cell of each estimate of a metabolite.

    Args:
        concentrations, spread: arrays of one shape, as of `Intervals.around`.
        limits: of the metabolite's classes.

    Returns:
        int array: the tenth of the range [0, 1], or 10 for the largest, 1; with `CELLS` for each class before its own.
    """
    tenths = np.where(concentrations >= 1, CELLS - 1, tenths_of(concentrations))
    return tenths + CELLS * np.searchsorted(limits, spread, side="right")


def read_calibration(folder, metabolites, conditions, weights_sha256):
    """The Calibration of a model's folder, None where it has none.

    Args:
        folder: Path of the model.
        metabolites: of the model.
        conditions: number of spectra that it takes of a scan.
        weights_sha256: of its weights' file.

    Raises:
        ModelError: the file is no calibration, or one of another model.
    """
    path = folder / FILE
    if not path.exists():
        return None
    found = read_for_weights(Calibration, path, "calibration", weights_sha256)
    check_metabolites(found, metabolites, path)
    if found.doubt is not None and len(found.doubt.knees) != conditions:
        raise ModelError(f"{path}: its doubt is of {len(found.doubt.knees)} spectra, not {conditions}. {WAY_OUT}")
    return found
