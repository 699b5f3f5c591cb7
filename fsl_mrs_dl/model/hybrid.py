"""Hybrid network: a network says how the basis must be adjusted to a scan, least squares gives the concentrations.

The network estimates what makes the fit non-linear: widths, line shape, shifts and phases, of the scan, of each
metabolite and of edit-on against edit-off, how strongly editing acted, and how far the points of either
spectrum can be trusted. On the basis adjusted so, concentrations are a small non-negative least-squares problem
over all conditions, in which the network's own estimate is a prior of learned strength. All of it is differentiable
and trained as one.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from ..errors import ConfigError
from .adjusted import (
    EARLIER,
    EDDY_S,
    KERNEL_HZ,
    NUISANCE,
    BandGrid,
    line_shape,
    modulation,
    non_negative,
    nuisance_space,
)
from .inputs import complex_spectra
from .layers import Choice, Span, check_number
from .output import Output, Quantifier, check_layers, quantification_loss, to_largest

KNOTS = 12
"""Places of each spectrum at which its trust is estimated."""

MOST_SHIFT_HZ = 1.5
"""Largest shift of a single metabolite (Hz)."""

KERNEL_UNIT, EDDY_UNIT, EFFICIENCY_UNIT = 0.15, 0.5, 0.5
"""What 1 in the network's estimates stands for: share of a line beside it, phase (rad), strength of editing."""

DRIFT_UNITS = (1.0, 0.2, 0.1)
"""The same for edit-on against edit-off: shift (Hz), phase (rad), logarithm of the gain."""

FREE = ("kernel", "eddy", "shift", "width", "drift", "efficiency")
"""The estimates that adjust the basis; the first ones of `Hybrid.sizes`, in this order."""

GROUPS = 8
"""Groups of the normalisation between convolutions, of which their widths are multiples."""


@dataclass(frozen=True)
class HybridConfig:
    """Size of a hybrid network.

    Attributes:
        widths: filters of each stage of convolutions; every stage halves the number of points.
        dense: units of the dense layers behind them.
        reconstruction_weight: of the adjusted basis's loss against the clean spectra.
        direct_weight: of the loss of the network's own estimate, before least squares.
    """

    widths: tuple[int, ...] = (32, 64, 112, 160)
    dense: int = 384
    reconstruction_weight: float = 0.2
    direct_weight: float = 0.3

    SEARCH = {
        "first": Choice((16, 32, 48)),
        "growth": Choice((1.0, 1.4, 1.7)),
        "dense": Choice((128, 256, 384, 512)),
        "reconstruction_weight": Span(0.02, 1.0, log=True),
        "direct_weight": Span(0.03, 1.0, log=True),
    }

    @classmethod
    def searched(cls, first, growth, **values):
        """The configuration of a point in `SEARCH`: four stages that grow by a factor."""
        widths = tuple(GROUPS * round(first * growth**stage / GROUPS) for stage in range(4))
        return cls(widths, **values)

    def __post_init__(self):
        check_layers("widths", self.widths)
        check_layers("dense", (self.dense,))
        if not self.widths or any(width % GROUPS for width in self.widths):
            raise ConfigError(f"widths must list multiples of {GROUPS}, not {list(self.widths)}.")
        check_number("reconstruction_weight", self.reconstruction_weight, 0.0)
        check_number("direct_weight", self.direct_weight, 0.0)


def extra_width(value):
    """Width of a metabolite's lines beyond the common one (Hz), from the network's estimate; about 0.3 Hz for 0."""
    return functional.softplus(value - 1)


def extra_width_slope(value):
    """Derivative of `extra_width`."""
    return torch.sigmoid(value - 1)


class Block(nn.Module):
    """Two convolutions whose outcome is added to their input."""

    def __init__(self, width):
        super().__init__()
        half = (nn.GroupNorm(GROUPS, width), nn.GELU(), nn.Conv1d(width, width, 5, padding=2))
        again = (nn.GroupNorm(GROUPS, width), nn.GELU(), nn.Conv1d(width, width, 5, padding=2))
        self.layers = nn.Sequential(*half, *again)

    def forward(self, values):
        """(batch, width, bin) to the same shape."""
        return values + self.layers(values)


