"""Frequency drift and jitter of the transients that a scan is the mean of."""

import math

import torch

from .exponentials import exponential_sum


def transient_offsets(drift_hz, jitter_hz, jitter_rad, unit):
    """Frequency and phase of every transient relative to the scan's own.

    The conditions are acquired in turn: transient k of condition c is number conditions k + c. The frequency
    drifts linearly; its mean over all transients is 0. Jitter is normal and independent in every transient.

    Args:
        drift_hz: (batch,) drift from the first transient to the last (Hz).
        jitter_hz, jitter_rad: (batch,) standard deviations (Hz, rad).
        unit: (batch, condition, transient, 2) standard normal numbers, for frequency and phase.

    Returns:
        frequency (Hz) and phase (rad), both (batch, condition, transient).
    """
    _, conditions, transients, _ = unit.shape
    number = torch.arange(conditions * transients, device=unit.device, dtype=unit.dtype)
    place = number.reshape(transients, conditions).T / max(conditions * transients - 1, 1) - 0.5
    hz = drift_hz[:, None, None] * place + jitter_hz[:, None, None] * unit[..., 0]
    return hz, jitter_rad[:, None, None] * unit[..., 1]


def transient_mean(hz, rad, points, dwell_s):
    """Mean over the transients of exp(i (2 pi hz t + rad)): what averaging without alignment does to every line.

    Lines are broadened and lose amplitude, and edit-off and edit-on differ, which leaves subtraction artefacts
    (Harris et al., Magn Reson Med 72, 941 (2014), doi 10.1002/mrm.25009; Near et al., Magn Reson Med 73, 44 (2015),
    doi 10.1002/mrm.25094).

    Args:
        hz, rad: (batch, condition, transient) frequency (Hz) and phase (rad) of each.
        points, dwell_s: of the time grid.

    Returns:
        (batch, condition, point) complex factor.
    """
    rate = torch.complex(torch.zeros_like(hz), 2 * math.pi * hz)
    return exponential_sum(rate, points, dwell_s, torch.polar(torch.full_like(rad, 1 / rad.shape[-1]), rad))
