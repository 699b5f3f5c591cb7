"""Lines broadened by T2: what all metabolites share is left to the scan, and amplitudes stay."""

import numpy as np
import pytest

from fsl_mrs_dl.basis.pool import sample_pool
from fsl_mrs_dl.basis.pool_priors import PoolPriors
from fsl_mrs_dl.basis.relaxation import T2_S, broaden_by_t2

NAMES = ("NAA", "Cr")
SMALL = {"positions": 2, "points": 64}


def test_equal_or_endless_t2_leaves_the_lines():
    fids = np.ones((2, 2, 2, 8), dtype=complex)
    for t2_s in ([np.inf, np.inf], [0.1, 0.1]):
        assert np.array_equal(broaden_by_t2(fids, np.array([t2_s, t2_s]), 1e-3), fids)


def test_t2_sets_the_decay_between_metabolites_and_no_amplitude():
    fids = broaden_by_t2(np.ones((1, 2, 2, 8), dtype=complex), np.array([[0.1, 0.2]]), 1e-3)
    assert np.all(fids[:, :, 1] == 1) and np.all(fids[..., 0] == 1)
    assert fids[0, 0, 0] == pytest.approx(np.exp(-np.arange(8) * 1e-3 * (1 / 0.1 - 1 / 0.2)))
    plain = sample_pool(PoolPriors.fixed(**SMALL), NAMES, 1, seed=2)
    relaxed = sample_pool(PoolPriors.fixed(**SMALL, relaxation=(0, 1)), NAMES, 1, seed=2)
    rate = 1 / T2_S["Cr"] - 1 / T2_S["NAA"]
    decay = np.exp(-rate * np.arange(64) / 2000)
    assert relaxed.fids[0, :, 1] == pytest.approx(plain.fids[0, :, 1] * decay, abs=1e-6)
    assert relaxed.fids[0, :, 0] == pytest.approx(plain.fids[0, :, 0])
