"""Correction of a model's estimates for one scanner, learnt from its scans of known contents.

Scans of one scanner err alike: most of what a network gets wrong where a basis is foreign to it is the same function of
the contents in every scan. A linear map of the estimates takes that away, and a few scans are enough to learn it: ridge
regression of the errors on the estimates, with the ridge under which the known samples are best corrected by each
other. No estimate is moved further than those of the known scans were. The network stays as it is.
"""

from dataclasses import dataclass

import numpy as np

from ..basis.basis_files import MAX_METABOLITES
from ..errors import ConfigError, DataError, ModelError
from .for_weights import check_metabolites, read_for_weights

FILE = "scanner.json"
"""Name of the file in a model's folder."""

FEWEST = 6
"""Different contents below which nothing is learnt."""

PARTS = 24
"""Parts that samples are left out in, one after the other; with so many samples or fewer each by itself."""

RIDGES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Ridges that are tried, in squares of concentrations relative to the largest, summed over the scans."""

LEAST_GAIN = 0.03
"""Share of the mean error that has to go; less may be luck."""

SURE = 1.0
"""Standard errors by which samples have to gain on average. With both, 2 to 6 % of simulated scanners that need no
correction get one, which makes their mean error 3 to 15 % larger."""

WAY_OUT = "Delete the file, or make the model anew with fsl_mrs_dl adapt."
"""What to do about a file that is damaged or of another model."""

PAIRED = 0.8
"""Share of the distance between estimates and contents of other scans that their own may have, means taken out."""

MARGIN = 0.1
"""Contents that are further than this outside those of the known scans are unlike them."""


@dataclass(frozen=True)
class ScannerCorrection:
    """What is added to a model's estimates, and what it was learnt from.

    Attributes:
        metabolites: names, in the order of the model's output.
        weights: (metabolite + 1, metabolite): the move of each estimate, a column, for all estimates, relative to the
            largest, and for a constant 1.
        moves: (metabolite, 2) least and largest move of each among the known scans, and 0; beyond these none goes.
        contents: (metabolite, 2) least and largest content of each in these, relative to the largest; (0, 1) of what
            is not corrected.
        scans: number of them.
        samples: number of different contents among them.
        before, after: their mean absolute errors: of the estimates as they were, and corrected, each sample by the
            others alone.
        steps: in which the estimates were refined.
        corrected: whether they were corrected for shrinkage.
        calibration_sha256: `calibration.Calibration.fingerprint` of the model's; empty of a model without.
        weights_sha256: of the model's weights' file; empty before it was saved.

    Raises:
        ConfigError: numbers that are no such correction.
    """

    metabolites: tuple[str, ...]
    weights: tuple[tuple[float, ...], ...]
    moves: tuple[tuple[float, float], ...]
    contents: tuple[tuple[float, float], ...]
    scans: int
    samples: int
    before: float
    after: float
    steps: int = 0
    corrected: bool = False
    calibration_sha256: str = ""
    weights_sha256: str = ""

    def __post_init__(self):
        count = len(self.metabolites)
        if not 1 <= count <= MAX_METABOLITES:
            raise ConfigError(f"metabolites must be 1 to {MAX_METABOLITES} names, not {count}.")
        if len(self.weights) != count + 1 or any(len(row) != count for row in self.weights):
            raise ConfigError(f"weights of a scanner's correction must be {count + 1} rows of {count} numbers.")
        if not (np.abs(np.array(self.weights, dtype=float)) < 100).all():
            raise ConfigError("weights of a scanner's correction must be numbers below 100.")
        if len(self.moves) != count or not all(-1 <= low <= 0 <= high <= 1 for low, high in self.moves):
            raise ConfigError(f"moves of a scanner's correction must be {count} pairs of -1 to 0 and 0 to 1.")
        if len(self.contents) != count or not all(0 <= low <= high <= 1 for low, high in self.contents):
            raise ConfigError(f"contents of a scanner's correction must be {count} ascending pairs of 0 to 1.")
        if not FEWEST <= self.samples <= self.scans < 2**53 or self.steps < 0:
            raise ConfigError(f"A scanner's correction is of {FEWEST} samples or more and of 0 steps or more.")
        if not (0 <= self.before <= 1 and 0 <= self.after <= 1):
            raise ConfigError("before and after of a scanner's correction must be errors of 0 to 1.")

    def __call__(self, concentrations):
        """Corrected estimates, relative to the largest.

        Args:
            concentrations: (..., metabolite) relative to the largest.
        """
        return _moved(np.asarray(concentrations, dtype=float), np.array(self.weights), np.array(self.moves))

    def unlike(self, concentrations):
        """Numbers of the metabolites whose estimates (metabolite,) are unlike the contents of the known scans."""
        low, high = np.array(self.contents).T
        return np.flatnonzero((concentrations < low - MARGIN) | (concentrations > high + MARGIN)).tolist()


def learn_scanner(metabolites, estimate, truth, shown=None, **settings):
    """Correction of a scanner from what a model says about scans of known contents.

    Scans of the same contents are one sample, however many there are: else each would be judged by its own repetitions.

    Args:
        metabolites: names.
        estimate: (scan, metabolite) relative to the largest.
        truth: (scan, metabolite) in any unit, of each scan at least one above 0.
        shown: (metabolite,) bool, those that the spectra show; the others stay as they are. All where None.
        **settings: steps, corrected and calibration_sha256 of ScannerCorrection.

    Returns:
        ScannerCorrection, and (2, scan, metabolite) absolute errors of the scans: as they are, and corrected, each
        sample by the others alone; NaN of what is not shown.

    Raises:
        DataError: there are too few samples, their contents are not theirs, or they do not teach to correct others.
    """
    shown = np.ones(len(metabolites), dtype=bool) if shown is None else np.asarray(shown)
    own, known = estimate[:, shown], _relative(np.asarray(truth, dtype=float)[:, shown])
    _, samples = np.unique(np.round(known, 3), axis=0, return_inverse=True)
    samples = samples.ravel()
    count = samples.max(initial=-1) + 1
    if count < FEWEST:
        raise DataError(
            f"A scanner's correction takes scans of {FEWEST} different contents or more, not of {count}; repeated "
            "scans count once."
        )
    _check_pairs(own, known)
    before, after = np.abs(own - known), np.abs(_by_others(own, known, samples) - known)
    gains = np.array([(before - after)[samples == sample].mean() for sample in range(count)])
    luck = SURE * gains.std(ddof=1) / np.sqrt(count)
    if not (after.mean() < (1 - LEAST_GAIN) * before.mean() and gains.mean() > luck):
        raise DataError(
            f"These scans of {count} different contents do not show how to correct others: their mean error is "
            f"{before.mean():.3f} as the model is, and {after.mean():.3f} where each is corrected by the others, which "
            "may be luck. Keep the model, or give scans of more contents."
        )
    fitted, contents = _fitted(own, known, samples), np.tile([0.0, 1.0], (len(shown), 1))
    weights, moves = np.zeros((len(shown) + 1, len(shown))), np.zeros((len(shown), 2))
    errors = np.full((2, *estimate.shape), np.nan)
    weights[np.ix_([*shown, True], shown)], moves[shown] = fitted
    contents[shown], errors[..., shown] = _ends(known), (before, after)
    found = ScannerCorrection(
        metabolites=tuple(metabolites),
        weights=_rows(weights),
        moves=_rows(moves),
        contents=_rows(contents),
        scans=len(own),
        samples=int(count),
        before=float(before.mean()),
        after=float(after.mean()),
        **settings,
    )
    return found, errors


def _check_pairs(own, known):
    """Refuse (scan, metabolite) contents that are no nearer to the estimates of their scans than to those of others.

    Raises:
        DataError: they are not, or an estimate is no number.
    """
    if not np.isfinite(own).all():
        raise DataError("An estimate of a scan is no number: leave that scan out.")
    own, known = own - own.mean(0), known - known.mean(0)
    apart = [np.abs(own - np.roll(known, shift, 0)).mean() for shift in range(len(own))]
    if apart[0] > PAIRED * np.mean(apart[1:]):
        raise DataError(
            "The contents are hardly those of the scans: they are no nearer to the estimates of their own than to "
            "those of others. Check which contents belong to which scan, or take scans whose contents differ more."
        )


def read_scanner(folder, metabolites, weights_sha256, calibration):
    """The ScannerCorrection of a model's folder, None where it has none.

    Args:
        folder: Path of the model.
        metabolites: of the model.
        weights_sha256: of its weights' file.
        calibration: its Calibration, None where it has none.

    Raises:
        ModelError: the file is no such correction, or one of another model.
    """
    path = folder / FILE
    if not path.exists():
        return None
    found = read_for_weights(ScannerCorrection, path, "scanner's correction", weights_sha256, WAY_OUT)
    check_metabolites(found, metabolites, path, WAY_OUT)
    if found.calibration_sha256 != fingerprint_of(calibration):
        raise ModelError(f"{path}: it was learnt with another calibration than the model's. {WAY_OUT}")
    return found


def fingerprint_of(calibration):
    """Fingerprint of a Calibration, empty of None."""
    return "" if calibration is None else calibration.fingerprint()


def _relative(concentrations):
    """(..., metabolite) not negative, relative to the largest."""
    concentrations = np.clip(concentrations, 0, None)
    return concentrations / concentrations.max(-1, keepdims=True).clip(1e-9)


def _with_one(estimate):
    """(..., metabolite + 1) estimates, and 1 behind them."""
    return np.concatenate([estimate, np.ones((*estimate.shape[:-1], 1))], -1)


def _fitted(own, known, samples):
    """Map of (scan, metabolite) estimates: weights as of ScannerCorrection, and moves.

    Its ridge is the one under which samples are best corrected by the others.
    """
    errors = [np.abs(_left_out(own, known, samples, ridge) - known).mean() for ridge in RIDGES]
    return _ridge(own, known, RIDGES[int(np.argmin(errors))])


def _left_out(own, known, samples, ridge):
    """(scan, metabolite) estimates, each corrected by a map with this ridge of the other samples' scans."""
    return _crossed(lambda rest: _ridge(own[rest], known[rest], ridge), own, samples)


