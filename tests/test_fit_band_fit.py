"""Least squares in the band of a network: the scans' own spectra, and the outcome of fits done one by one."""

import numpy as np
import pytest
import torch

from fsl_mrs_dl import axes
from fsl_mrs_dl.fit.band_fit import STORED_S, BandFit
from fsl_mrs_dl.model.inputs import InputConfig

from .conftest import CENTRE_HZ, make_basis


@pytest.mark.parametrize("ppm", [(1.0, 4.5), (1.0, 4.37), (2.9, 3.1)])
def test_spectra_are_those_of_the_whole_grid(ppm):
    grid = InputConfig(1, CENTRE_HZ, ppm=ppm)
    fit, fids = BandFit(grid), make_basis().fids[0] * np.exp(-3 * np.pi * axes.time_axis(2048, 5e-4))
    whole = axes.fid_to_spectrum(fids)[:, slice(*grid.band)]
    found = fit.spectra(fit.shorten(fids)).numpy()
    assert found.shape == whole.shape and np.abs(found - whole).max() < 0.01 * np.abs(whole).max()
    again = fit.restored(fit.stored(fids))
    assert again.shape[-1] == len(fit.times) and (again[:, (fit.times > STORED_S)] == 0).all()


def test_the_line_shape_is_that_of_the_whole_grid():
    fit, t = BandFit(InputConfig(1, CENTRE_HZ)), axes.time_axis(2048, 5e-4)
    fids = make_basis().fids[0]
    shape = fit.shape(torch.tensor([[4.0, 3.0, 2.5, 0.3]]))
    rate = np.pi / (2 * np.sqrt(np.log(2)))  # 1/s, of a Gaussian line of 1 Hz
    whole = fids * np.exp(-4 * np.pi * t - (3 * rate * t) ** 2 + 2j * np.pi * 2.5 * t + 0.3j)
    whole = axes.fid_to_spectrum(whole)[:, slice(*InputConfig(1, CENTRE_HZ).band)]
    found = fit.spectra(fit.shorten(fids) * shape).numpy()
    assert np.abs(found - whole).max() < 0.01 * np.abs(whole).max()


@pytest.fixture
def spectra():
    """A BandFit, columns (2, 3, bin) and data (2, bin) that hold 0.5, -0.2 and 1 of them, and noise."""
    random = np.random.default_rng(1)
    fit = BandFit(InputConfig(1, CENTRE_HZ))
    fids = make_basis().fids[0] * np.exp(-np.array([2.0, 6.0])[:, None, None] * np.pi * axes.time_axis(2048, 5e-4))
    columns = fit.spectra(fit.shorten(fids))
    noise = random.normal(size=(2, fit.bins, 2)) @ np.array([1, 1j])
    data = (columns * torch.tensor([0.5, -0.2, 1.0])[:, None]).sum(1) + 0.1 * torch.as_tensor(noise)
    return fit, columns, data.to(torch.complex64)


def real(values):
    return np.concatenate([values.real, values.imag], -1).astype(float)


def test_amounts_are_those_of_least_squares_and_ridges_hold_them_back(spectra):
    fit, columns, data = spectra
    cleared = fit.clear(data)
    products = fit.products(columns, cleared)
    free, ridge = products.solve(3), torch.tensor([0.0, 1e4, 0.0], dtype=torch.float64).expand(2, 3)
    held = products.solve(3, ridge)
    for row in range(2):
        matrix, goal = real(fit.clear(columns)[row].numpy()).T, real(cleared[row].numpy())
        expected = np.linalg.lstsq(matrix, goal, rcond=None)[0]
        np.testing.assert_allclose(free.amounts[row], expected, atol=1e-3)
        left = ((goal - matrix @ expected) ** 2).sum()
        assert free.left[row] == pytest.approx(left, rel=1e-2)
        expected = np.linalg.solve(matrix.T @ matrix + np.diag(ridge[row]), matrix.T @ goal)
        np.testing.assert_allclose(held.amounts[row], expected, atol=1e-3)


def test_what_further_columns_would_add_is_what_a_fit_with_them_finds(spectra):
    fit, columns, data = spectra
    products = fit.products(columns, fit.clear(data))
    residual, own = products.solve(2).further()
    amount = (residual / own[..., 0])[:, 0]
    np.testing.assert_allclose(amount, products.solve(3).amounts[:, 2], rtol=1e-3)
    saved = products.solve(2).left - products.solve(3).left
    np.testing.assert_allclose(saved, (residual * amount[:, None])[:, 0], rtol=1e-2)
