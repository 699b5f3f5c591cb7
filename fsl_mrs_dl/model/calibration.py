"""Error bars of a model: how wide they must be, learnt from the errors that it makes on simulated scans.

A network expects an error of every concentration (`output.Output.spread`). Split conformal calibration (Lei et al.,
J Am Stat Assoc 113:1094, 2018, with locally weighted residuals) makes intervals of it: with scores

    |estimate - truth| / expected error

of simulated scans, an interval of the estimate ± the score's quantile times the expected error holds the truth of
that share of new scans of the same kind, whatever the errors' distribution is. The quantiles are taken apart for each
metabolite and each tenth of the range of the estimate (Mondrian conformal prediction), so they hold in every one.

The errors hold the noise of the scans as well as what the network gets wrong: an interval is of both together.
"""

from dataclasses import asdict, dataclass, replace

import numpy as np

from ..basis.basis_files import MAX_METABOLITES
from ..config import from_dict, read_json
from ..errors import ConfigError, ModelError

FILE = "calibration.json"
"""Name of the file in a model's folder."""

LEVELS = (0.68, 0.95)

CELLS = 11
"""Tenths of the range of an estimate, and one more for the estimate that is the largest of its scan."""

ENOUGH_ROWS = 200
"""Errors that a cell's quantiles are taken from; a cell with fewer takes those of its neighbours too."""

FEWEST_ROWS = 20
"""Errors of a metabolite below which its 95 % interval is not known at all."""

MAX_FACTOR = 1e6
CLIPPED = 3.0
"""Standardised errors beyond this count as this in correlations: a few wild ones would decide them."""


