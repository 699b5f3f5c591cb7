"""Thresholds of a model's trust flag: what its checks are judged by, made from simulated scans and kept beside it."""

import json
import math
from dataclasses import dataclass

import numpy as np

from ..config import from_dict, read_json, to_dict
from ..errors import ConfigError, ModelError, OutputError
from ..folders import write_whole
from .trust_reference import TrustReference

FILE = "trust.json"
"""Name of the file in a model's folder."""

NORM = 4
"""Exponent by which the scores of the checks are joined."""

FLOOR = 1e-3
"""Values of a check below this count as this: what is that small never decides."""

MOST_SCORE = 99.0
"""Highest score that is told: beyond, nothing more is learnt from it."""

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
    "contradiction": "the network has other concentrations from both spectra than from edit-off ({value:.1f} times the "
    "error that it expects)",
    "editing": "least-squares fits of edit-off and of edit-on contradict each other ({value:.0%} of the fit)",
    "subtraction": "creatine or choline do not cancel in the difference ({value:.0%} of the highest line)",
    "expected error": "the network expects errors of {value:.2f} of the largest concentration",
    "latent": "what the network sees in the scan is {value:.1f} times as far from its training as in most good scans",
    "foreign amount": "a metabolite outside the model would explain it, at {value:.0%} of the largest concentration",
    "pattern": "its checks together look like those of spoilt scans",
}
"""Check -> what is said where it strikes; the checks of `FOREIGN` have `FOREIGN_WORDS`."""

FOREIGN = "as of "
"""Start of the names of the checks for signals of metabolites outside the model; the metabolite follows."""

FOREIGN_WORDS = "there is a signal as of {name}, which is outside the model"


def words(check, value):
    """What is said of a check that strikes."""
    if check.startswith(FOREIGN):
        return FOREIGN_WORDS.format(name=check.removeprefix(FOREIGN))
    return WORDS[check].format(value=value)


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
        reference: what the checks compare scans with beside the basis set; None for nothing.
    """

    weights_sha256: str
    source: str
    scales: tuple[CheckScale, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    weights: tuple[float, ...]
    caution: float
    out_of_range: float
    reference: TrustReference | None = None

    def __post_init__(self):
        count = len(self.scales) - 1
        foreign = set() if self.reference is None else {FOREIGN + name for name in self.reference.foreign}
        known = set(self.names) < set(WORDS) | foreign
        if len(set(self.names)) != count or self.scales[-1].name != "pattern" or not known:
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
        """Scores of the checks, (scan, check) with "pattern" last, from the dict of `trust_checks.Checks`.

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

    def levels(self, totals):
        """(scan,) 0, 1 or 2 of joined scores: in range, caution, out of range."""
        return (totals > self.caution).astype(int) + (totals > self.out_of_range)


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


def read_thresholds(folder, weights_sha256):
    """The Thresholds of a model's folder; None where it has none, or some of other weights.

    Args:
        folder: Path of the model.
        weights_sha256: of its weights' file.

    Raises:
        ModelError: the file does not hold thresholds.
    """
    path = folder / FILE
    if not path.exists():
        return None
    values = read_json(path, "a model's trust thresholds", ModelError)
    if isinstance(values, dict) and values.get("weights_sha256", weights_sha256) != weights_sha256:
        return None
    try:
        return from_dict(Thresholds, values, "trust thresholds")
    except ConfigError as exc:
        raise ModelError(f"{path}: {exc} Make it anew with fsl_mrs_dl evaluate --trust, or delete it.") from exc


def write_thresholds(folder, thresholds):
    """Write trust.json into a model's folder, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    path = folder / FILE
    try:
        write_whole(path, json.dumps(to_dict(thresholds)) + "\n")
    except OSError as exc:
        raise OutputError(f"{path}: the thresholds cannot be written ({exc}); copy the model elsewhere.") from exc
