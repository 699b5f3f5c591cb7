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

from ..config import from_dict
from ..errors import ConfigError, ModelError
from .trust_checks import measure

LEVELS = ("in range", "caution", "out of range")

NOT_CHECKED = "not checked"
"""Level of a scan within the ranges of a model that has no thresholds: nobody knows."""

NORM = 4
"""Exponent by which the scores of the checks are joined."""

FLOOR = 1e-3
"""Values of a check below this count as this: what is that small never decides."""

STRIKING = 1.0
"""Score of a check from which on it is named as a reason, where the scan is not in range."""

MOST_REASONS = 5

MOST_SCORE = 99.0
"""Highest score that is told: beyond, nothing more is learnt from it."""

CAUTION_RANGE, OUT_RANGE = 1.1, 1.5
"""Of a model without thresholds: estimates relative to the edge of the training range."""

WORDS = {
    "shift": "the shift left after referencing is {value:.2f} times the largest in training, more than in good scans",
    "phase": "the phase left after alignment is {value:.2f} times the largest in training, more than in good scans",
    "width": "the lines are {value:.2f} times as wide as the widest in training",
    "noise": "the noise is {value:.3f} of the FID's first point, more than in training",
    "signal": "the noise is {value:.2f} of the highest peak",
    "residual": "the residual beyond the noise is {value:.0%} of the fit",
    "peak": "the residual has a peak of {value:.0%} of the highest line",
    "line": "there is signal where the metabolites of the model have none",
    "lipid": "there is a signal between 0.4 and 1.7 ppm, as of lipids or lactate, of {value:.0%} of the highest line",
    "baseline": "the baseline or the foot of water is {value:.1f} times the fit",
    "water": "water is left: {value:.0f} times the highest line",
    "disagreement": "a fit with free concentrations disagrees with the network",
    "reconstruction": "the network's reconstruction is {value:.0%} of the fit away from the scan, beyond the noise",
    "editing": "edit-off and edit-on contradict each other ({value:.0%} of the fit)",
    "subtraction": "creatine or choline do not cancel in the difference ({value:.0%} of the highest line)",
    "expected error": "the network expects errors of {value:.2f} of the largest concentration",
    "pattern": "its checks together look like those of spoilt scans",
}
"""Check -> what is said where it strikes."""


@dataclass(frozen=True)
class CheckScale:
    """What most and nearly all good scans stay below in a check: logarithms, but for "pattern"."""

    name: str
    common: float
    rare: float

    def __post_init__(self):
        if not (math.isfinite(self.common) and math.isfinite(self.rare) and self.common < self.rare):
            raise ConfigError(f"The scale of {self.name!r} must ascend, not {self.common}, {self.rare}: make it anew.")