def _by_others(own, known, samples):
    """The same where the other samples choose the ridge too."""
    return _crossed(lambda rest: _fitted(own[rest], known[rest], samples[rest]), own, samples)


def _crossed(fit, own, samples):
    """(scan, metabolite) estimates moved by what `fit` makes of all scans but those of their part of the samples."""
    found = np.empty_like(own)
    # Of those that are there: the numbers of the samples may have gaps.
    parts = np.unique(samples, return_inverse=True)[1].ravel() % PARTS
    for part in np.unique(parts):
        here = parts == part
        found[here] = _moved(own[here], *fit(~here))
    return found


def _ridge(own, known, ridge):
    """Weights of a ridge regression of the errors, as of ScannerCorrection, and the moves that they make."""
    given = _with_one(own)
    weights = np.linalg.solve(given.T @ given + ridge * np.eye(given.shape[1]), given.T @ (known - own))
    low, high = _ends(given @ weights).T
    # What needs no correction must be free to stay.
    return weights, np.stack([np.minimum(low, 0), np.maximum(high, 0)], 1)


def _moved(estimate, weights, moves):
    """Estimates (..., metabolite) with what weights add to them, relative to the largest."""
    return _relative(estimate + (_with_one(estimate) @ weights).clip(*moves.T))


def _ends(values):
    """(metabolite, 2) least and largest of (scan, metabolite)."""
    return np.stack([values.min(0), values.max(0)], 1)


def _rows(values):
    """A matrix as tuples of numbers of six digits."""
    return tuple(map(tuple, np.round(values, 6).tolist()))
