"""What every network says about a scan, what it is compared with, and the losses on it."""

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn import functional

from ..errors import ConfigError
from .layers import dense

LINE_PARAMETERS = ("lorentz_hz", "gauss_hz", "shift_hz", "phase_rad")
"""The line parameters that every network estimates beside the concentrations, in this order."""

MAX_UNITS = 2**16
MAX_LAYERS = 64
"""Bounds of a layer's units and of the number of layers: a configuration may come from a foreign folder."""

OUTPUTS = ("softmax", "sigmoid")
"""How concentrations are made positive: together, with a sum of 1 (softmax), or each within [0, 1] (sigmoid)."""

LINE_UNITS = 64
"""Units of the small head that estimates the line parameters where it stands apart."""

SPREAD_UNITS = 128
"""Units of the small head that expects errors."""

SPREAD_RANGE = (-8.0, 0.0)
"""Logarithms of expected errors that it may say: 0.0003 to 1."""

SPREAD_WEIGHT = 0.02
"""Weight of its loss."""


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
        fractions: (batch, metabolite) concentrations relative to their sum; with an output "sigmoid" nearly so, for
            such a network learns the sum of 1 instead of having it.
        line: (batch, 4) normalised `LINE_PARAMETERS`.
        clean: (batch, channel, bin) spectra without noise, baseline and water, in the input's scale; None for
            networks that do not reconstruct.
        spread: (batch, metabolite) logarithm of the absolute error that the network expects of each concentration
            relative to the largest; None where it expects none, as the truth does.
        features: (batch, feature) what the network's last layers are given; None where it was not kept, and of truth.
    """

    fractions: torch.Tensor
    line: torch.Tensor
    clean: torch.Tensor | None = None
    spread: torch.Tensor | None = None
    features: torch.Tensor | None = None

    @property
    def shown_line(self):
        """(batch, 4) normalised line parameters that go with the fractions."""
        return self.line

    @property
    def own_spread(self):
        """(batch, metabolite) `spread` as far as the estimates shrink for it; None as that is."""
        return self.spread

    def known(self, fractions=None, clean=None):
        """What was said, as the truth of a scan of which only these are known: nothing is learnt of the rest.

        Args:
            fractions: (batch, metabolite); None where they are not known.
            clean: (batch, channel, bin); None where it is not known.
        """
        own = None if self.clean is None else self.clean.detach()
        return Output(
            self.fractions.detach() if fractions is None else fractions,
            self.line.detach(),
            own if clean is None or own is None else clean,
        )

    def without_spread(self):
        """The same without expected errors, of which then nothing is learnt."""
        return replace(self, spread=None)


class Bounded(torch.autograd.Function):
    """Values (...) cut to a range, whose gradient still brings back in what is outside; `clamp` would keep it there."""

    @staticmethod
    def forward(ctx, values, low, high):
        """Values cut to `low` and `high`."""
        ctx.save_for_backward(values)
        ctx.ends = low, high
        return values.clamp(low, high)

    @staticmethod
    def backward(ctx, slope):
        """The gradient, 0 where a step against it would go further out."""
        (values,), (low, high) = ctx.saved_tensors, ctx.ends
        outwards = ((values < low) & (slope > 0)) | ((values > high) & (slope < 0))
        return slope.masked_fill(outwards, 0.0), None, None


class Quantifier(nn.Module):
    """Last layers of every network: features to concentrations and line parameters.

    Args:
        features: size of the input.
        hidden: sizes of the layers between; a number stands for one layer.
        metabolites: number of concentrations.
        dropout: share of the units before each further layer dropped in training.
        activation: name in `layers.ACTIVATIONS`.
        normalisation: of the hidden layers, name in `layers.NORMALISATIONS`.
        output: one of `OUTPUTS`.
        line_apart: whether the line parameters come from a small head of their own that reads the features and
            does not shape them: no gradient goes back from it.
    """

    def __init__(
        self, features, hidden, metabolites, dropout=0.0, activation="gelu", normalisation="none", output="softmax",
        line_apart=False,
    ):  # fmt: skip
        super().__init__()
        self.metabolites, self.output = metabolites, output
        sizes = (features, hidden) if isinstance(hidden, int) else (features, *hidden)
        layers = [] if len(sizes) > 1 else [nn.Dropout(dropout)]
        for pair in zip(sizes[:-1], sizes[1:]):
            layers += [*dense(pair, activation, normalisation), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(sizes[-1], metabolites + (0 if line_apart else 4)))
        apart = (nn.Linear(features, LINE_UNITS), nn.Tanh(), nn.Linear(LINE_UNITS, 4))
        self.line = nn.Sequential(*apart) if line_apart else None
        self.spread = nn.Sequential(nn.Linear(features, SPREAD_UNITS), nn.GELU(), nn.Linear(SPREAD_UNITS, metabolites))

    def forward(self, features):
        """(batch, feature) to fractions (batch, metabolite), line (batch, 4) and spread (batch, metabolite)."""
        values = self.layers(features)
        fractions, line = values[:, : self.metabolites], values[:, self.metabolites :]
        if self.line is not None:
            line = self.line(features.detach())
        # Expecting errors well must not cost making small ones.
        spread = Bounded.apply(self.spread(features.detach()).float(), *SPREAD_RANGE)
        return fractions.sigmoid() if self.output == "sigmoid" else fractions.softmax(-1), line, spread


def to_largest(fractions):
    """Concentrations relative to the largest of each scan."""
    return fractions / fractions.amax(-1, keepdim=True).clamp_min(1e-12)


def _largest(output, truth):
    """Huber loss on concentrations relative to the largest, whose errors are what is reported."""
    return 50 * functional.huber_loss(to_largest(output.fractions), to_largest(truth.fractions), delta=0.02)


def expected_spreads(output):
    """Logarithms of the errors that a network expects, (batch, metabolite), 0 throughout where it expects none; and the
    same as far as its estimates shrink for them.
    """
    nothing = torch.zeros_like(output.fractions)
    return tuple(nothing if found is None else found for found in (output.spread, output.own_spread))


LOSSES = {
    "largest": (_largest, 0.05),
    "huber": (lambda output, truth: functional.huber_loss(output.fractions, truth.fractions), 1e-3),
    "squares": (lambda output, truth: functional.mse_loss(output.fractions, truth.fractions), 1e-3),
}
"""Name -> (loss on concentrations, weight of the line parameters' loss beside it). "huber" (of delta 1) and "squares"
compare what is relative to the sum, as the published networks do."""


def quantification_loss(output, truth, kind="largest"):
    """Loss on concentrations and, lightly, on the line parameters.

    Args:
        output: of a network.
        truth: in the same form.
        kind: name in `LOSSES`.

    Returns:
        Scalar tensor.
    """
    concentrations, line_weight = LOSSES[kind]
    line = functional.smooth_l1_loss(output.line, truth.line, beta=0.1)
    return concentrations(output, truth) + line_weight * line + SPREAD_WEIGHT * spread_loss(output, truth)


def spread_loss(output, truth):
    """Negative log-likelihood of the errors, of Laplace distributions of the expected mean; 0 where there is none."""
    if output.spread is None:
        return 0.0
    error = (to_largest(output.fractions) - to_largest(truth.fractions)).abs().detach()
    return (error * torch.exp(-output.spread) + output.spread).mean()
