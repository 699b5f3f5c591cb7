"""Errors of a network on simulated scans."""

import torch

from ..model.inputs import network_input, spectrum_channels
from ..model.output import Output, to_largest


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


@torch.no_grad()
def simulated_errors(network, config, stream, batches):
    """Mean absolute error of each concentration, relative to the largest of its scan.

    Args:
        network: in evaluation mode.
        config: InputConfig.
        stream: synth.dataset.Stream.
        batches: numbers of the stream's batches to take.

    Returns:
        (metabolite,) float64 tensor.
    """
    device = next(network.parameters()).device
    total, count = 0.0, 0
    for index in batches:
        batch = stream[index].to(device)
        channels, _ = network_input(batch.measured, config)
        estimate = to_largest(network(channels).fractions)
        error = (estimate - to_largest(batch.draw.concentrations)).abs()
        total, count = total + error.double().sum(0), count + len(error)
    return (total / count).cpu()
