"""What every network says about a scan, what it is compared with, and the losses on it."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from ..errors import ConfigError

LINE_PARAMETERS = ("lorentz_hz", "gauss_hz", "shift_hz", "phase_rad")
"""The line parameters that every network estimates beside the concentrations, in this order."""

MAX_UNITS = 2**16
MAX_LAYERS = 64
"""Bounds of a layer's units and of the number of layers: a configuration may come from a foreign folder."""


def check_layers(name, sizes):
    """Refuse a list of more layers, or of larger or smaller ones, than a network may have."""
    if len(sizes) > MAX_LAYERS:
        raise ConfigError(f"{name} must list at most {MAX_LAYERS} layers, not {len(sizes)}.")
    wrong = [size for size in sizes if not 1 <= size <= MAX_UNITS]
    if wrong:
        raise ConfigError(f"{name} must be at least 1 and at most {MAX_UNITS}, not {wrong[0]}.")


@dataclass(frozen=True)
class LineScale:
    """Centre and half-range of the line parameters in training, to bring them to about [-1, 1]."""

    centre: tuple[float, float, float, float]
    half_range: tuple[float, float, float, float]

    def __post_init__(self):
        # Also refuses NaN, and what single precision takes for 0 or infinity.
        if len(self.centre) != 4 or not all(abs(value) < 1e6 for value in self.centre):
            raise ConfigError(f"centre must be 4 numbers between -1e6 and 1e6, not {self.centre}.")
        if len(self.half_range) != 4 or not all(1e-6 < value < 1e6 for value in self.half_range):
            raise ConfigError(f"half_range must be 4 numbers between 1e-6 and 1e6, not {self.half_range}.")

    def normalise(self, values):
        """(batch, 4) in Hz and rad to about [-1, 1]."""
        return (values - values.new_tensor(self.centre)) / values.new_tensor(self.half_range)

    def restore(self, values):
        """(batch, 4) from about [-1, 1] to Hz and rad."""
        return values * values.new_tensor(self.half_range) + values.new_tensor(self.centre)


@dataclass(frozen=True)
class Output:
    """Of a network, and in the same form the truth of a training scan.

    Attributes:
        fractions: (batch, metabolite) concentrations relative to their sum.
        line: (batch, 4) normalised `LINE_PARAMETERS`.
        clean: (batch, channel, bin) spectra without noise, baseline and water, in the input's scale; None for
            networks that do not reconstruct.
    """

    fractions: torch.Tensor
    line: torch.Tensor
    clean: torch.Tensor | None = None


class Quantifier(nn.Module):
    """Last layers of every network: features to concentrations (softmax) and line parameters.

    Args:
        features: size of the input.
        hidden: size of the layer between.
        metabolites: number of concentrations.
        dropout: share of the hidden units dropped in training.
    """

    def __init__(self, features, hidden, metabolites, dropout=0.0):
        super().__init__()
        self.metabolites = metabolites
        self.layers = nn.Sequential(
            nn.Linear(features, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, metabolites + 4)
        )

    def forward(self, features):
        """(batch, feature) to fractions (batch, metabolite) and line (batch, 4)."""
        values = self.layers(features)
        return values[:, : self.metabolites].softmax(-1), values[:, self.metabolites :]


def to_largest(fractions):
    """Concentrations relative to the largest of each scan."""
    return fractions / fractions.amax(-1, keepdim=True).clamp_min(1e-12)


def quantification_loss(output, truth):
    """Huber losses on concentrations (relative to the largest) and, lightly, on the line parameters."""
    concentrations = functional.huber_loss(to_largest(output.fractions), to_largest(truth.fractions), delta=0.02)
    line = functional.smooth_l1_loss(output.line, truth.line, beta=0.1)
    return 50 * concentrations + 0.05 * line
