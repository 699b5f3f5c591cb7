"""Guarded hybrid network: what both spectra say of a scan, believed as far as edit-off alone does not contradict it.

How well editing works differs between scanners by more than any simulation spans, and a network that fits edit-off and
edit-on together errs where edit-on is unlike all that it has learnt. So a second hybrid network sees edit-off alone,
which editing pulses hardly change. Where the two agree within the error that the second expects of itself, the first,
which knows more, is taken; the further they are apart, the more the second.
"""

from dataclasses import dataclass, replace

import torch
from torch import nn

from ..errors import ConfigError
from .hybrid import Hybrid, HybridConfig, HybridOutput
from .layers import check_number
from .output import SPREAD_RANGE, Bounded, quantification_loss, to_largest

LEAST_DISTANCE = 1e-3
"""Distances below this count as this."""

FARTHEST = 1.5
"""Distance, in knees, beyond which the error that is expected grows no more: the joined estimate is nearly that of
edit-off by then, however far off the other one is, and training has few scans of larger distances (one in a hundred).
"""

UNITS = 16
"""Hidden units of the small network that says how far the joined estimates are off."""


@dataclass(frozen=True)
class GuardedConfig(HybridConfig):
    """Size of either network, as of HybridConfig, and when the one of both spectra is believed.

    The defaults were chosen on simulated scans (docs/results.md): nearer knees are better where edit-on is not as in
    any simulation, and worse where it is.

    Attributes:
        knee: distance of the two estimates, in errors that edit-off expects, at which either counts half.
        steepness: power of the distance with which that changes.
        surest: least expected error in that distance, relative to the largest concentration, in quadrature.
    """

    knee: float = 1.4
    steepness: float = 4.0
    surest: float = 0.01

    def __post_init__(self):
        super().__post_init__()
        check_number("knee", self.knee, 0.01)
        check_number("steepness", self.steepness, 0.1)
        check_number("surest", self.surest, 0.0)

    def believed(self, contradiction):
        """How far both spectra are believed, (batch, 1) of 0 to 1, at a contradiction (batch,) as of GuardedOutput."""
        return (1 / (1 + (contradiction / self.knee) ** self.steepness))[:, None]


def mean_expected(off, both, belief):
    """(batch, metabolite) logarithms of the mean of the errors that either network expects, as far as it is believed.

    Args:
        off, both: (batch, metabolite) logarithms of them.
        belief: (batch, 1) as of GuardedOutput.
    """
    return torch.lerp(off.exp(), both.exp(), belief).log()


