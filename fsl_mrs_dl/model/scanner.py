"""Correction of a model's estimates for one scanner, learnt from its scans of known contents.

Scans of one scanner err alike: most of what a network gets wrong where a basis is foreign to it is the same function of
the contents in every scan. A linear map of the estimates takes that away, and a few scans are enough to learn it: ridge
regression of the errors on the estimates, with the ridge under which each known scan is best corrected by the others.
No estimate is moved further than those of the known scans were. The network stays as it is.
"""

import json
from dataclasses import asdict, dataclass, replace

import numpy as np

from ..basis.basis_files import MAX_METABOLITES
from ..errors import ConfigError, DataError, ModelError
from ..folders import write_whole
from .for_weights import WAY_OUT, read_for_weights

FILE = "scanner.json"
"""Name of the file in a model's folder."""

FEWEST = 6
"""Scans of known contents below which nothing is learnt."""

RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Ridges that are tried, in squares of concentrations relative to the largest, summed over the scans."""

LEAST_GAIN = 0.03
"""Share of the mean error that has to go; less may be luck."""

MARGIN = 0.1
"""Contents that are further than this outside those of the known scans are unlike them."""


@dataclass(frozen=True)
class ScannerCorrection:
    """What is added to a model's estimates, and what it was learnt from.

    Attributes:
        metabolites: names, in the order of the model's output.
        weights: (metabolite + 1, metabolite): the move of each estimate, a column, for all estimates, relative to the
            largest, and for a constant 1.
        moves: (metabolite, 2) least and largest move of each among the known scans, beyond which none goes.
        contents: (metabolite, 2) least and largest content of each in these, relative to the largest.
        scans: number of them.
        before, after: their mean absolute errors: of the estimates as they were, and corrected, each scan by the others.
        steps: in which the estimates were refined.
        corrected: whether they were corrected for shrinkage.
        weights_sha256: of the model's weights' file; empty before it was saved.

    Raises:
        ConfigError: numbers that are no such correction.
    """

    metabolites: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    moves: tuple[tuple[float, float], ...]
    contents: tuple[tuple[float, float], ...]
    scans: int
    before: float
    after: float
    steps: int = 0
    corrected: bool = False
    weights_sha256: str = ""

    def __post_init__(self):
        count = len(self.metabolites)
        if not 1 <= count <= MAX_METABOLITES:
            raise ConfigError(f"metabolites must be 1 to {MAX_METABOLITES} names, not {count}.")
        if len(self.weights) != count + 1 or any(len(row) != count for row in self.weights):
            raise ConfigError(f"weights of a scanner's correction must be {count + 1} rows of {count} numbers.")
        if not (np.abs(np.array(self.weights, dtype=float)) < 100).all():
            raise ConfigError("weights of a scanner's correction must be numbers below 100.")
        for name in ("moves", "contents"):
            pairs = getattr(self, name)
            if len(pairs) != count or not all(-1 <= low <= high <= 1 for low, high in pairs):
                raise ConfigError(f"{name} of a scanner's correction must be {count} ascending pairs of -1 to 1.")
        if not FEWEST <= self.scans < 2**53 or self.steps < 0:
            raise ConfigError(f"A scanner's correction is of {FEWEST} scans or more and of 0 steps or more.")
        if not (0 <= self.before <= 1 and 0 <= self.after <= 1):
            raise ConfigError("before and after of a scanner's correction must be errors of 0 to 1.")

    def __call__(self, concentrations):
        """Corrected estimates, relative to the largest.

        Args:
            concentrations: (..., metabolite) relative to the largest.
        """
        concentrations = np.asarray(concentrations, dtype=float)
        low, high = np.array(self.moves).T
        moves = _with_one(concentrations) @ np.array(self.weights)
        return _relative(concentrations + moves.clip(low, high))

    def unlike(self, concentrations):
        """Numbers of the metabolites whose estimates (metabolite,) are unlike the contents of the known scans."""
        low, high = np.array(self.contents).T
        return np.flatnonzero((concentrations < low - MARGIN) | (concentrations > high + MARGIN)).tolist()


def learn_scanner(metabolites, estimate, truth, shown=None, **settings):
    """Correction of a scanner from what a model says about scans of known contents.

    Args:
        metabolites: names.
        estimate: (scan, metabolite) relative to the largest.
        truth: (scan, metabolite) in any unit.
        shown: (metabolite,) bool, those that the spectra show; the others stay as they are. All where None.
        **settings: steps and corrected of ScannerCorrection.

    Returns:
        ScannerCorrection, and a (2, metabolite) array of mean absolute errors of the scans: as they are, and
        corrected, each by the others; NaN of what is not shown.

    Raises:
        DataError: there are too few scans, or they do not show how to correct others.
    """
    shown = np.ones(len(metabolites), dtype=bool) if shown is None else np.asarray(shown)
    if len(estimate) < FEWEST:
        raise DataError(f"A scanner's correction takes {FEWEST} scans of known contents or more, not {len(estimate)}.")
    own, known = estimate[:, shown], _relative(np.asarray(truth, dtype=float)[:, shown])
    errors = [np.abs(_left_out(own, known, ridge) - known) for ridge in RIDGES]
    best = int(np.argmin([error.mean() for error in errors]))
    before = np.abs(own - known)
    if errors[best].mean() > (1 - LEAST_GAIN) * before.mean():
        raise DataError(
            f"These {len(own)} scans do not show how to correct others: their mean error is {before.mean():.3f} as the "
            f"model is, and {errors[best].mean():.3f} where each is corrected by the others. Keep the model, or give "
            "more scans."
        )
    weights = np.zeros((len(shown) + 1, len(shown)))
    weights[np.ix_([*shown, True], shown)] = _ridge(_with_one(own), known - own, RIDGES[best])
    contents, table = np.zeros(estimate.shape), np.full((2, len(shown)), np.nan)
    contents[:, shown] = known
    table[:, shown] = before.mean(0), errors[best].mean(0)
    found = ScannerCorrection(
        metabolites=tuple(metabolites),
        weights=_rows(weights),
        moves=_rows(_ends(_with_one(estimate) @ weights)),
        contents=_rows(_ends(contents)),
        scans=len(own),
        before=float(before.mean()),
        after=float(errors[best].mean()),
        **settings,
    )
    return found, table


def read_scanner(folder, metabolites, weights_sha256):
    """The ScannerCorrection of a model's folder, None where it has none.

    Args:
        folder: Path of the model.
        metabolites: of the model.
        weights_sha256: of its weights' file.

    Raises:
        ModelError: the file is no such correction, or one of another model.
    """
    path = folder / FILE
    if not path.exists():
        return None
    found = read_for_weights(ScannerCorrection, path, "scanner's correction", weights_sha256)
    if found.metabolites != tuple(metabolites):
        names = ", ".join(found.metabolites)[:200]
        raise ModelError(f"{path}: it is for {names}, not for the model's metabolites. {WAY_OUT}")
    return found


def write_scanner(folder, scanner, weights_sha256):
    """Write a ScannerCorrection of the weights of a file into a model's folder."""
    text = json.dumps(asdict(replace(scanner, weights_sha256=weights_sha256)))
    write_whole(folder / FILE, text + "\n")


