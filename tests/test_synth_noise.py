"""Noise has the level and shape that were asked for, and its own seed."""

import math

import pytest
import torch

from fsl_mrs_dl import axes
from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.synth.noise import alpha_of_sigma, gaussian_noise, generalised_gaussian_noise

BETAS = (0.8, 1.2, 2.0, 4.0)


def test_real_and_imaginary_parts_have_the_standard_deviation():
    noise = gaussian_noise((2, 2, 50_000), torch.tensor([0.5, 2.0]), 3)
    for scan, sigma in enumerate((0.5, 2.0)):
        assert noise[scan].real.std() == pytest.approx(sigma, rel=0.02)
        assert noise[scan].imag.std() == pytest.approx(sigma, rel=0.02)
    assert abs(torch.corrcoef(torch.stack([noise[0, 0].real, noise[0, 1].real]))[0, 1]) < 0.02


def test_the_seed_decides():
    one, again, other = (gaussian_noise((1, 2, 64), torch.ones(1), seed) for seed in (1, 1, 2))
    assert torch.equal(one, again) and not torch.equal(one, other)
    batch = gaussian_noise((4, 2, 64), torch.ones(4), 1)
    assert torch.equal(batch[0], one[0]) and torch.equal(batch[1], other[0])


def test_scans_are_independent():
    values = torch.view_as_real(gaussian_noise((40, 1, 20_000), torch.ones(40), 7)).flatten(1)
    assert (torch.corrcoef(values) - torch.eye(40)).abs().max() < 0.025


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("kind", ["adc", "gg"])
def test_noise_of_a_gpu_has_the_same_level(kind):
    sigma, beta = torch.tensor([0.5, 2.0], device="cuda"), torch.tensor([1.2, 2.0])
    shape = (2, 2, 50_000)
    for _ in range(2):
        if kind == "adc":
            noise = gaussian_noise(shape, sigma, 3)
        else:
            noise = generalised_gaussian_noise(shape, alpha_of_sigma(sigma, beta.cuda()), beta, 3)
        assert noise.device.type == "cuda"
        for scan in range(2):
            assert float(noise[scan].real.std()) == pytest.approx(float(sigma[scan]), rel=0.02)


@pytest.fixture(scope="module")
def shaped():
    """FIDs with noise of standard deviation 0.5 and each shape, (shape, condition, point)."""
    beta = torch.tensor(BETAS)
    alpha = alpha_of_sigma(torch.full_like(beta, 0.5), beta)
    return generalised_gaussian_noise((len(BETAS), 2, 65_536), alpha, beta, 5)


def test_spectra_have_the_moments_of_their_shape(shaped):
    spectra = torch.view_as_real(axes.fid_to_spectrum(shaped)).flatten(1)
    for values, beta in zip(spectra, BETAS, strict=True):
        gammas = [math.gamma(power / beta) for power in (1, 2, 3, 5)]
        alpha = 0.5 * math.sqrt(gammas[0] / gammas[2])
        assert values.mean() == pytest.approx(0, abs=0.005)
        assert values.std() == pytest.approx(0.5, rel=0.01)
        assert values.abs().mean() == pytest.approx(alpha * gammas[1] / gammas[0], rel=0.01)
        kurtosis = (values**4).mean() / values.var() ** 2
        assert kurtosis == pytest.approx(gammas[3] * gammas[0] / gammas[2] ** 2, rel=0.06)


def test_parts_conditions_and_points_are_independent(shaped):
    for spectra in axes.fid_to_spectrum(shaped):
        rows = torch.cat([spectra.real, spectra.imag, spectra.real.roll(1, -1)])
        assert (torch.corrcoef(rows) - torch.eye(6)).abs().max() < 0.02
        # Uncorrelated values of one common size would still be dependent.
        assert (torch.corrcoef(rows.abs()) - torch.eye(6)).abs().max() < 0.02


def test_fids_keep_the_standard_deviation_but_for_the_first_point(shaped):
    assert shaped.dtype == torch.complex64
    assert shaped[..., 1:].real.std() == pytest.approx(0.5, rel=0.01)
    many = generalised_gaussian_noise((4000, 1, 8), torch.ones(4000), torch.full((4000,), 2.0), 1)
    assert many[..., 0].real.std() / many[..., 1:].real.std() == pytest.approx(2, rel=0.05)


def test_a_batch_is_its_scans_one_by_one():
    alpha, beta = torch.tensor([0.1, 2.0, 0.0]), torch.tensor([0.7, 2.0, 3.0])
    batch = generalised_gaussian_noise((3, 2, 128), alpha, beta, 40)
    for scan in range(3):
        one = generalised_gaussian_noise((1, 2, 128), alpha[scan : scan + 1], beta[scan : scan + 1], 40 + scan)
        assert torch.equal(batch[scan], one[0])
    assert not batch[2].any()
    assert not torch.equal(batch[0], generalised_gaussian_noise((3, 2, 128), alpha, beta, 41)[0])


def test_alpha_of_sigma_is_known_for_gauss_laplace_and_a_half():
    assert float(alpha_of_sigma(3.0, 2.0)) == pytest.approx(3 * math.sqrt(2), rel=1e-6)
    assert float(alpha_of_sigma(3.0, 1)) == pytest.approx(3 / math.sqrt(2), rel=1e-6)
    # Gamma(6) / Gamma(2) = 120.
    found = alpha_of_sigma(torch.tensor([0.1, 3.0]), torch.tensor([0.5, 2.0]))
    assert torch.allclose(found, torch.tensor([0.1 / math.sqrt(120), 3 * math.sqrt(2)]))


@pytest.mark.parametrize(
    ("alpha", "beta", "found"),
    [([1.0], [2.0, 2.0], "1,"), ([1.0, 1.0], [2.0, 0.0], "beta down to 0"), ([1.0, -1.0], [2.0, 2.0], "down to -1")],
)
def test_impossible_parameters_are_refused(alpha, beta, found):
    with pytest.raises(ConfigError, match=found):
        generalised_gaussian_noise((2, 1, 8), torch.tensor(alpha), torch.tensor(beta), 1)
