"""What a least-squares fit reaches that knows everything but the concentrations."""

import torch

from ..model.inputs import spectrum_channels
from ..model.output import to_largest
from ..synth.dataset import GRID_DWELL_S
from ..synth.signal import line_shape, metabolite_signal


def least_squares_errors(stream, config, batches):
    """Errors of a linear least-squares fit with the true basis, line shape, shift and phase.

    With Gaussian noise no unbiased estimate from the same points does better on average.

    Args:
        stream: synth.dataset.Stream without a pool.
        config: InputConfig whose band is fitted.
        batches: numbers of the stream's batches.

    Returns:
        (metabolite,) mean absolute error relative to the largest of each scan.
    """
    basis = stream.members
    names = basis.shape[2]
    total, count = 0.0, 0
    for index in batches:
        batch = stream[index]
        draw = batch.draw
        shape = line_shape(draw, draw.lorentz_hz - stream.linewidth_hz, basis.shape[1], basis.shape[-1], GRID_DWELL_S)
        columns = []
        for k in range(names):
            alone = torch.zeros_like(draw.concentrations)
            alone[:, k] = 1
            signal = metabolite_signal(basis, alone, draw.metabolite_shift_hz, draw.metabolite_lorentz_hz, GRID_DWELL_S)
            columns.append(spectrum_channels(signal * shape, config).flatten(1))
        design = torch.stack(columns, -1).double()
        measured = spectrum_channels(batch.measured, config).flatten(1).double()
        estimate = torch.linalg.lstsq(design, measured[..., None]).solution[..., 0].clamp_min(0)
        error = (to_largest(estimate) - to_largest(draw.concentrations)).abs()
        total, count = total + error.sum(0), count + len(error)
    return total / count
