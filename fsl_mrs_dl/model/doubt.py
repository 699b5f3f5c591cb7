"""Doubting a network where its reconstruction leaves more of a scan than noise: larger expected errors there.

A network expects the errors that it makes on scans like those of its training. Of a scanner unlike those it knows
nothing and expects too little; but its reconstruction then leaves more of the scan unexplained. How much larger errors
are for that is learnt from simulated scans of bases unlike those of the training.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.optimize import Bounds, minimize
from torch.nn import functional

from ..basis.basis_files import MAX_METABOLITES
from ..errors import ConfigError, ModelError
from .adjusted import NUISANCE, nuisance_space
from .inputs import complex_spectra
from .output import SPREAD_RANGE

SMOOTHING_HZ = 4.0
"""Gaussian full width (Hz) by which spectra are smoothed first.

Of narrow lines a reconstruction leaves much where it is off by a fraction of their width, which says little about
concentrations. Chosen on simulated scans: without smoothing, intervals of narrow lines are a quarter wider and no more
right; with 14 Hz, foreign bases hardly show.
"""

FLOOR = 0.02
"""Unexplained share of a spectrum below which differences hardly count."""

DOUBTFUL = "its error bars cannot depend on what is left of a scan: calibrate it anew, without --shifts."
"""What is wrong with a doubt for a network that reconstructs no spectra, and the way out."""

MOST = 1e3
"""Largest knee, slope or weight of a file."""

START_KNEE, START_SLOPE = 0.2, 0.5
"""Unexplained share and slope from which they are learnt."""


def reconstructs(output, config):
    """Whether an Output holds spectra on the points of the scans' own grid, to which a scan can be compared."""
    if output.clean is None or config.resample_bins:
        return False
    return output.clean.shape[1:] == (config.channels, config.bins)


def unexplained(output, channels, noise, config):
    """How much of the spectra of scans a network's reconstruction leaves beyond noise, water and baseline.

    Args:
        output: Output of a network.
        channels: (batch, channel, bin) its input.
        noise: (batch, condition) standard deviations of `inputs.noise_level`.
        config: InputConfig.

    Returns:
        (batch, condition) float32 tensor: root mean square of what is left relative to that of the reconstruction.

    Raises:
        ModelError: the network does not reconstruct spectra.
    """
    if not reconstructs(output, config):
        raise ModelError(f"This network reconstructs no spectra, so {DOUBTFUL}")
    kernel = _kernel(config).to(channels.device)
    # Noise of neighbouring points counts as independent; in broadened scans, where it is not, less is taken off.
    noise = 2 * noise.square() * kernel.square().sum()
    spectra = channels - output.clean, output.clean
    left, fit = (_cleared(one, config, kernel).abs().square().mean(2) for one in spectra)
    return ((left - noise).clamp_min(0) / fit.clamp_min(1e-12)).sqrt()


def _cleared(channels, config, kernel):
    """(batch, condition, bin) complex spectra of channels, smoothed, without what water and a baseline could be."""
    spectra, space = complex_spectra(channels), _space(config).to(channels.device)
    rest = torch.view_as_real(spectra - (spectra @ space.conj()) @ space.T).movedim(-1, 2)
    smooth = functional.conv1d(rest.flatten(0, 2)[:, None], kernel[None, None], padding=len(kernel) // 2)
    return torch.view_as_complex(smooth.view(rest.shape).movedim(2, -1).contiguous())


@lru_cache(maxsize=8)
def _kernel(config):
    """(point,) weights, of sum 1, of the Gaussian of `SMOOTHING_HZ` on the points of an InputConfig's spectra."""
    sd = SMOOTHING_HZ / (2 * math.sqrt(2 * math.log(2))) * config.points * config.dwell_s
    reach = math.ceil(4 * sd)
    weights = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sd) ** 2)
    return weights / weights.sum()


@lru_cache(maxsize=8)
def _space(config):
    """(bin, direction) orthonormal spectra of water's foot and a broad baseline in the band of an InputConfig."""
    first, last = map(int, config.band)
    return nuisance_space(config.centre_hz, config.points, config.dwell_s, first, last - first, NUISANCE)[0]


