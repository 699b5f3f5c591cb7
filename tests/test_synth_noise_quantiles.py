"""Tables of quantiles against the distributions themselves."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from fsl_mrs_dl.synth.noise_quantiles import at_same_quantile, quantile_tables

Z = torch.cat([torch.linspace(-5.7, 5.7, 4001), torch.logspace(-6, -1, 50)])


@pytest.mark.parametrize("beta", [0.35, 0.8, 1.0, 1.23, 2.0, 3.1, 8.0, 30.0])
def test_a_number_keeps_its_quantile(beta):
    found = at_same_quantile(Z[None].clone(), quantile_tables(torch.tensor([beta])))[0].double().numpy()
    upper = stats.gennorm.isf(stats.norm.sf(Z.abs().double().numpy()), beta)
    wanted = np.copysign(upper, Z.numpy())
    np.testing.assert_allclose(found, wanted, rtol=3e-5, atol=2e-5 * stats.gennorm.std(beta))


def test_gaussian_noise_of_shape_2_is_the_normal_numbers():
    found = at_same_quantile(Z[None].clone(), quantile_tables(torch.tensor([2.0])))[0]
    torch.testing.assert_close(found, Z * math.sqrt(0.5), rtol=1e-5, atol=1e-6)


def test_extreme_shapes_and_numbers_stay_finite():
    tables = quantile_tables(torch.tensor([0.2, 300.0]))
    found = at_same_quantile(torch.tensor([0.0, 1.0, 100.0]).repeat(2, 1), tables)
    assert found.isfinite().all() and (found[:, 0] == 0).all() and (tables.diff() >= 0).all()
    # A very large shape is a uniform distribution from -alpha to alpha.
    assert found[1, 1] == pytest.approx(math.erf(1 / math.sqrt(2)), rel=0.02)
