"""What a network says about simulated scans, and its errors."""

from dataclasses import dataclass

import numpy as np
import torch
from tqdm import tqdm

from ..model.doubt import reconstructs, unexplained
from ..model.inputs import network_input, noise_level, spectrum_channels
from ..model.output import Output, expected_spreads, to_largest


def truth_of(batch, config, line, basis_linewidth_hz, scale):
    """What a network should say about a simulated batch.

    Args:
        batch: synth.dataset.Batch.
        config: InputConfig.
        line: LineScale.
        basis_linewidth_hz: Lorentzian width of the basis set's lines (Hz).
        scale: (batch,) what the input was divided by.

    Returns:
        Output.
    """
    draw = batch.draw
    lorentz_hz = draw.lorentz_hz - basis_linewidth_hz + draw.metabolite_lorentz_hz.mean(1)
    # Gaussian widths add up in quadrature.
    gauss_hz = (draw.gauss_hz.square() + draw.metabolite_gauss_hz.square().mean(1)).sqrt()
    values = torch.stack([lorentz_hz, gauss_hz, draw.shift_hz, draw.phase_rad], 1)
    fractions = draw.concentrations / draw.concentrations.sum(1, keepdim=True).clamp_min(1e-12)
    clean = spectrum_channels(batch.clean, config) / scale[:, None, None]
    return Output(fractions, line.normalise(values), clean)


@dataclass(frozen=True)
class Estimates:
    """What a network says about simulated scans, and what they hold; float64 arrays.

    Attributes:
        estimate, truth: (scan, metabolite) relative to the largest.
        spread: (scan, metabolite) logarithms of the errors that the network expects.
        own_spread: the same as far as its estimates shrink for them, see `model.output.Output.own_spread`.
        unexplained: (scan, condition) of `model.doubt.unexplained`; NaN of a network that reconstructs no spectra, and
            where it was not asked for.
    """

    estimate: np.ndarray
    truth: np.ndarray
    spread: np.ndarray
    own_spread: np.ndarray
    unexplained: np.ndarray


@torch.no_grad()
def simulated_estimates(network, config, stream, batches, refiner=None, title=None, with_unexplained=True):
    """Estimates of a network on simulated scans.

    Args:
        network: in evaluation mode.
        config: InputConfig.
        stream: synth.dataset.Stream.
        batches: numbers of the stream's batches to take.
        refiner: model.refine.Refiner of the estimates; None for the network's own.
        title: of a progress bar; None for none.
        with_unexplained: whether what is unexplained is worked out, which takes its time.

    Returns:
        Estimates.
    """
    device = next(network.parameters()).device
    found = []
    for index in tqdm(batches, desc=title, unit="batch", disable=None if title else True, leave=False):
        batch = stream[index].to(device)
        channels, scale = network_input(batch.measured, config)
        output = network(channels)
        best = output if refiner is None else refiner(network, config, batch.measured, output)
        shares = best.fractions.double(), batch.draw.concentrations.double()
        parts = [*map(to_largest, shares), *expected_spreads(output)]
        if with_unexplained and reconstructs(output, config):
            parts.append(unexplained(output, channels, noise_level(batch.measured, scale), config))
        else:
            parts.append(torch.full((len(channels), config.conditions), torch.nan))
        found.append([part.double().cpu() for part in parts])
    return Estimates(*(torch.cat(parts).numpy() for parts in zip(*found)))


def simulated_errors(network, config, stream, batches):
    """Mean absolute error of each concentration, relative to the largest of its scan.

    Args:
        network, config, stream, batches: as of `simulated_estimates`.

    Returns:
        (metabolite,) float64 tensor.
    """
    found = simulated_estimates(network, config, stream, batches, with_unexplained=False)
    return torch.as_tensor(abs(found.estimate - found.truth).mean(0))
