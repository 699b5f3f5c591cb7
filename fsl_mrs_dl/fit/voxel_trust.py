"""The trust flag of every voxel of spectroscopic imaging: maps and words for them."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from .trust import LEVELS, NOT_CHECKED

CODES = {NOT_CHECKED: 0, **{level: place for place, level in enumerate(LEVELS, 1)}}
"""Level -> its number in the map: 1 in range, 2 caution, 3 out of range; 0 not checked, or not fitted."""

MOST_NAMED = 3
"""Reasons that are told of all voxels together."""


@dataclass(frozen=True, eq=False)
class VoxelTrust:
    """What is thought of the voxels of a Volume, in their order.

    Attributes:
        levels: (voxel,) numbers of `CODES`.
        scores: (voxel,) the higher, the less a voxel is like what the model is for.
        reasons: check -> number of voxels that it strikes.
    """

    levels: np.ndarray
    scores: np.ndarray
    reasons: Counter

    @classmethod
    def empty(cls, count):
        """Of a number of voxels that are yet to be judged."""
        return cls(np.zeros(count, dtype=np.int8), np.zeros(count), Counter())

    def keep(self, chunk, judged):
        """Enter the Trusts of the voxels of a slice."""
        self.levels[chunk] = [CODES[trust.level] for trust in judged]
        self.scores[chunk] = [trust.score for trust in judged]
        self.reasons.update(check for trust in judged for check in trust.striking)

    @property
    def out_of_range(self):
        """(voxel,) bool, which ones `--strict` leaves out."""
        return self.levels == CODES[LEVELS[2]]

    def share(self, level):
        """Share of a level among the voxels that were judged; 0 where there are none."""
        return float((self.levels == CODES[level]).sum() / max((self.levels > 0).sum(), 1))

    def text(self):
        """One line: percent of each level of the voxels that were checked, and the checks that strike most often."""
        if not self.levels.any():
            return "no voxel was checked, the model has no thresholds (fsl_mrs_dl evaluate --trust makes them)"
        shares = ", ".join(f"{100 * self.share(level):.0f} % {level}" for level in LEVELS)
        named = ", ".join(f"{check} ({count})" for check, count in self.reasons.most_common(MOST_NAMED))
        return f"{shares} of {(self.levels > 0).sum()} voxels" + (f"; most often by {named}" if named else "")
