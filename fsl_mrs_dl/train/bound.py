"""What a least-squares fit reaches that knows everything but the concentrations."""

from dataclasses import replace

import torch

from ..model.inputs import spectrum_channels
from ..model.output import to_largest
from ..synth.dataset import GRID_DWELL_S
from ..synth.signal import synthesise


def least_squares_errors(stream, config, batches):
    """Errors of a linear least-squares fit with the true basis, line shapes, water and baseline.

    With Gaussian noise no unbiased estimate from the same points does better on average; with other noise,
    and for what an estimate may know about concentrations beforehand, it is a landmark, not a bound.

    Args:
        stream: synth.dataset.Stream.
        config: InputConfig whose band is fitted.
        batches: numbers of the stream's batches.

    Returns:
        (metabolite,) mean absolute error relative to the largest of each scan; 0 for what the basis set does not show.
    """
    shown = stream.visible.nonzero()[:, 0].tolist()
    total, count = 0.0, 0
    for index in batches:
        parts = stream.parts(index)
        draw = parts.draw
        basis = stream.bases(draw)
        columns = []
        for k in shown:
            alone = torch.zeros_like(draw.concentrations)
            alone[:, k] = 1
            drawn = replace(draw, concentrations=alone)
            clean, *_ = synthesise(
                basis, drawn, stream.recipe, stream.linewidth_hz, GRID_DWELL_S, stream.centre_hz
            )
            columns.append(spectrum_channels(clean, config).flatten(1))
        design = torch.stack(columns, -1).double().cpu()
        measured = spectrum_channels(parts.clean + parts.noise, config).flatten(1).double().cpu()
        estimate = torch.zeros_like(draw.concentrations, dtype=torch.float64, device="cpu")
        found = torch.linalg.lstsq(design, measured[..., None], driver="gelsy").solution[..., 0]
        estimate[:, shown] = found.clamp_min(0)
        error = (to_largest(estimate) - to_largest(draw.concentrations.cpu())).abs()
        total, count = total + error.sum(0), count + len(error)
    return total / count