@dataclass(frozen=True, eq=False)
class Uncertainty:
    """What is known about the errors of concentrations relative to the largest; noise and model error together.

    A metabolite whose errors are not known has NaN everywhere.

    Attributes:
        sd: (..., metabolite) standard deviations: half the 68 % interval, before it is cut to [0, 1].
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
class Calibration:
    """Factors from expected errors to half-widths of intervals.

    Attributes:
        metabolites: names, in the order of the model's output.
        factors68, factors95: of each metabolite `CELLS` numbers; None for one whose errors are not known.
        correlation: (metabolite, metabolite) correlations of the errors about 0.
        scans: number of simulated scans that they come from.
        source: what those scans were, in words.
        weights_sha256: of the model's weights' file; empty before it was saved.

    Raises:
        ConfigError: numbers that cannot be such factors or correlations.
    """

    metabolites: tuple[str, ...]
    factors68: tuple[tuple[float, ...] | None, ...]
    factors95: tuple[tuple[float, ...] | None, ...]
    correlation: tuple[tuple[float, ...], ...]
    scans: int
    source: str
    weights_sha256: str = ""

    def __post_init__(self):
        count = len(self.metabolites)
        if not 1 <= count <= MAX_METABOLITES:
            raise ConfigError(f"metabolites must be 1 to {MAX_METABOLITES} names, not {count}.")
        for name in ("factors68", "factors95"):
            rows = getattr(self, name)
            if len(rows) != count:
                raise ConfigError(f"{name} must have a row for each of {count} metabolites, not {len(rows)}.")
            for row in rows:
                if row is not None and (len(row) != CELLS or not all(0 <= value <= MAX_FACTOR for value in row)):
                    raise ConfigError(f"A row of {name} must be {CELLS} numbers from 0 to {MAX_FACTOR:g}, or null.")
        for inner, outer in zip(self.factors68, self.factors95):
            if (inner is None) != (outer is None) or any(low > high for low, high in zip(inner or (), outer or ())):
                raise ConfigError("factors95 must be at least factors68, and null where these are.")
        self._check_correlation(count)
        if not 0 < self.scans < 2**53:
            raise ConfigError(f"scans must be 1 or more, not {self.scans}.")

    def _check_correlation(self, count):
        """Refuse what is no matrix of correlations."""
        if len(self.correlation) != count or any(len(row) != count for row in self.correlation):
            raise ConfigError(f"correlation must be {count} rows of {count} numbers.")
        matrix = np.array(self.correlation, dtype=float).reshape(count, count)
        near = {"atol": 1e-6, "rtol": 0}
        fine = np.isfinite(matrix).all() and np.allclose(matrix, matrix.T, **near) and np.abs(matrix).max() < 1 + 1e-6
        if not fine or not np.allclose(np.diagonal(matrix), 1, **near) or np.linalg.eigvalsh(matrix).min() < -1e-6:
            raise ConfigError("correlation must be symmetric, with 1 on its diagonal and no negative eigenvalue.")

    def uncertainty(self, concentrations, spread):
        """Uncertainty of a model's estimates.

        Args:
            concentrations: (..., metabolite) relative to the largest.
            spread: (..., metabolite) logarithms of the expected errors.
        """
        concentrations, expected = np.asarray(concentrations, dtype=float), np.exp(np.asarray(spread, dtype=float))
        cells, places = cells_of(concentrations), np.arange(len(self.metabolites))
        half68, half95 = (
            np.array([(np.nan,) * CELLS if row is None else row for row in rows])[places, cells] * expected
            for rows in (self.factors68, self.factors95)
        )
        intervals = (
            np.stack([concentrations - half, concentrations + half], -1).clip(0, 1) for half in (half68, half95)
        )
        covariance = half68[..., :, None] * np.array(self.correlation) * half68[..., None, :]
        return Uncertainty(half68, *intervals, covariance)


def cells_of(concentrations):
    """Number of the cell of each estimate: its tenth of the range [0, 1], and the last one for the largest, 1."""
    tenths = np.clip((np.asarray(concentrations) * (CELLS - 1)).astype(int), 0, CELLS - 2)
    return np.where(concentrations >= 1, CELLS - 1, tenths)


def open_errors(estimate, truth):
    """Whether there is anything to err about: not where a metabolite is the largest, 1 by definition, in both."""
    return (estimate < 1) | (truth < 1)


def calibrate_errors(metabolites, estimate, truth, spread, source):
    """Calibration of what a model says about scans of known contents.

    Args:
        metabolites: names.
        estimate, truth: (scan, metabolite) concentrations relative to the largest.
        spread: (scan, metabolite) logarithms of the expected errors.
        source: what the scans were, in words.

    Returns:
        Calibration. A metabolite that none of the scans holds has no factors.
    """
    scores, cells, kept = np.abs(estimate - truth) / np.exp(spread), cells_of(estimate), open_errors(estimate, truth)
    known = (truth > 0).any(0) & (kept.sum(0) >= FEWEST_ROWS)
    factors = [
        _factors(scores[kept[:, place], place], cells[kept[:, place], place]) if known[place] else (None, None)
        for place in range(len(metabolites))
    ]
    inner, outer = zip(*factors)
    blank = Calibration(tuple(metabolites), inner, outer, tuple(map(tuple, np.eye(len(known)))), len(estimate), source)
    with np.errstate(divide="ignore", invalid="ignore"):
        standard = np.nan_to_num((estimate - truth) / blank.uncertainty(estimate, spread).sd, posinf=0, neginf=0)
    standard = standard.clip(-CLIPPED, CLIPPED)
    moments = standard.T @ standard + np.diag(np.where((standard == 0).all(0), 1.0, 0.0))
    size = np.sqrt(np.diagonal(moments))
    rounded = np.round(moments / size[:, None] / size, 9)
    return replace(blank, correlation=tuple(map(tuple, rounded.tolist())))


def _factors(scores, cells):
    """Quantiles of scores at `LEVELS` in each cell, two tuples of `CELLS` numbers."""
    rows = []
    for cell in range(CELLS):
        chosen = cells == cell
        for reach in range(1, CELLS):
            if chosen.sum() >= min(ENOUGH_ROWS, len(scores)):
                break
            chosen = np.abs(cells - cell) <= reach
        rows.append([quantile(scores[chosen], level) for level in LEVELS])
    return tuple(zip(*rows))


def quantile(scores, level):
    """The score that a new one of the same kind stays below with at least a probability.

    It is the ceil((n + 1) level)-th smallest of n, the finite-sample quantile of conformal prediction.
    """
    place = min(int(np.ceil((len(scores) + 1) * level)), len(scores))
    return min(float(np.partition(scores, place - 1)[place - 1]), MAX_FACTOR)


def read_calibration(folder, metabolites, weights_sha256):
    """The Calibration of a model's folder, None where it has none.

    Args:
        folder: Path of the model.
        metabolites: of the model.
        weights_sha256: of its weights' file.

    Raises:
        ModelError: the file is no calibration, or one of another model.
    """
    path = folder / FILE
    if not path.exists():
        return None
    values = read_json(path, "a model's calibration", ModelError)
    way_out = "Copy the model folder anew, or make it anew with fsl_mrs_dl calibrate."
    try:
        found = from_dict(Calibration, values, "a calibration")
    except ConfigError as exc:
        raise ModelError(f"{path}: {exc} {way_out}") from exc
    if found.metabolites != tuple(metabolites):
        names = ", ".join(found.metabolites)[:200]
        raise ModelError(f"{path}: it is for {names}, not for the model's metabolites. {way_out}")
    if found.weights_sha256 != weights_sha256:
        raise ModelError(f"{path}: it is of other weights ({found.weights_sha256[:12]}) than the model's. {way_out}")
    return found


def calibration_values(calibration, weights_sha256):
    """A Calibration of the weights of a file, as plain JSON types."""
    return asdict(replace(calibration, weights_sha256=weights_sha256))