class Hybrid(nn.Module):
    """Hybrid network. Before training, `take_basis` tells it the basis set; a saved one brings it in its weights.

    Args:
        config: HybridConfig.
        channels, bins: of the input.
        metabolites: number of concentrations.
    """

    def __init__(self, config, channels, bins, metabolites):
        super().__init__()
        self.config, self.conditions, self.grid = config, channels // 2, BandGrid(bins)
        layers, width, length = [], channels, bins
        for index, wide in enumerate(config.widths):
            kernel = 5 if index else 7
            layers += [nn.Conv1d(width, wide, kernel, 2, kernel // 2), Block(wide)]
            width, length = wide, (length + 1) // 2
        layers += [nn.GroupNorm(GROUPS, width), nn.GELU(), nn.Flatten(), nn.Linear(width * length, config.dense)]
        layers += [nn.LayerNorm(config.dense), nn.GELU(), nn.Linear(config.dense, config.dense), nn.GELU()]
        self.encoder = nn.Sequential(*layers)
        self.quantifier = Quantifier(config.dense, config.dense, metabolites)
        self.sizes = {
            "kernel": len(KERNEL_HZ),
            "eddy": len(EDDY_S),
            "shift": metabolites,
            "width": metabolites,
            "drift": 3 * (self.conditions - 1),
            "efficiency": metabolites * (self.conditions - 1),
            "trust": self.conditions * KNOTS,
            "baseline": self.conditions,
            "ridge": metabolites,
        }
        self.adjustments = nn.Linear(config.dense, sum(self.sizes.values()))
        with torch.no_grad():
            self.adjustments.weight.mul_(0.3)
        self._make_room(metabolites)

    def _make_room(self, metabolites):
        """Buffers for what `take_basis` learns; complex numbers as pairs, which weights' files can hold."""
        bins, points = self.grid.bins, self.grid.points
        self.register_buffer("basis", torch.zeros(self.conditions, metabolites, points, 2))
        self.register_buffer("times", torch.zeros(points))
        self.register_buffer("nuisance", torch.zeros(bins, NUISANCE, 2))
        self.register_buffer("nuisance_energy", torch.ones(NUISANCE))
        self.register_buffer("line_scale", torch.ones(2, 4))
        # On the processor: a network may be built without memory for its weights, where such steps are slow.
        knots = torch.linspace(0, bins - 1, KNOTS, device="cpu")[:, None]
        away = (torch.arange(bins, device="cpu") - knots).abs() / (knots[1] - knots[0])
        self.register_buffer("hats", (1 - away).clamp_min(0))

    def take_basis(self, fids, config):
        """Learn the basis set.

        Args:
            fids: (condition, metabolite, point) complex tensor on the time grid of the input.
            config: ModelConfig.

        Raises:
            ConfigError: the input is not one for this network.
        """
        grid = config.input
        self._check_input(grid)
        short = self.grid.shorten(fids.to(torch.complex64), grid.band[0])
        short = short / self.grid.spectra(short).abs().amax()
        space = nuisance_space(grid.centre_hz, grid.points, grid.dwell_s, grid.band[0], self.grid.bins, NUISANCE)
        self.basis.copy_(torch.view_as_real(short))
        self.times.copy_(self.grid.times(grid.points * grid.dwell_s))
        self.nuisance.copy_(torch.view_as_real(space[0]))
        self.nuisance_energy.copy_(space[1])
        self.line_scale.copy_(torch.tensor([config.line.centre, config.line.half_range]))

    def _check_input(self, grid):
        """Refuse an InputConfig that the short grid cannot hold."""
        if grid.resample_bins:
            raise ConfigError("The hybrid network needs the points of the scans' own grid: leave input_bins out.")
        if self.grid.wide < EARLIER:
            raise ConfigError(
                f"The hybrid network needs about {EARLIER} points of the spectrum, not {self.grid.bins}: widen ppm, or "
                "take another network."
            )

    def check_taken(self, config):
        """Refuse buffers that `take_basis` cannot have made, as a stranger's weights may hold.

        Args:
            config: ModelConfig.

        Raises:
            ConfigError: they belong to another time grid or scale, or hold values that are out of range.
        """
        grid = config.input
        self._check_input(grid)
        expected = (
            (self.times, self.grid.times(grid.points * grid.dwell_s)),
            (self.line_scale, torch.tensor([config.line.centre, config.line.half_range])),
        )
        same = all(torch.allclose(found, right, rtol=1e-4, atol=1e-6) for found, right in expected)
        # The highest point of the basis set's spectra is 1, and directions are of unit length.
        highest = self.grid.spectra(torch.view_as_complex(self.basis)).abs().amax()
        energy = self.nuisance_energy
        bounded = self.nuisance.abs().max() < 1.1 and 0 <= energy.min() and energy.max() < 1.1
        if not (same and bounded and 0.9 < highest < 1.1):
            raise ConfigError("The weights hold a basis set, times or scales not of the model's configuration.")

    def forward(self, channels):
        """(batch, channel, bin) to Output; its clean spectra are the adjusted basis times the concentrations."""
        features = self.encoder(channels)
        direct, line, spread = self.quantifier(features)
        with torch.autocast(channels.device.type, enabled=False):
            values = self.adjustments(features.float())
            adjustments = self.split(values)
            basis = self.adjusted(line.float(), adjustments)
            data = complex_spectra(channels)
            concentrations = self.solve(basis, data, direct.float(), adjustments)
            clean = torch.einsum("bm,bcmf->bcf", concentrations.to(basis.dtype), basis)
        fractions = concentrations / concentrations.sum(1, keepdim=True).clamp_min(1e-9)
        clean = torch.view_as_real(clean).movedim(-1, 2).flatten(1, 2)
        return HybridOutput(fractions, line, clean, spread, features, direct, values)

    def split(self, values):
        """Dict of the adjustments, by the names in `sizes`, of (batch, number) estimates in a row."""
        return dict(zip(self.sizes, values.split(list(self.sizes.values()), 1), strict=True))

    @property
    def free_count(self):
        """Number of the parameters that adjust the basis: the line's, and those of `FREE`."""
        return 4 + sum(self.sizes[name] for name in FREE)

    def adjusted(self, line, adjustments):
        """(batch, condition, metabolite, bin) spectra of the basis adjusted to each scan."""
        lorentz_hz, gauss_hz, shift_hz, phase_rad = (line * self.line_scale[1] + self.line_scale[0]).unbind(1)
        kernel, eddy_rad = KERNEL_UNIT * adjustments["kernel"], EDDY_UNIT * adjustments["eddy"]
        shape = line_shape(self.times, lorentz_hz, gauss_hz, shift_hz, phase_rad, kernel, eddy_rad)[:, None]
        fids = torch.view_as_complex(self.basis)[None]
        if self.conditions == 2:
            edited = (1 + EFFICIENCY_UNIT * adjustments["efficiency"])[:, :, None] * (fids[:, 1] - fids[:, 0])
            fids = torch.stack([fids[:, 0].expand_as(edited), fids[:, 0] + edited], 1)
            shift_hz, turn_rad, gain = (adjustments["drift"] * self.times.new_tensor(DRIFT_UNITS)).unbind(1)
            drift = modulation(self.times, torch.zeros_like(shift_hz), shift_hz)
            shape = torch.cat([shape, shape * (drift * torch.exp(torch.complex(gain, turn_rad))[:, None])[:, None]], 1)
        single = modulation(self.times, extra_width(adjustments["width"]), MOST_SHIFT_HZ * adjustments["shift"].tanh())
        return self.grid.spectra(fids * single[:, None] * shape[:, :, None])

    def clear(self, spectra, strength):
        """Spectra (batch, condition, ..., bin) less what water and baseline of (batch, condition) strengths explain."""
        space = torch.view_as_complex(self.nuisance)
        share = 1 - torch.rsqrt(1 + self.nuisance_energy * torch.exp(strength)[..., None])
        share = share.reshape(*share.shape[:2], *[1] * (spectra.dim() - 3), -1)
        return spectra - ((spectra @ space.conj()) * share) @ space.T

    def trust(self, adjustments):
        """(batch, condition, bin) weights of the points of the spectra."""
        return torch.exp(2 * (adjustments["trust"].unflatten(1, (self.conditions, -1)) @ self.hats))

    def weighted(self, spectra, adjustments):
        """Spectra (batch, condition, column, bin) cleared and weighted by trust: (batch, column, real number)."""
        cleared = self.clear(spectra, 10 + 2 * adjustments["baseline"])
        columns = (cleared * self.trust(adjustments)[:, :, None]).transpose(1, 2).flatten(2)
        return torch.view_as_real(columns).flatten(2)

    def solve(self, basis, data, direct, adjustments):
        """Concentrations (batch, metabolite) of data (batch, condition, bin) in an adjusted basis."""
        columns = self.weighted(basis, adjustments)
        goal = self.weighted(data[:, :, None], adjustments)[:, 0]
        gram = columns @ columns.transpose(1, 2)
        target = (columns @ goal[..., None])[..., 0]
        energy = (direct[:, None] @ gram @ direct[..., None])[:, 0]
        amplitude = ((target * direct).sum(1, keepdim=True) / energy.clamp_min(1e-9)).clamp_min(1e-3)
        power = gram.diagonal(dim1=1, dim2=2).mean(1, keepdim=True)
        ridge = power * (1e-4 + torch.exp(2 * adjustments["ridge"] - 3))
        return non_negative(gram, target, ridge, amplitude * direct)

    def loss(self, output, truth, epoch=0):
        """Scalar training loss: quantification before and after least squares, and reconstruction."""
        reconstruction = functional.huber_loss(output.clean, truth.clean, delta=0.05)
        direct = functional.huber_loss(to_largest(output.direct), to_largest(truth.fractions), delta=0.02)
        further = self.config.reconstruction_weight * reconstruction + self.config.direct_weight * direct
        return quantification_loss(output, truth) + 50 * further


@dataclass(frozen=True)
class HybridOutput(Output):
    """Output with what least squares was given.

    Attributes:
        direct: (batch, metabolite) fractions of the network's own estimate.
        adjustments: (batch, number) everything else that it estimates, as `Hybrid.split` takes it.
    """

    direct: torch.Tensor | None = None
    adjustments: torch.Tensor | None = None

    @property
    def belief(self):
        """(batch, 1) how far what was adjusted is believed, and so refined: fully."""
        return torch.ones_like(self.fractions[:, :1])
