"""The estimate finds the noise that was drawn, says when it cannot, and survives its file."""

import json

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid

from fsl_mrs_dl.errors import ConfigError, DataError, OutputError
from fsl_mrs_dl.synth.noise import alpha_of_sigma, generalised_gaussian_noise
from fsl_mrs_dl.synth.noise_fit import (
    effective_size,
    fit_noise,
    log_posterior,
    posterior_draws,
    read_fits,
    save_fits,
    split_r_hat,
)
from fsl_mrs_dl.synth.noise_plot import noise_figure
from fsl_mrs_dl.synth.noise_ranges import NoiseValues, noise_values

CENTRE_HZ = 123.2e6
SIGMA = 0.01


def drawn(beta, seed=11, points=2048):
    """Noise of a scan of two conditions drawn with a shape, its FID's maximum 1."""
    shape = torch.tensor([beta])
    fids = generalised_gaussian_noise((1, 2, points), alpha_of_sigma(torch.tensor([SIGMA]), shape), shape, seed)
    fids = fids[0].numpy()
    fids[:, 0] = 1
    return noise_values(fids, 5e-4, CENTRE_HZ, name="drawn")


@pytest.fixture(scope="module")
def laplace():
    """Values, fit and chains of Laplace noise."""
    noise = drawn(1.0)
    return noise, *fit_noise(noise, progress=False)


@pytest.mark.parametrize("beta", [0.8, 1.2, 2.0, 4.0])
def test_what_was_drawn_lies_in_the_interval(beta):
    fit, _ = fit_noise(drawn(beta), progress=False)
    alpha = float(alpha_of_sigma(SIGMA, beta))
    for marginal, truth in ((fit.beta, beta), (fit.alpha, alpha), (fit.sigma, SIGMA), (fit.mu, 0.0)):
        assert marginal.low < truth < marginal.high
        assert marginal.r_hat <= 1.01 and marginal.effective >= 400
    assert fit.beta.high - fit.beta.low < 0.25 * beta
    assert fit.fid_maximum == 1 and fit.values == 4 * sum(
        round((high - low) * 1e-6 * CENTRE_HZ * 5e-4 * 2048) + 1 for low, high in fit.ranges_ppm
    )


def test_the_location_is_found():
    values = np.random.default_rng(2).normal(0.3, 1.0, 4000)
    fit, _ = fit_noise(NoiseValues(values, (), 1.0, None, None, "shifted"), progress=False)
    assert fit.mu.low < values.mean() < fit.mu.high
    assert fit.mu.high - fit.mu.low == pytest.approx(4 / np.sqrt(4000), rel=0.2)


def test_the_seed_decides(laplace):
    noise, fit, _ = laplace
    assert fit_noise(noise, progress=False)[0] == fit
    assert fit_noise(noise, seed=2, progress=False)[0].draws != fit.draws


def test_draws_are_of_the_posterior(laplace):
    _, fit, _ = laplace
    draws = posterior_draws((fit, fit))
    assert draws.shape == (1000, 3)
    for values, marginal in zip(draws.T, (fit.mu, fit.alpha, fit.beta), strict=True):
        assert values.mean() == pytest.approx(marginal.mean, abs=0.1 * (marginal.high - marginal.low))
        assert ((values > marginal.low) & (values < marginal.high)).mean() == pytest.approx(0.95, abs=0.04)


def test_a_file_keeps_everything(laplace, tmp_path):
    _, fit, _ = laplace
    save_fits((fit,), tmp_path / "noise.json")
    assert read_fits(tmp_path / "noise.json") == (fit,)
    assert (tmp_path / "noise.json").stat().st_size < 40_000
    content = json.loads((tmp_path / "noise.json").read_text())
    assert "relative to the largest magnitude" in content["scale"] and "uniform" in content["priors"]


def test_files_that_are_something_else_are_refused(laplace, tmp_path):
    _, fit, _ = laplace
    file = tmp_path / "noise.json"
    file.write_text("[1]")
    with pytest.raises(ConfigError, match="make it with fsl_mrs_dl noise"):
        read_fits(file)
    save_fits((fit,), file)
    content = json.loads(file.read_text())
    content["fits"][0]["draws"][3][2] = -1.0
    file.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="above 0"):
        read_fits(file)
    with pytest.raises(OutputError, match="cannot be written"):
        save_fits((fit,), tmp_path / "missing" / "noise.json")


def test_log_posterior_is_the_density_and_ends_at_the_bounds():
    values = np.random.default_rng(1).laplace(size=500).astype(np.float32)
    theta = np.array([[0.0, 0.0, 0.0], [0.1, np.log(2.0), np.log(2.0)], [0.0, 0.0, np.log(11.0)]])
    found = log_posterior(theta, values)
    wide = values.astype(float)
    assert found[0] == pytest.approx(-500 * np.log(2) - np.abs(wide).sum(), rel=1e-5)
    # beta 2 and alpha 2 are a Gaussian of variance 2.
    assert found[1] == pytest.approx(-500 * np.log(np.sqrt(4 * np.pi)) - ((wide - 0.1) ** 2).sum() / 4, rel=1e-5)
    assert found[2] == -np.inf


def test_split_r_hat_tells_chains_that_agree_from_those_that_do_not():
    chains = np.random.default_rng(4).normal(size=(4, 200, 16))
    assert split_r_hat(chains) == pytest.approx(1, abs=0.002)
    apart, drifting = chains.copy(), chains.copy()
    apart[0] += 1
    drifting += np.linspace(-1, 1, 200)[:, None]
    assert split_r_hat(apart) > 1.05 and split_r_hat(drifting) > 1.05
    assert split_r_hat(np.ones((4, 200, 16))) == np.inf


def test_effective_size_of_independent_and_of_correlated_draws():
    random = np.random.default_rng(5)
    chains = random.normal(size=(2, 2000, 8))
    assert effective_size(chains) == pytest.approx(chains.size, rel=0.1)
    # An autoregressive chain of coefficient 0.8 has the autocorrelation time (1 + 0.8) / (1 - 0.8) = 9.
    for step in range(1, 2000):
        chains[:, step] += 0.8 * chains[:, step - 1]
    assert effective_size(chains) == pytest.approx(chains.size / 9, rel=0.15)
    assert effective_size(np.ones((2, 100, 8))) == 0


def test_chains_that_are_too_short_are_an_error(laplace):
    noise, _, _ = laplace
    with pytest.raises(DataError, match="not converged after 100 steps .*--steps"):
        fit_noise(noise, most_steps=100, progress=False)
    with pytest.raises(DataError, match="all noise values are 3"):
        fit_noise(NoiseValues(np.full(500, 3.0), (), 1.0, None, None, "flat"), progress=False)
    with pytest.raises(ConfigError, match="seed"):
        fit_noise(noise, seed=-1)


def test_the_figure_shows_fit_and_traces(laplace):
    noise, fit, chains = laplace
    figure = noise_figure(noise, fit, chains)
    titles = [axes.get_title() for axes in figure.axes]
    assert len(titles) == 7 and sum("R-hat" in title for title in titles) == 4
    curve = figure.axes[1].lines[0]
    assert trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(1, abs=0.01)
