"""Building blocks that the networks share: activations, dense layers, sizes that halve, spaces to search."""

from dataclasses import dataclass

from torch import nn

from ..config import check_range
from ..errors import ConfigError

ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}

NORMALISATIONS = {"layer": nn.LayerNorm, "batch": nn.BatchNorm1d, "none": None}


@dataclass(frozen=True)
class Choice:
    """Values that a model selection chooses from."""

    values: tuple


@dataclass(frozen=True)
class Span:
    """Range that a model selection chooses from: whole numbers where both ends are; evenly in the logarithm if log."""

    low: float
    high: float
    log: bool = False


def check_choice(name, value, choices):
    """Refuse a name that is none of the choices."""
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, not {value!r}.")


def check_number(name, value, low, high=None):
    """Refuse a number outside its bounds."""
    check_range(name, (value, value), low, high)


def halved(units, layers):
    """Units of a number of layers, each half as large as the one before, of at least 1: 384, 192, 96."""
    return tuple(max(units >> k, 1) for k in range(layers))


def dense(sizes, activation, normalisation="none", dropout=0.0):
    """Dense layers between the given sizes, each with normalisation, activation and dropout behind it.

    Args:
        sizes: of the input, then of every layer.
        activation: name in `ACTIVATIONS`.
        normalisation: name in `NORMALISATIONS`.
        dropout: share of the units dropped in training.

    Yields:
        torch modules in order; (batch, sizes[0]) becomes (batch, sizes[-1]).
    """
    for before, after in zip(sizes[:-1], sizes[1:]):
        yield nn.Linear(before, after)
        if NORMALISATIONS[normalisation]:
            yield NORMALISATIONS[normalisation](after)
        yield ACTIVATIONS[activation]()
        if dropout:
            yield nn.Dropout(dropout)
