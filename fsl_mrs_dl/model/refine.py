"""Refining what a hybrid network says about scans: Gauss-Newton steps on everything that adjusts the basis.

The parameters p that adjust the basis (`Hybrid.free_count` of them) and the concentrations c of a scan are moved to
where

    |data - fit(p, c)|^2 / v + (p - p0)' P (p - p0) + sum ((c - c0) / s)^2

is smaller, in steps damped after Levenberg (Q Appl Math 2:164, 1944). Data and fit are weighted by the network's
trust, with water and baseline taken out. p0 and c0 are the network's estimates, s the errors that it expects of c0, P
the inverse of the covariance of its errors on simulated scans (`model.prior`), for scans of which it expects smaller
errors than of those made tighter in proportion. For given p, c is the solution of non-negative ridge regression
(variable projection).

The network's basis is not the scanner's, and steps would make up for that with concentrations. So the variance v lies
between that of the noise, measured where the spectrum holds nothing else, and that of the residual before the
steps; and of the change of the estimates only as much is kept as noise explains the residual behind the steps, and of
a guarded network as both spectra are believed.
"""

from dataclasses import dataclass

import torch

from ..errors import ConfigError
from .adjusted import non_negative, solve_positive
from .derivatives import derivatives
from .inputs import complex_spectra, network_input, noise_level
from .prior import Prior

MAX_STEPS = 50

AT_ONCE = 16
"""Scans refined together: more do not fit into a processor's cache and take twice as long."""

ALIKE = 10.0
"""Neighbouring points of a spectrum that err alike, by which the variance is raised; chosen on simulated scans."""

DAMPING, EASIER, HARDER = 1e-2, 0.25, 10.0
"""Damping relative to the diagonal at the start, and its factors after a step that was taken and one that was not."""

LEAST_NOISE = 1e-6
"""Noise variance relative to that of the residual, at least: scans without any noise are simulated ones."""


@dataclass(frozen=True)
class Refined:
    """Estimates after the steps.

    Attributes:
        fractions: (batch, metabolite) concentrations relative to their sum.
        line: (batch, 4) normalised line parameters.
        kept: (batch,) how much of the change was kept, 0 to 1.
    """

    fractions: torch.Tensor
    line: torch.Tensor
    kept: torch.Tensor


@dataclass(frozen=True)
class Refiner:
    """How estimates of a model are refined.

    Attributes:
        prior: Prior of its network.
        steps: number of steps tried.

    Raises:
        ConfigError: another number than 1 to `MAX_STEPS`.
    """

    prior: Prior
    steps: int

    def __post_init__(self):
        if not 1 <= self.steps <= MAX_STEPS:
            raise ConfigError(f"Estimates are refined in 0 to {MAX_STEPS} steps, not {self.steps}.")

    def __call__(self, network, config, fids, output):
        """Refined of what a network said about FIDs.

        Args:
            network: Hybrid.
            config: InputConfig.
            fids: (batch, condition, point) complex tensor that its input was made of.
            output: HybridOutput.
        """
        channels, scale = network_input(fids, config)
        return refine(network, channels, output, noise_level(fids, scale), self.prior, self.steps)


