"""What the trust flag compares scans with, beside a model's basis set: arrays that are stored with its thresholds."""

import base64
import binascii
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..errors import ConfigError

MOST_NUMBERS = 2**22
"""Most numbers of one stored array."""

KIND = np.dtype("<f2")
"""Half precision: a thousandth of a value is more than the checks need."""


@dataclass(frozen=True)
class StoredArray:
    """An array of real numbers in half precision, as text.

    Attributes:
        shape: of the array.
        text: its values, little-endian, in base64.
    """

    shape: tuple[int, ...]
    text: str

    def __post_init__(self):
        numbers = math.prod(self.shape)
        if not self.shape or min(self.shape) < 1 or numbers > MOST_NUMBERS:
            raise ConfigError(f"A stored array has 1 to {MOST_NUMBERS} numbers, not the shape {self.shape}.")
        try:
            size = len(base64.b64decode(self.text, validate=True))
        except (binascii.Error, ValueError) as exc:
            raise ConfigError(f"The text of a stored array is not base64 ({exc}): make it anew.") from exc
        if size != numbers * KIND.itemsize or not np.isfinite(self.values).all():
            raise ConfigError(f"A stored array of the shape {self.shape} lacks values or holds NaN: make it anew.")

    @classmethod
    def of(cls, values):
        """StoredArray of real or complex values; complex ones get a last axis of real and imaginary part."""
        values = np.asarray(values)
        if np.iscomplexobj(values):
            values = np.stack([values.real, values.imag], -1)
        return cls(tuple(values.shape), base64.b64encode(values.astype(KIND).tobytes()).decode("ascii"))

    @cached_property
    def values(self):
        """The array, float32."""
        return np.frombuffer(base64.b64decode(self.text), KIND).reshape(self.shape).astype(np.float32)

    @property
    def complex_values(self):
        """complex64 array of one whose last axis is of real and imaginary part."""
        return self.values[..., 0] + 1j * self.values[..., 1]


@dataclass(frozen=True)
class TrustReference:
    """Signals of metabolites outside the model, how bases vary, and where good scans lie in the network's features.

    FIDs stand on the times of `fit.band_fit.BandFit`, the largest magnitude of the basis set's being 1.

    Attributes:
        foreign: metabolites outside the model.
        directions: (condition, direction, point, 2) FIDs that their signals are made from, on any scanner.
        mixtures: (metabolite, scanner, direction) how: the signal of one at the concentration 1.
        variations: (condition, metabolite, variation, point, 2) FIDs by which metabolites of the model depart from the
            basis set, one standard deviation each.
        feature_mean, feature_axes: (feature,) and (axis, feature): mean of the network's features in good scans, and
            their principal axes, of unit length.
        feature_sd: (axis + 1,) standard deviations along the axes; the last one is of the distance from all of them.
    """

    foreign: tuple[str, ...]
    directions: StoredArray
    mixtures: StoredArray
    variations: StoredArray
    feature_mean: StoredArray
    feature_axes: StoredArray
    feature_sd: StoredArray

    def __post_init__(self):
        conditions, directions, points = self._sizes("directions", 4)[:3]
        metabolites, _, mixed = self._sizes("mixtures", 3)
        varied = self._sizes("variations", 5)
        axes, features = self._sizes("feature_axes", 2)
        fits = (
            (metabolites, mixed) == (len(self.foreign), directions)
            and (varied[0], varied[3]) == (conditions, points)
            and (self.feature_mean.shape, self.feature_sd.shape) == ((features,), (axes + 1,))
            and self.directions.shape[-1] == varied[-1] == 2
            and len(set(self.foreign)) == len(self.foreign)
        )
        if not fits or self.feature_sd.values.min() <= 0:
            raise ConfigError("The arrays of a trust reference do not belong together: make it anew.")

    def _sizes(self, name, axes):
        shape = getattr(self, name).shape
        if len(shape) != axes:
            raise ConfigError(f"{name} of a trust reference has {axes} axes, not {len(shape)}: make it anew.")
        return shape