def _relative(concentrations):
    """(..., metabolite) not negative, relative to the largest."""
    concentrations = np.clip(concentrations, 0, None)
    return concentrations / concentrations.max(-1, keepdims=True).clip(1e-9)


def _with_one(estimate):
    """(..., metabolite + 1) estimates, and 1 behind them."""
    return np.concatenate([estimate, np.ones((*estimate.shape[:-1], 1))], -1)


def _ridge(given, wanted, ridge):
    """(column of given, column of wanted) weights of a ridge regression."""
    return np.linalg.solve(given.T @ given + ridge * np.eye(given.shape[1]), given.T @ wanted)


def _left_out(own, known, ridge):
    """(scan, metabolite) estimates, each corrected by what the other scans teach."""
    given, wanted = _with_one(own), known - own
    weights = _ridge(given, wanted, ridge)
    inverse = np.linalg.inv(given.T @ given + ridge * np.eye(given.shape[1]))
    leverage = np.einsum("sk,kl,sl->s", given, inverse, given)
    return _relative(known - (wanted - given @ weights) / (1 - leverage)[:, None])


def _ends(values):
    """(metabolite, 2) least and largest of (scan, metabolite)."""
    return np.stack([values.min(0), values.max(0)], 1)


def _rows(values):
    """A matrix as tuples of numbers of six digits."""
    return tuple(map(tuple, np.round(values, 6).tolist()))
