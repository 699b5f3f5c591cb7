"""Fits of scans by basis set and departures: line, contents and noise that are known."""

import dataclasses

import numpy as np
import pytest
import torch

from fsl_mrs_dl import axes
from fsl_mrs_dl.fit.departures import DepartureFit, Signals, detrended
from fsl_mrs_dl.fit.predict import look

from .fit_examples import noise_of

DWELL_S = 5e-4
CONTENTS = (1.0, 0.5, 0.8)


def fitted(model, basis, away=(0.0, 0.0, 0.0, 0.0), satellite=0.0, sigma=1e-3):
    """DepartureFit of a scan with lines 5 Hz wider at 2 Hz and 0.3 rad, which begins away from that; its noise."""
    t = axes.time_axis(2048, DWELL_S)
    line = np.exp((2j * np.pi * 2 - np.pi * 5) * t + 0.3j) * (1 - satellite + satellite * np.exp(2j * np.pi * 8 * t))
    fids = np.einsum("m,cmp->cp", CONTENTS, basis.fids) * line
    sigma = sigma * np.abs(fids).max()
    fids = fids + sigma * noise_of(1, 4)[0]
    seen = look(model, fids[None])
    output = dataclasses.replace(seen.output, fractions=torch.tensor([CONTENTS]))
    start = torch.tensor([[5.0, 0.0, 2.0, 0.3]]) + torch.tensor([away])
    seen = dataclasses.replace(seen, output=output, line=start.double())
    with torch.inference_mode():
        fit = DepartureFit(Signals(model, basis), seen)
    return fit, sigma * np.sqrt(2) * float(seen.fids.abs().max() / np.abs(fids).max())


def left(fit, solution):
    """Share of a scan that a fit leaves."""
    return float((fit.data - fit.model(solution)).norm() / fit.data.norm())


@pytest.mark.parametrize("away", [(0, 0, 0, 0), (2, 0, 0, 0), (0, 0, 1.5, 0), (0, 0, 0, 0.3), (-2, 0, -1, -0.2)])
def test_a_line_that_the_network_missed_is_corrected(tiny_model, tiny_basis, away):
    fit, noise = fitted(tiny_model, tiny_basis, tuple(map(float, away)))
    np.testing.assert_array_less(np.abs(fit.line[0].numpy() - [5, 0, 2, 0.3]), [0.3, 1e-9, 0.15, 0.03])
    for condition in range(2):
        amounts = fit.stiff.amounts[0, condition, :3]
        np.testing.assert_allclose(amounts / amounts.max(), CONTENTS, atol=0.02)
    np.testing.assert_allclose(fit.noise[0], noise, rtol=0.2)
    assert left(fit, fit.stiff) < 0.03


def test_departures_take_an_asymmetric_line_that_the_stiff_fit_leaves(tiny_model, tiny_basis):
    fit, _ = fitted(tiny_model, tiny_basis, satellite=0.1)
    assert left(fit, fit.free) < 0.5 * left(fit, fit.stiff)
    assert fit.columns.shape[2] > fit.stiff_count == 6


def test_a_polynomial_is_taken_out_and_few_points_stay():
    place = torch.linspace(0, 1, 50, dtype=torch.float64)
    spectra = torch.stack([1 + 2 * place, 3 - place**2 + place**3]).to(torch.complex128)
    assert detrended(spectra, 3).abs().max() < 1e-12 < detrended(spectra, 1).abs().max()
    assert torch.equal(detrended(spectra[:, :3], 3), spectra[:, :3])
