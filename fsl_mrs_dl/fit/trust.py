"""The trust flag: whether a scan looks like those that a model was trained for, in words and with a score.

Every check of `trust_checks` has two numbers from simulated scans that are as they should be: what 97 % and 99.7 %
of them stay below. A check's score is 1 at the first and 2 at the second, on a logarithmic scale. One more check,
"pattern", is a logistic regression on all others, their squares and products, taught to tell such scans from spoilt
ones (its numbers: 50 % and 90 %). The score of a scan is the 4-norm of all its checks' scores: it grows with each of
them, and a large one decides alone. Scans above what 95 % of good scans stay below get `caution`, above 99.5 %
`out of range`.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..model.thresholds import FLOOR, MOST_SCORE, joined, words
from .trust_checks import Checks

LEVELS = ("in range", "caution", "out of range")

NOT_CHECKED = "not checked"
"""Level of a scan within the ranges of a model that has no thresholds: nobody knows."""

STRIKING = 1.0
"""Score of a check from which on it is named as a reason, where the scan is not in range."""

MOST_REASONS = 5

RANGES = {"width": (1.1, 1.5), "shift": (1.1, 1.5), "phase": (1.1, 1.5), "noise": (3.0, 6.0)}
"""Of a model without thresholds: how far beyond the edge of the training range a scan is of caution, and out of range.

Noise is relative to the first point of the FID as it is fitted: scans with the strongest noise in training show up to
some three times the recipe's number. Below three times, thresholds of the shipped models call most scans in range, from
six times on out of range.
"""

NO_THRESHOLDS = (
    "The model has no thresholds for the trust flag: only the ranges of its training are checked "
    "(fsl_mrs_dl evaluate --trust makes thresholds)."
)
"""Note of a scan that such a model judged."""


@dataclass(frozen=True)
class Trust:
    """What is thought of one scan.

    Attributes:
        level: one of `LEVELS`, or `NOT_CHECKED`.
        score: the higher, the less the scan is like those that the model is for.
        reasons: why the level is what it is, in words; none for "in range" and "not checked".
        checks: check -> value.
        note: what the judgement lacks, empty where nothing.
        striking: names of the checks that the reasons are of.
    """

    level: str
    score: float
    reasons: tuple = ()
    checks: dict | None = None
    note: str = ""
    striking: tuple = ()

    @property
    def in_range(self):
        """Whether nothing was found against the scan."""
        return self.level == LEVELS[0]

    @property
    def out_of_range(self):
        """Whether `--strict` refuses the scan."""
        return self.level == LEVELS[2]

    @property
    def verdict(self):
        """Level and score, in a phrase."""
        return f"{self.level} (score {self.score:.1f})"

    def text(self):
        """One line: level, score and reasons."""
        return f"{self.verdict}: {'; '.join(self.reasons)}" if self.reasons else self.verdict


class Judge:
    """Judges scans of one kind with one model.

    Args:
        model: TrainedModel.
        basis: BasisSet of the model.
        bandwidth_hz: of the scans as they were read (Hz).

    Raises:
        ModelError: the model's thresholds are not for it.
    """

    def __init__(self, model, basis, bandwidth_hz=math.inf):
        self._model, self._thresholds = model, model.trust
        reference = None if model.trust is None else model.trust.reference
        self._checks = Checks(model, basis, bandwidth_hz, reference)

    def __call__(self, seen):
        """Trust of each of the scans of a `predict.Seen`."""
        values = self._checks(seen)
        if self._thresholds is None:
            rows = zip(*values.values(), strict=True)
            return [_by_range(self._model, dict(zip(values, map(float, row), strict=True))) for row in rows]
        scores = self._thresholds.scores(values)
        return [
            _judged(self._thresholds, {name: float(values[name][row]) for name in values}, scores[row], total)
            for row, total in enumerate(joined(scores))
        ]


def _judged(thresholds, checks, scores, total):
    """Trust of a scan from the values and scores of its checks."""
    level = int(thresholds.levels(np.array([total]))[0])
    # What can be told in plain words comes first.
    order = [*np.argsort(-scores[:-1]), len(scores) - 1]
    striking = [index for index in order if scores[index] >= STRIKING] or [int(scores.argmax())]
    names = [thresholds.scales[index].name for index in striking[:MOST_REASONS]] if level else []
    reasons = tuple(words(name, checks.get(name, 0.0)) for name in names)
    return Trust(LEVELS[level], float(total), reasons, checks, striking=tuple(names))


def _by_range(model, checks):
    """Trust of a scan by the ranges of the training alone; the score is 1 where caution begins, 2 out of range."""
    away = {name: checks[name] for name in ("width", "shift", "phase")}
    noise = _most_noise(model.card)
    if noise > 0:
        away["noise"] = checks["noise"] / (math.sqrt(2) * noise)
    scores = {name: _range_score(value, *RANGES[name]) for name, value in away.items()}
    worst = max(scores.values())
    level = int(worst > 1) + int(worst > 2)
    names = tuple(name for name, score in scores.items() if score > 1)
    reasons = tuple(words(name, checks[name]) for name in names)
    return Trust(LEVELS[level] if level else NOT_CHECKED, worst, reasons, checks, NO_THRESHOLDS, names)


def _range_score(value, caution, out):
    """Score of a check: 1 at the one edge, 2 at the other, on a logarithmic scale; what is no number is beyond both."""
    if math.isnan(value):
        return MOST_SCORE
    score = 1 + math.log(max(value, FLOOR) / caution) / math.log(out / caution)
    return min(max(score, 0.0), MOST_SCORE)


def _most_noise(card):
    """Strongest noise in training by a model card, which may be a stranger's; 0 where it says none."""
    recipe = card.get("training", {}).get("recipe")
    noise = recipe.get("noise_sigma") if isinstance(recipe, dict) else None
    pair = isinstance(noise, (list, tuple)) and len(noise) == 2 and all(isinstance(one, (int, float)) for one in noise)
    return noise[1] if pair else 0.0
