"""Correction for shrinkage: maps of known values, and what they do to a network that shrinks."""

from dataclasses import replace

import numpy as np
import pytest

from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.model.unshrink import GRID, MOST, REACH, SURE, Correction, learn_correction, tenths_of

KNOTS = tuple(np.linspace(-5.0, -2.0, len(SURE)).tolist())
PLANE = tuple(tuple((value + 0.1 * (knot + 5)) for knot in KNOTS) for value in GRID.tolist())
MAP = Correction((KNOTS, None), (PLANE, None))


def shrunk(number, seed):
    """Estimates of two metabolites that a network sees well, badly or hardly; where it sees them badly it shrinks."""
    random = np.random.default_rng(seed)
    truth = random.uniform(0, 1, (number, 2))
    expected = np.exp(random.uniform(np.log(0.001), np.log(0.15), truth.shape))
    share = 1 / (1 + (1.25 * expected / 0.29) ** 2)
    seen = truth + 1.25 * expected * random.normal(size=truth.shape)
    return (share * seen + (1 - share) * 0.5).clip(0, MOST), truth, np.log(expected)


def bias(estimate, truth):
    """(tenth, metabolite) mean errors by tenths of the truth."""
    error, tenth = estimate - truth, tenths_of(truth)
    return np.array([[error[tenth[:, one] == part, one].mean() for one in range(2)] for part in range(10)])


def test_between_its_values_a_map_is_interpolated_and_beyond_the_last_it_holds():
    estimate, spread = np.array([[0.33, 0.33], [0.33, 0.33]]), np.array([[-3.3, 0.0], [1.0, 0.0]])
    np.testing.assert_allclose(MAP(estimate, spread), [[0.33 + 0.17, 0.33], [0.33 + 0.3, 0.33]])
    assert MAP([1.0, 1.0], [-2.0, -2.0]).tolist() == [1.0, 1.0]
    assert MAP([0.95, 0.95], [-2.0, -2.0])[0] == MOST
    np.testing.assert_array_equal(MAP(estimate, spread)[1], MAP(estimate[1], spread[1]))


def test_what_is_surer_than_the_first_column_is_moved_less_in_proportion():
    steep = Correction((KNOTS,), (tuple((value + 0.1,) * len(KNOTS) for value in GRID.tolist()),))
    found = steep([[0.4], [0.4], [0.4]], [[KNOTS[0]], [KNOTS[0] - np.log(2)], [-40.0]])
    np.testing.assert_allclose(found[:, 0], [0.5, 0.45, 0.4])


def test_shrinkage_is_undone_on_other_scans_and_sure_estimates_stay():
    made = learn_correction(*shrunk(40_000, 0))
    estimate, truth, spread = shrunk(40_000, 1)
    found = made(estimate, spread)
    assert np.abs(bias(estimate, truth)[[0, -1]]).min() > 0.011
    assert np.abs(bias(found, truth)).max() < 0.011
    assert (np.abs(found - estimate) < 1.1 * REACH * np.exp(spread) + 1e-3).all()
    assert np.abs(found - truth).mean() < 1.1 * np.abs(estimate - truth).mean()


def test_a_network_that_does_not_shrink_is_left_alone():
    random = np.random.default_rng(2)
    truth = random.uniform(0.05, 0.95, (20_000, 2))
    spread = random.uniform(-5, -3.5, truth.shape)
    estimate = truth + 1.25 * np.exp(spread) * random.normal(size=truth.shape)
    made = learn_correction(estimate, truth, spread)
    assert np.abs(made(estimate, spread) - estimate).mean() < 0.002


def test_few_scans_and_absent_metabolites_have_no_map():
    estimate, truth, spread = shrunk(8000, 3)
    assert learn_correction(estimate[:1000], truth[:1000], spread[:1000]) is None
    truth[:, 1] = 0
    assert learn_correction(estimate, truth, spread).knots[1] is None
    assert learn_correction(estimate, truth, np.full_like(spread, -3.0)).knots[0][0] == -3.0


@pytest.mark.parametrize(
    "change",
    [
        {"knots": (KNOTS,)},
        {"knots": (None, None)},
        {"knots": (KNOTS[:-1], None)},
        {"knots": (KNOTS[::-1], None)},
        {"knots": ((float("nan"), *KNOTS[1:]), None)},
        {"values": (PLANE[:-1], None)},
        {"values": ((PLANE[0][:-1], *PLANE[1:]), None)},
        {"values": (((float("inf"), *PLANE[0][1:]), *PLANE[1:]), None)},
    ],
)
def test_numbers_that_are_no_map_are_refused(change):
    with pytest.raises(ConfigError):
        replace(MAP, **change)
