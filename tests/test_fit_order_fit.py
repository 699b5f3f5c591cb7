"""The order of two edited spectra, by a fit: right where NAA tells nothing, or the wrong thing."""

from dataclasses import replace

import numpy as np
import pytest

from fsl_mrs_dl.basis.basis_set import read_basis, shipped_basis
from fsl_mrs_dl.basis.pool import PoolPriors, sample_pool
from fsl_mrs_dl.fit.edit_order import MOST_RATIO, naa_order, signal_order
from fsl_mrs_dl.fit.order_fit import left_unexplained
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.priors import recipe_named

DWELL_S, CENTRE_HZ = 5e-4, 123.2e6
GLUTAMATE = np.array([0.9, 0.0, 0.1, 1.0, 0.2])
"""Contents of Cr, GABA, Gln, Glu and NAA with more glutamate than NAA."""


@pytest.fixture(scope="module")
def bases():
    """Three scanners none of which is the basis set's, (member, condition, metabolite, point)."""
    priors = PoolPriors(b0_t=2.8935486, positions=4, calibration=(1, 1), design=(1, 1))
    return sample_pool(priors, ["Cr", "GABA", "Gln", "Glu", "NAA"], 3, seed=8)


def messy(fids, rng, shift_hz=0.0):
    """(condition, point) FIDs broadened, shifted, turned, with noise and water."""
    t = np.arange(fids.shape[-1]) * DWELL_S
    rate = 2j * np.pi * shift_hz - np.pi * 5
    noise = rng.standard_normal(fids.shape) + 1j * rng.standard_normal(fids.shape)
    water = 2 * np.abs(fids).max() * np.exp(-np.pi * 10 * t)
    return (fids * np.exp(rate * t + 2j) + water + 0.01 * np.abs(fids).max() * noise).astype(complex)


@pytest.mark.parametrize("shift_hz", [-30.0, 0.0, 30.0])
def test_little_naa_beside_much_glutamate(bases, shift_hz):
    rng = np.random.default_rng(1)
    for member in bases.fids:
        fids = messy(GLUTAMATE @ member, rng, shift_hz)
        order, how, ratio = signal_order(fids, DWELL_S, CENTRE_HZ)
        assert (order, how) == ("off-on", "fit") and ratio > 1.2
        order, how, again = signal_order(fids[::-1], DWELL_S, CENTRE_HZ)
        assert (order, how) == ("on-off", "fit") and again == pytest.approx(ratio, rel=0.05)


def test_random_contents_of_unseen_scanners(bases):
    recipe = replace(recipe_named("scanner"), pool_fraction=1.0, clean_fraction=0.0, other_on_fraction=0.0)
    batch = Stream(read_basis(shipped_basis()), recipe, 3, bases, 128)[0]
    found, by_naa = [], []
    for fids in batch.measured.numpy():
        found.append(signal_order(fids, DWELL_S, CENTRE_HZ)[0])
        by_naa.append(naa_order(fids, DWELL_S, CENTRE_HZ)[0])
    assert found.count("off-on") >= 127 and found.count("on-off") == 0
    # By its line alone, scans with little NAA are taken for the other order.
    assert by_naa.count("on-off") >= 2


def test_what_is_left_is_the_noise_in_the_right_order():
    basis = read_basis(shipped_basis())
    fids = np.array([0.6, 0.4, 0.3, 0.8, 1.0]) @ basis.fids[..., :2048]
    right, wrong = left_unexplained(fids, DWELL_S, CENTRE_HZ)
    assert right < 1e-4 and wrong > 0.2
    assert left_unexplained(fids[::-1], DWELL_S, CENTRE_HZ) == pytest.approx((wrong, right), rel=1e-3)
    # Of other scanners at 3 T it still tells, of another field strength it says nothing.
    assert np.argmin(left_unexplained(fids, DWELL_S, 127.7e6)) == 0
    assert left_unexplained(fids, DWELL_S, 297.2e6) is None


def test_what_holds_nothing_tells_nothing():
    fids = np.array([0.6, 0.4, 0.3, 0.8, 1.0]) @ read_basis(shipped_basis()).fids[..., :2048]
    for wrong in (0 * fids, fids * [[1], [0]], fids * [[0], [1]], fids * np.nan, fids * np.inf):
        assert left_unexplained(wrong, DWELL_S, CENTRE_HZ) is None
    order, how, ratio = signal_order(fids[::-1], DWELL_S, CENTRE_HZ)
    assert (order, how, ratio) == ("on-off", "fit", MOST_RATIO)