class Guarded(Hybrid):
    """Guarded hybrid network; arguments as of Hybrid, of GuardedConfig. Itself it is the network of both spectra.

    Raises:
        ConfigError: there are no two spectra, or the configuration is one of another network.
    """

    spectra = 2

    def __init__(self, config, channels, bins, metabolites):
        if channels != 2 * self.spectra:
            raise ConfigError("The network guarded is for edit-off and edit-on: take hybrid for one spectrum.")
        if not isinstance(config, GuardedConfig):
            raise ConfigError(f"The network guarded takes a GuardedConfig, not {type(config).__name__}.")
        super().__init__(config, channels, bins, metabolites)
        self.off = Hybrid(config, channels // 2, bins, metabolites)
        self.expects = nn.Sequential(nn.Linear(4, UNITS), nn.GELU(), nn.Linear(UNITS, 1))
        with torch.no_grad():
            for weights in self.expects[-1].parameters():
                weights.zero_()

    def take_basis(self, fids, config):
        """Learn the basis set; arguments and errors as of Hybrid."""
        super().take_basis(fids, config)
        self.off.take_basis(fids[:1], config)

    def check_taken(self, config):
        """Refuse buffers that `take_basis` cannot have made, as of Hybrid."""
        super().check_taken(config)
        self.off.check_taken(config)
        one, other = (basis / basis.norm().clamp_min(1e-9) for basis in (self.basis[0], self.off.basis[0]))
        if not torch.allclose(one, other, atol=1e-4):
            raise ConfigError("The weights hold two basis sets, not of the model's configuration.")

    def forward(self, channels):
        """(batch, channel, bin) to GuardedOutput; all but fractions and spread are of the network of both spectra."""
        both, off = super().forward(channels), self.off(channels[:, :2])
        high, low = to_largest(both.fractions), to_largest(off.fractions)
        apart = (high - low).detach().abs()
        expected = off.spread.detach().exp().square().mean(1) + self.config.surest**2
        contradiction = (apart.square().mean(1) / expected).sqrt()
        belief = self.config.believed(contradiction)
        joined = torch.lerp(low, high, belief)
        spread = self.expected(both.spread, off.spread, apart, contradiction)
        parts = vars(both) | {"fractions": joined / joined.sum(1, keepdim=True).clamp_min(1e-9), "spread": spread}
        return GuardedOutput(**parts, both=both, off=off, contradiction=contradiction, belief=belief)

    def expected(self, both, off, apart, contradiction):
        """(batch, metabolite) logarithms of the errors, relative to the largest, expected of the joined estimates.

        Args:
            both, off: (batch, metabolite) the same of either network's.
            apart: (batch, metabolite) distance of their estimates.
            contradiction: (batch,) as of GuardedOutput.
        """
        with torch.autocast(apart.device.type, enabled=False):
            # Expecting errors well must not cost making small ones.
            both, off, apart, contradiction = (values.detach().float() for values in (both, off, apart, contradiction))
            believed = self.config.believed
            plain = mean_expected(off, both, believed(contradiction))
            nearer = (FARTHEST * self.config.knee / contradiction.clamp_min(LEAST_DISTANCE)).clamp_max(1)
            near = (apart * nearer[:, None]).clamp_min(LEAST_DISTANCE).log()
            trust = torch.logit(believed(contradiction * nearer), 1e-4).expand_as(off)
            more = self.expects(torch.stack((plain, off, near, trust), -1))[..., 0]
            return Bounded.apply(plain + more, *SPREAD_RANGE)

    def loss(self, output, truth, epoch=0):
        """Scalar training loss: of the joined estimates, and of either network's own."""
        if isinstance(truth, GuardedOutput):
            both, off = truth.both, truth.off
        else:
            both, off = truth, replace(truth, clean=truth.clean[:, :2])
        # Line parameters are those of the network of both spectra, which learns them for itself.
        joined = quantification_loss(replace(output, line=output.line.detach()), truth)
        return joined + super().loss(output.both, both, epoch) + self.off.loss(output.off, off, epoch)


@dataclass(frozen=True)
class GuardedOutput(HybridOutput):
    """Output with that of the two networks.

    Attributes:
        both: HybridOutput of the network of both spectra.
        off: HybridOutput of the network of edit-off alone.
        contradiction: (batch,) how far apart their concentrations are: root mean square over the metabolites, divided
            by that of the errors that the second one expects of itself, with `surest` in quadrature. Not each
            metabolite by its own: of the largest of a scan next to no error may be expected, and a small difference in
            it would contradict all.
        belief: (batch, 1) how far the network of both spectra is believed.
    """

    both: HybridOutput | None = None
    off: HybridOutput | None = None
    contradiction: torch.Tensor | None = None
    belief: torch.Tensor | None = None

    @property
    def shown_line(self):
        """As of Output: of the network of both spectra as far as it is believed, else of that of edit-off."""
        return torch.lerp(self.off.line, self.line, self.belief)

    @property
    def own_spread(self):
        """As of Output: without what is expected as the two networks differ, which makes neither of them shrink.

        Where the joined estimate is expected to be better than either network's, it shrinks for that alone.
        """
        if self.spread is None:
            return None
        return torch.minimum(mean_expected(self.off.spread, self.both.spread, self.belief), self.spread)

    def known(self, fractions=None, clean=None):
        """As of Output; either network's own is what it said itself."""
        of_off = None if clean is None else clean[:, :2]
        parts = {"both": self.both.known(fractions, clean), "off": self.off.known(fractions, of_off)}
        return GuardedOutput(**vars(super().known(fractions, clean)), **parts)

    def without_spread(self):
        """As of Output, of either network too."""
        both, off = self.both.without_spread(), self.off.without_spread()
        return replace(self, spread=None, both=both, off=off)
