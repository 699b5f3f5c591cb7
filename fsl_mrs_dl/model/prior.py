"""How far what a hybrid network says about the non-linear parameters of scans is usually off, for `model.refine`."""

from dataclasses import dataclass

import numpy as np

from ..errors import ConfigError, ModelError
from .for_weights import WAY_OUT, read_for_weights

FILE = "prior.json"
"""Name of the file in a model's folder."""

MAX_PARAMETERS = 2**10

LEAST_SHARE = 1e-10
"""Smallest eigenvalue of a covariance relative to the largest: one nearer to 0 may be rounding, and has no inverse."""


@dataclass(frozen=True)
class Prior:
    """Typical errors of a network's estimates, measured on simulated scans (`train.learn_prior`).

    Attributes:
        covariance: (parameter, parameter) of the errors, in the units of the network's estimates: the four of the
            line, then those of `hybrid.FREE`.
        spread: root mean square of the errors of concentrations relative to the largest that the network expected of
            the same scans.
        scans: number of simulated scans.
        source: what those scans were, in words.
        weights_sha256: of the model's weights' file; empty before it was saved.

    Raises:
        ConfigError: numbers that cannot be such errors.
    """

    covariance: tuple[tuple[float, ...], ...]
    spread: float
    scans: int
    source: str
    weights_sha256: str = ""

    def __post_init__(self):
        count = len(self.covariance)
        if not 1 <= count <= MAX_PARAMETERS or any(len(row) != count for row in self.covariance):
            raise ConfigError(f"covariance must be as many rows as columns, 1 to {MAX_PARAMETERS}, not {count}.")
        matrix = np.array(self.covariance, dtype=float)
        fine = np.isfinite(matrix).all() and np.abs(matrix).max() < 1e6 and np.allclose(matrix, matrix.T, rtol=1e-4)
        sizes = np.linalg.eigvalsh(matrix) if fine else np.zeros(count)
        # The inverse must be one in single precision.
        if not sizes[0] > LEAST_SHARE * sizes[-1] > 1e-30:
            raise ConfigError("covariance must be symmetric, of numbers below 1e6, with positive eigenvalues.")
        if not 0 < self.spread <= 1:
            raise ConfigError(f"spread must be above 0 and at most 1, not {self.spread}.")
        if not 0 < self.scans < 2**53:
            raise ConfigError(f"scans must be 1 or more, not {self.scans}.")

    @property
    def precision(self):
        """(parameter, parameter) inverse of the covariance, float64 array."""
        return np.linalg.inv(np.array(self.covariance))


def read_prior(folder, parameters, weights_sha256):
    """The Prior of a model's folder, None where it has none.

    Args:
        folder: Path of the model.
        parameters: number of its network's free parameters; None for a network that cannot be refined.
        weights_sha256: of its weights' file.

    Raises:
        ModelError: the file is no prior, or one of another model.
    """
    path = folder / FILE
    if parameters is None or not path.exists():
        return None
    found = read_for_weights(Prior, path, "typical errors", weights_sha256)
    if len(found.covariance) != parameters:
        raise ModelError(f"{path}: it has {len(found.covariance)} parameters, the model {parameters}. {WAY_OUT}")
    return found