@torch.no_grad()
def refine(network, channels, output, noise, prior, steps):
    """Refine what a network said about scans.

    Args:
        network: Hybrid.
        channels: (batch, channel, bin) its input.
        output: HybridOutput for it.
        noise: (batch, condition) of `inputs.noise_level`.
        prior: Prior.
        steps: number of steps tried; a step that does not lower the cost is not taken.

    Returns:
        Refined.
    """
    precision = torch.as_tensor(prior.precision, dtype=torch.float32, device=channels.device)
    parts = []
    for start in range(0, len(channels), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        some = Problem(network, channels[rows], output.line[rows], output.adjustments[rows])
        given = output.fractions[rows], output.spread[rows], noise[rows], output.belief[rows]
        parts.append(_refine_some(some, *given, precision, prior.spread, steps))
    return Refined(*map(torch.cat, zip(*parts)))


def _refine_some(problem, fractions, spread, noise, belief, precision, typical_spread, steps):
    """Fractions, line and share kept of the scans of a Problem, as `refine` has them."""
    before, residual = problem.scaled(fractions)
    strength = residual.square().mean(1)
    noise = (problem.trust.square().mean(2) * noise.square()).mean(1)
    noise = torch.maximum(noise, LEAST_NOISE * strength).clamp_min(1e-20)
    variance = ALIKE * (noise * strength).sqrt()[:, None]
    spread = spread.exp()
    tighter = typical_spread**2 / spread.square().mean(1, keepdim=True)
    # Both are the cost's weights times the variance, which does not matter to where the cost is least.
    ridge = variance / (spread * before.amax(1, keepdim=True)).square()
    problem.hold(before, ridge, precision * (variance * tighter)[..., None])
    for _ in range(steps):
        problem.step()
    kept = (noise / problem.residual.square().mean(1).clamp_min(1e-30)).clamp(0, 1).square()[:, None] * belief
    concentrations = torch.lerp(before, problem.concentrations, kept)
    line = torch.lerp(problem.start, problem.values, kept)[:, :4]
    return concentrations / concentrations.sum(1, keepdim=True).clamp_min(1e-12), line, kept[:, 0]


class Problem:
    """Some scans on their way: `hold` says what holds them back, `step` moves those whose cost it lowers.

    Args:
        network: Hybrid.
        channels: (batch, channel, bin) spectra to fit.
        line: (batch, 4) normalised line parameters to start from.
        adjustments: (batch, number) the network's other estimates.

    Attributes:
        trust: (batch, condition, bin) weights of the spectra.
        start, values: (batch, parameter) free parameters at the start and now.
        concentrations: (batch, metabolite) now.
        residual: (batch, real number) weighted data less fit now.
    """

    def __init__(self, network, channels, line, adjustments):
        self.network, self.fixed = network, network.split(adjustments.float())
        number = network.free_count - line.shape[1]
        self.rest = adjustments[:, number:].float()
        self.start = self.values = torch.cat([line.float(), adjustments[:, :number].float()], 1)
        self.trust = network.trust(self.fixed)
        self._goal = network.weighted(complex_spectra(channels)[:, :, None], self.fixed)[:, 0]
        self._columns = self._adjusted(self.start)

    def scaled(self, fractions):
        """Fractions (batch, metabolite) in the scale of the spectra, and what they leave at the start."""
        fit = (fractions.float()[:, None] @ self._columns)[:, 0]
        amplitude = (fit * self._goal).sum(1, keepdim=True) / fit.square().sum(1, keepdim=True).clamp_min(1e-12)
        amplitude = amplitude.clamp_min(1e-6)
        return amplitude * fractions.float(), self._goal - amplitude * fit

    def hold(self, concentrations, ridge, precision):
        """Start from concentrations, and hold the scans back.

        Args:
            concentrations: (batch, metabolite) in the scale of the spectra.
            ridge: (batch, metabolite) weights of squared changes of them, in units of the squared residual.
            precision: (batch, parameter, parameter) of changes of the parameters.
        """
        self.before = self.concentrations = concentrations
        self.ridge, self.precision = ridge, precision
        self.residual = self._goal - (concentrations[:, None] @ self._columns)[:, 0]
        self.cost = self._cost(self.values, concentrations, self.residual)
        self.damping = self.cost.new_full((len(self.cost), 1), DAMPING)

    def _split(self, values):
        """Line and adjustments of free parameters."""
        line, free = values.split([4, values.shape[1] - 4], 1)
        return line, self.network.split(torch.cat([free, self.rest], 1))

    def _adjusted(self, values):
        """(batch, metabolite, real number) adjusted basis as least squares sees it."""
        return self.network.weighted(self.network.adjusted(*self._split(values)), self.fixed)

    def _cost(self, values, concentrations, residual):
        """(batch,) sum of squares of the residual and what is held against the changes."""
        away = (values - self.start)[:, None]
        held = (away @ self.precision @ away.mT)[:, 0, 0]
        return residual.square().sum(1) + held + (self.ridge * (concentrations - self.before).square()).sum(1)

    def system(self):
        """Normal equations of a step: (batch, n, n) and (batch, n) for the parameters and then the concentrations."""
        count = self.values.shape[1]
        slopes = derivatives(self.network, *self._split(self.values), self.concentrations)
        slopes = torch.cat([self.network.weighted(slopes, self.fixed), self._columns], 1)
        system, downhill = slopes @ slopes.mT, (slopes @ self.residual[..., None])[..., 0]
        system[:, :count, :count] += self.precision
        downhill[:, :count] -= (self.precision @ (self.values - self.start)[..., None])[..., 0]
        system[:, count:, count:] += torch.diag_embed(self.ridge)
        downhill[:, count:] -= self.ridge * (self.concentrations - self.before)
        return system, downhill

    def step(self):
        """One step of all scans; the concentrations are then fitted anew."""
        system, downhill = self.system()
        system.diagonal(dim1=1, dim2=2).mul_(1 + self.damping)
        values = self.values + solve_positive(system, downhill)[:, : self.values.shape[1]]
        columns = self._adjusted(values)
        target = (columns @ self._goal[..., None])[..., 0]
        concentrations = non_negative(columns @ columns.mT, target, self.ridge, self.before)
        residual = self._goal - (concentrations[:, None] @ columns)[:, 0]
        cost = self._cost(values, concentrations, residual)
        # Where a step led astray the cost is not a number, and then it is not smaller.
        better = cost < self.cost
        row = better[:, None]
        self.cost, self.values = torch.where(better, cost, self.cost), torch.where(row, values, self.values)
        self.concentrations = torch.where(row, concentrations, self.concentrations)
        self.residual = torch.where(row, residual, self.residual)
        self._columns = torch.where(row[..., None], columns, self._columns)
        self.damping = self.damping * torch.where(row, EASIER, HARDER)