@dataclass(frozen=True)
class Doubt:
    """How expected errors grow with what a reconstruction leaves unexplained.

    The logarithm of the expected error of a metabolite grows by its weight times the sum over the conditions of slope
    times what log(unexplained + `FLOOR`) is above the knee.

    Attributes:
        knees, slopes: of each condition.
        weights: of each metabolite.

    Raises:
        ConfigError: numbers that are no such rule.
    """

    knees: tuple[float, ...]
    slopes: tuple[float, ...]
    weights: tuple[float, ...]

    def __post_init__(self):
        if len(self.knees) != len(self.slopes) or len(self.knees) not in (1, 2):
            raise ConfigError("A doubt must have a knee and a slope for each of one or two conditions.")
        if not 1 <= len(self.weights) <= MAX_METABOLITES:
            raise ConfigError(f"A doubt must have 1 to {MAX_METABOLITES} weights, not {len(self.weights)}.")
        if not all(abs(knee) <= MOST for knee in self.knees):
            raise ConfigError(f"knees of a doubt must be numbers from -{MOST:g} to {MOST:g}.")
        if not all(0 <= value <= MOST for value in (*self.slopes, *self.weights)):
            raise ConfigError(f"slopes and weights of a doubt must be numbers from 0 to {MOST:g}.")

    def __call__(self, spread, unexplained):
        """Logarithms of the expected errors, doubts included.

        Args:
            spread: (..., metabolite) logarithms of the errors that the network expects.
            unexplained: (..., condition) of `unexplained`.

        Returns:
            (..., metabolite) float64 array, at most 0: no concentration relative to the largest errs by more than 1.
        """
        above = np.log(np.asarray(unexplained, dtype=float) + FLOOR) - np.array(self.knees)
        beyond = above.clip(0) @ np.array(self.slopes)
        grown = np.asarray(spread, dtype=float) + beyond[..., None] * np.array(self.weights)
        return np.minimum(grown, np.maximum(spread, SPREAD_RANGE[1]))


def learn_doubt(error, counted, spread, unexplained):
    """Doubt under which errors are most likely, of Laplace distributions of the expected mean.

    How large errors are where nothing is unexplained is left free, for each metabolite: intervals are calibrated later.

    Args:
        error: (scan, metabolite) absolute errors of scans of the training's kind and of others.
        counted: (scan, metabolite) which of them count.
        spread, unexplained: of the same scans, as `Doubt` takes them.

    Returns:
        Doubt. A metabolite of which no error counts has the weight 0.
    """
    conditions, metabolites = unexplained.shape[1], spread.shape[1]
    logs = np.log(unexplained + FLOOR)
    number = max(int(counted.sum()), 1)

    def cost(values):
        """Mean negative log-likelihood, and its gradient."""
        level, knees, slopes, weights = np.split(values, np.cumsum([metabolites, conditions, conditions]))
        above = (logs - knees).clip(0)
        beyond = above @ slopes
        scale = spread + level + beyond[:, None] * weights
        share = error * np.exp(-scale)
        pull = np.where(counted, 1 - share, 0.0) / number
        by_beyond = pull @ weights
        by_knee = -(by_beyond @ (above > 0)) * slopes
        gradient = (pull.sum(0), by_knee, by_beyond @ above, pull.T @ beyond)
        return np.where(counted, scale + share, 0.0).sum() / number, np.concatenate(gradient)

    start = [np.zeros(metabolites), np.full(conditions, np.log(START_KNEE)), np.full(conditions, START_SLOPE)]
    rest, none = conditions + metabolites, np.full(metabolites, np.inf)
    bounds = Bounds(
        np.concatenate([-none, logs.min(0), np.zeros(rest)]), np.concatenate([none, logs.max(0), np.full(rest, MOST)])
    )
    start = np.clip(np.concatenate([*start, counted.any(0).astype(float)]), bounds.lb, bounds.ub)
    found = minimize(cost, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    _, knees, slopes, weights = np.split(found, np.cumsum([metabolites, conditions, conditions]))
    weights = np.where(counted.any(0), weights, 0.0)
    rounded = (tuple(float(f"{one:.6g}") for one in part) for part in (knees, slopes, weights))
    return Doubt(*rounded)
