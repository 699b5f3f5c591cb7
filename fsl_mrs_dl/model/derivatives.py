"""Derivatives of the adjusted basis of a hybrid network, in closed form, for Gauss-Newton steps."""

import math

import torch

from ..synth.signal import GAUSS_RATE
from .adjusted import EDDY_S, KERNEL_HZ, line_shape, modulation
from .hybrid import DRIFT_UNITS, EDDY_UNIT, EFFICIENCY_UNIT, KERNEL_UNIT, MOST_SHIFT_HZ, extra_width, extra_width_slope


def derivatives(network, line, adjustments, concentrations):
    """How the spectra of scans change with what the network estimates, at given concentrations.

    Args:
        network: Hybrid.
        line: (batch, 4) normalised line parameters.
        adjustments: dict of the others, as `Hybrid.split` has them.
        concentrations: (batch, metabolite).

    Returns:
        (batch, condition, parameter, bin) complex; parameters are the four of the line, then those of
        `hybrid.FREE`.
    """
    single, slopes = _single(network.times, adjustments)
    shape, common = _common(network, line, adjustments)
    fids = torch.view_as_complex(network.basis)
    weight = single * concentrations[:, :, None] * shape[:, None]
    if network.conditions == 2:
        off, change = fids[0] * weight, (fids[1] - fids[0]) * weight
        drift, drift_slopes = _drift(network.times, adjustments["drift"])
        change *= drift[:, None]
        on = torch.addcmul(off * drift[:, None], change, (1 + EFFICIENCY_UNIT * adjustments["efficiency"])[..., None])
        each = torch.stack([off, on], 1)
    else:
        each = (fids[0] * weight)[:, None]
    total, count, number = each.sum(2), common.shape[1], single.shape[1]
    columns = fids.new_empty(*total.shape[:2], network.free_count, total.shape[-1])
    torch.mul(total[:, :, None], common[:, None], out=columns[:, :, :count])
    for slope in slopes:
        torch.mul(each, slope[:, None], out=columns[:, :, count : count + number])
        count += number
    if network.conditions == 2:
        columns[:, 0, count:] = 0
        columns[:, 1, count : count + 3] = total[:, 1, None] * drift_slopes
        columns[:, 1, count + 3 :] = EFFICIENCY_UNIT * change
    return network.grid.spectra(columns)


def _single(times, adjustments):
    """Modulation of each metabolite, (batch, metabolite, point), and relative slopes for its shift and its width."""
    place = adjustments["shift"].tanh()
    single = modulation(times, extra_width(adjustments["width"]), MOST_SHIFT_HZ * place)
    by_shift = (MOST_SHIFT_HZ * (1 - place.square()))[..., None] * (2j * math.pi * times)
    by_width = extra_width_slope(adjustments["width"])[..., None] * (-math.pi * times.clamp_min(0))
    return single, (by_shift, by_width.to(by_shift.dtype))


def _common(network, line, adjustments):
    """Common line shape, (batch, point), and its relative slopes, (batch, parameter, point): line, kernel, eddy."""
    times, scale = network.times, network.line_scale[1]
    lorentz_hz, gauss_hz, shift_hz, phase_rad = (line * scale + network.line_scale[0]).unbind(1)
    kernel, eddy_rad = KERNEL_UNIT * adjustments["kernel"], EDDY_UNIT * adjustments["eddy"]
    shape = line_shape(times, lorentz_hz, gauss_hz, shift_hz, phase_rad, kernel, eddy_rad)
    later, turns = times.clamp_min(0), 2 * math.pi * times.new_tensor(KERNEL_HZ)[:, None] * times
    unit = torch.complex(turns.cos() - 1, turns.sin())
    slopes = shape.new_empty(len(line), 4 + len(KERNEL_HZ) + len(EDDY_S), len(times))
    slopes[:, 0] = -math.pi * scale[0] * later
    slopes[:, 1] = -2 * scale[1] * gauss_hz[:, None] * (GAUSS_RATE * later).square()
    slopes[:, 2] = 2j * math.pi * scale[2] * times
    slopes[:, 3] = 1j * scale[3]
    beside = 1 + torch.complex(kernel @ unit.real, kernel @ unit.imag)
    torch.mul(KERNEL_UNIT * unit, beside.reciprocal()[:, None], out=slopes[:, 4 : 4 + len(KERNEL_HZ)])
    slopes[:, 4 + len(KERNEL_HZ) :] = 1j * EDDY_UNIT * torch.exp(-later / times.new_tensor(EDDY_S)[:, None])
    return shape, slopes


def _drift(times, values):
    """What edit-on has beyond edit-off, (batch, point), and its relative slopes for (batch, 3) values, (3, point)."""
    shift_hz, turn_rad, gain = (values * times.new_tensor(DRIFT_UNITS)).unbind(1)
    drift = modulation(times, torch.zeros_like(shift_hz), shift_hz) * torch.exp(torch.complex(gain, turn_rad))[:, None]
    by_shift, ones = 2j * math.pi * times * DRIFT_UNITS[0], torch.ones_like(times)
    return drift, torch.stack([by_shift, 1j * DRIFT_UNITS[1] * ones, DRIFT_UNITS[2] * ones + 0j])
