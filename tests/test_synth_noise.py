"""Noise has the level that was asked for and its own seed."""

import pytest
import torch

from fsl_mrs_dl.synth.noise import gaussian_noise


def test_real_and_imaginary_parts_have_the_standard_deviation():
    noise = gaussian_noise((2, 2, 50_000), torch.tensor([0.5, 2.0]), 3)
    for scan, sigma in enumerate((0.5, 2.0)):
        assert noise[scan].real.std() == pytest.approx(sigma, rel=0.02)
        assert noise[scan].imag.std() == pytest.approx(sigma, rel=0.02)
    assert abs(torch.corrcoef(torch.stack([noise[0, 0].real, noise[0, 1].real]))[0, 1]) < 0.02


def test_the_seed_decides():
    one, again, other = (gaussian_noise((1, 2, 64), torch.ones(1), seed) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