@dataclass(frozen=True)
class Thresholds:
    """What a model's checks are judged by; `evaluate.trust_table.learn` makes it from simulated scans.

    Attributes:
        weights_sha256: of the model's weights that it was made for.
        source: the scans that it was made from, in words.
        scales: CheckScale of each check, "pattern" last.
        centre, spread: of the logarithms of the checks but "pattern", for the regression.
        weights: of the regression's terms, see `regressors`.
        caution, out_of_range: scores above which a scan gets these flags.
    """

    weights_sha256: str
    source: str
    scales: tuple[CheckScale, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    caution: float
    out_of_range: float

    def __post_init__(self):
        count = len(self.scales) - 1
        if len(set(self.names)) != count or self.scales[-1].name != "pattern" or not set(self.names) < set(WORDS):
            raise ConfigError("Trust thresholds need a scale for different known checks, pattern last: make them anew.")
        terms = 1 + count + count * (count + 1) // 2
        if count < 1 or not (len(self.centre) == len(self.spread) == count and len(self.weights) == terms):
            raise ConfigError("Trust thresholds lack a centre, a spread or a weight of a check: make them anew.")
        if not all(map(math.isfinite, (*self.centre, *self.spread, *self.weights))) or min(self.spread) <= 0:
            raise ConfigError("Trust thresholds hold numbers that are not finite or spreads of 0: make them anew.")
        if not 0 < self.caution < self.out_of_range < math.inf:
            raise ConfigError(f"Trust thresholds must ascend, not {self.caution}, {self.out_of_range}.")

    @property
    def names(self):
        """Checks that are measured, in order."""
        return tuple(scale.name for scale in self.scales[:-1])

    def scores(self, values):
        """Scores of the checks, (scan, check) with "pattern" last, from the dict of `trust_checks.measure`.

        Raises:
            ModelError: the checks are others than those that the thresholds are for.
        """
        if set(values) != set(self.names):
            raise ModelError(
                f"The trust thresholds are for the checks {', '.join(self.names)}, not {', '.join(values)}: make them "
                "anew with fsl_mrs_dl evaluate --trust."
            )
        logs = logarithms(values, self.names)
        table = np.column_stack([logs, self.pattern(logs)])
        low, high = np.array([(scale.common, scale.rare) for scale in self.scales]).T
        return np.maximum(1 + (table - low) / (high - low), 0)

    def pattern(self, logs):
        """The regression's (scan,) log odds of being spoilt, from (scan, check) logarithms."""
        return regressors(logs, np.array(self.centre), np.array(self.spread)) @ np.array(self.weights)


def logarithms(values, names):
    """(scan, check) logarithms of the checks; what is not a number counts as very large."""
    table = np.column_stack([np.asarray(values[name], dtype=float) for name in names])
    return np.log(np.clip(np.nan_to_num(table, nan=1e6, posinf=1e6), FLOOR, 1e6))


def regressors(logs, centre, spread):
    """(scan, term) what the regression weighs: 1, the standardised logarithms, their squares and products."""
    values = np.clip((logs - centre) / spread, -4, 4)
    first, second = np.triu_indices(values.shape[1])
    return np.column_stack([np.ones(len(logs)), values, values[:, first] * values[:, second] / 3])


def joined(scores):
    """Score (scan,) of scans from those of their checks (scan, check); what is not a number counts as very large."""
    return np.minimum((np.clip(np.nan_to_num(scores, nan=1e3), 0, 1e3) ** NORM).sum(1) ** (1 / NORM), MOST_SCORE)


@dataclass(frozen=True)
class Trust:
    """What is thought of one scan.

    Attributes:
        level: one of `LEVELS`, or `NOT_CHECKED`.
        score: the higher, the less the scan is like those that the model is for.
        reasons: why the level is what it is, in words; none for "in range" and "not checked".
        checks: check -> value.
        note: what the judgement lacks, empty where nothing.
    """

    level: str
    score: float
    reasons: tuple = ()
    checks: dict | None = None
    note: str = ""

    @property
    def in_range(self):
        """Whether nothing was found against the scan."""
        return self.level == LEVELS[0]

    @property
    def out_of_range(self):
        """Whether `--strict` refuses the scan."""
        return self.level == LEVELS[2]

    def text(self):
        """One line: level, score and reasons."""
        reasons = f": {'; '.join(self.reasons)}" if self.reasons else ""
        return f"{self.level} (score {self.score:.1f}){reasons}"


def thresholds_of(model):
    """Thresholds of a TrainedModel; None where it has none, or they are of other weights.

    Raises:
        ModelError: its trust.json is not what it should be.
    """
    if not model.trust or model.trust.get("weights_sha256") != model.weights_sha256:
        return None
    try:
        return from_dict(Thresholds, model.trust, f"trust.json of {model.name}")
    except ConfigError as exc:
        raise ModelError(f"{exc} Make it anew with fsl_mrs_dl evaluate --trust.") from exc


def assess(model, basis, seen, bandwidth_hz):
    """Trust of one scan.

    Args:
        model: TrainedModel.
        basis: BasisSet of the model.
        seen: `predict.look` at the prepared scan.
        bandwidth_hz: of the scan as it was read (Hz).

    Returns:
        Trust.
    """
    return assess_many(model, basis, seen, bandwidth_hz)[0]


def assess_many(model, basis, seen, bandwidth_hz):
    """Trust of each of the scans that were looked at, as `assess`."""
    values, thresholds = measure(model, basis, seen, bandwidth_hz), thresholds_of(model)
    if thresholds is None:
        rows = zip(*values.values(), strict=True)
        return [_by_range(model, dict(zip(values, map(float, row), strict=True))) for row in rows]
    scores = thresholds.scores(values)
    return [
        _judged(thresholds, {name: float(values[name][row]) for name in thresholds.names}, scores[row], total)
        for row, total in enumerate(joined(scores))
    ]


def _judged(thresholds, checks, scores, total):
    """Trust of a scan from the values and scores of its checks."""
    level = int(total > thresholds.caution) + int(total > thresholds.out_of_range)
    # What can be told in plain words comes first.
    order = [*np.argsort(-scores[:-1]), len(scores) - 1]
    striking = [index for index in order if scores[index] >= STRIKING] or [int(scores.argmax())]
    names = [thresholds.scales[index].name for index in striking[:MOST_REASONS]] if level else []
    reasons = tuple(WORDS[name].format(value=checks.get(name, 0.0)) for name in names)
    return Trust(LEVELS[level], float(total), reasons, checks)


def _by_range(model, checks):
    """Trust of a scan by the ranges of the training alone."""
    away = {name: checks[name] for name in ("width", "shift", "phase")}
    noise = _most_noise(model.card)
    if noise > 0:
        away["noise"] = checks["noise"] / (math.sqrt(2) * noise)
    away = {name: MOST_SCORE if math.isnan(value) else value for name, value in away.items()}
    worst = max(away.values())
    level = int(worst > CAUTION_RANGE) + int(worst > OUT_RANGE)
    reasons = tuple(WORDS[name].format(value=checks[name]) for name, value in away.items() if value > CAUTION_RANGE)
    note = (
        "The model has no thresholds for the trust flag: only the ranges of its training are checked "
        "(fsl_mrs_dl evaluate --trust makes thresholds)."
    )
    return Trust(LEVELS[level] if level else NOT_CHECKED, float(min(worst, MOST_SCORE)), reasons, checks, note)


def _most_noise(card):
    """Strongest noise in training by a model card, which may be a stranger's; 0 where it says none."""
    recipe = card.get("training", {}).get("recipe")
    noise = recipe.get("noise_sigma") if isinstance(recipe, dict) else None
    pair = isinstance(noise, (list, tuple)) and len(noise) == 2 and all(isinstance(one, (int, float)) for one in noise)
    return noise[1] if pair else 0.0
