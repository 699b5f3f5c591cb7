"""Transients: without drift and jitter the mean is one scan; with them it is what averaging gives."""

import math
from dataclasses import replace

import torch

from fsl_mrs_dl.synth.draws import draw
from fsl_mrs_dl.synth.priors import Recipe
from fsl_mrs_dl.synth.transients import transient_mean, transient_offsets

DWELL_S = 5e-4
T = torch.arange(512) * DWELL_S


def test_without_drift_and_jitter_the_mean_is_one_transient():
    zero = torch.zeros(3)
    hz, rad = transient_offsets(zero, zero, zero, torch.randn(3, 2, 8, 2))
    torch.testing.assert_close(
        transient_mean(hz, rad, 512, DWELL_S), torch.ones(3, 2, 512, dtype=torch.complex64), atol=1e-5, rtol=0
    )


def test_drift_is_linear_and_the_conditions_take_turns():
    zero = torch.zeros(1)
    hz, rad = transient_offsets(torch.tensor([3.0]), zero, zero, torch.randn(1, 2, 4, 2))
    in_order = hz[0].T.flatten()
    torch.testing.assert_close(in_order, torch.linspace(-1.5, 1.5, 8))
    assert (hz[0, 1] > hz[0, 0]).all() and (rad == 0).all()


def test_the_mean_is_that_of_the_transients_one_by_one():
    hz, rad = transient_offsets(torch.tensor([2.0]), torch.tensor([0.5]), torch.tensor([0.3]), torch.randn(1, 2, 5, 2))
    one_by_one = torch.exp(1j * (2 * math.pi * hz[..., None] * T + rad[..., None]))
    torch.testing.assert_close(transient_mean(hz, rad, 512, DWELL_S), one_by_one.mean(2), atol=1e-4, rtol=0)


def test_many_transients_decay_as_normal_jitter_says():
    count = 20_000
    hz, rad = transient_offsets(
        torch.zeros(1), torch.tensor([1.0]), torch.tensor([0.4]), torch.randn(1, 1, count, 2)
    )
    expected = torch.exp(-((2 * math.pi * T) ** 2 + 0.4**2) / 2)
    torch.testing.assert_close(transient_mean(hz, rad, 512, DWELL_S)[0, 0].abs(), expected, atol=0.02, rtol=0)


def test_transients_that_do_not_move_are_not_drawn():
    still, moving = Recipe("still", transients=16), Recipe("moving", transients=16, drift_hz=(0.0, 1.0))
    shapes = [draw(one, 1, 0, 4, 3, 2).transient_unit.shape for one in (still, moving, replace(moving, transients=0))]
    assert shapes == [(4, 2, 0, 2), (4, 2, 16, 2), (4, 2, 0, 2)]
