"""Typical errors of a hybrid network's estimates, from simulated scans: the prior of `model.refine`."""

import torch
from tqdm import tqdm

from ..model.inputs import network_input, spectrum_channels
from ..model.output import to_largest
from ..model.prior import Prior
from ..model.refine import AT_ONCE, Problem

ROUNDS, STEPS = 5, 3
"""Rounds of the estimate of the covariance, and steps to the best parameters of each scan in every one."""

KNOWN = 1e4
"""How strongly concentrations are held at the truth, relative to what the spectra say."""


@torch.no_grad()
def learn_prior(network, config, stream, source, number):
    """Measure how far a network is usually off.

    What parameters a scan has is not told by its simulation, which knows other ones (a basis of the pool, a satellite
    line ...). They are those that bring the adjusted basis, times the true concentrations, nearest to the scan without
    noise and nuisance. How well the scan tells them enters by expectation and maximisation (Dempster et al., J R
    Stat Soc B 39:1, 1977): the covariance is the mean of the squared changes and of what is left uncertain.

    Args:
        network: Hybrid in evaluation mode.
        config: ModelConfig.
        stream: synth.dataset.Stream of scans that it was not trained on.
        source: what they are, in words.
        number: of scans, rounded up to whole batches.

    Returns:
        model.prior.Prior.
    """
    device = next(network.parameters()).device
    scans, spread = [], []
    batches = range(-(-number // stream.batch))
    for index in batches:
        batch = stream[index].to(device)
        channels, scale = network_input(batch.measured, config.input)
        clean = spectrum_channels(batch.clean, config.input) / scale[:, None, None]
        output, truth = network(channels), to_largest(batch.draw.concentrations)
        spread.append(output.spread.exp().square().mean())
        kept = clean, output.line, output.adjustments, truth / truth.sum(1, keepdim=True)
        scans += zip(*(part.split(AT_ONCE) for part in kept))
    covariance = torch.eye(network.free_count, dtype=torch.float64, device=device)
    for _ in tqdm(range(ROUNDS), desc="prior", unit="round", disable=None, leave=False):
        precision = torch.linalg.inv(covariance).float()
        changes = [_changes(network, *some, precision) for some in scans]
        covariance = torch.cat(changes).mean(0)
    rounded = [[float(f"{value:.5g}") for value in row] for row in ((covariance + covariance.T) / 2).tolist()]
    typical = float(torch.stack(spread).mean().sqrt())
    return Prior(tuple(map(tuple, rounded)), typical, len(batches) * stream.batch, source)


def _changes(network, clean, line, adjustments, truth, precision):
    """(batch, parameter, parameter) expected squares of the network's errors, float64."""
    problem = Problem(network, clean, line, adjustments)
    truth, residual = problem.scaled(truth)
    variance = residual.square().mean(1)[:, None]
    held = torch.full_like(truth, KNOWN * residual.shape[1])
    problem.hold(truth, held, precision * variance[..., None])
    for _ in range(STEPS):
        problem.step()
    count = network.free_count
    system = problem.system()[0][:, :count, :count].double()
    left = torch.linalg.inv(system / problem.residual.square().mean(1)[:, None, None])
    moved = (problem.values - problem.start).double()
    return moved[:, :, None] * moved[:, None] + left
