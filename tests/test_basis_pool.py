"""Pools of bases: no spread is the plain sequence, same seed same pool, HDF5, checks."""

from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from fsl_mrs_dl.basis.builders import megapress
from fsl_mrs_dl.basis.pool import BasisPool, read_pool, sample_pool, write_pool
from fsl_mrs_dl.basis.pool_priors import PoolPriors, draw_members, member_sequences, member_systems
from fsl_mrs_dl.basis.simulate import simulate
from fsl_mrs_dl.basis.spins import find_systems
from fsl_mrs_dl.errors import BasisError

NAMES = ("NAA", "Cr")
SMALL = {"positions": 2, "points": 64}


@pytest.fixture(scope="module")
def pool():
    return sample_pool(PoolPriors(**SMALL), NAMES, 6, seed=3)


def test_without_spread_a_member_is_the_plain_sequence():
    pool = sample_pool(PoolPriors.fixed(**SMALL), NAMES, 2, seed=0)
    plain = simulate(megapress(**SMALL), NAMES)
    assert pool.fids[0] == pytest.approx(plain.astype(np.complex64), abs=1e-6)
    assert np.array_equal(pool.fids[0], pool.fids[1])


def test_same_seed_same_pool(pool):
    again = sample_pool(PoolPriors(**SMALL), NAMES, 6, seed=3)
    other = sample_pool(PoolPriors(**SMALL), NAMES, 6, seed=4)
    assert np.array_equal(pool.fids, again.fids)
    assert not np.allclose(pool.fids, other.fids)


def test_members_follow_their_recorded_parameters(pool):
    systems = find_systems(NAMES)
    for index in (0, 4):
        sequences = member_sequences(pool.priors, pool.parameters, index)
        fids = simulate(sequences, NAMES, member_systems(systems, pool.parameters, index))
        assert pool.fids[index] == pytest.approx(fids.astype(np.complex64), abs=1e-6)
    basis = pool.member(4)
    assert basis.names == NAMES
    assert basis.spectrum("edit_on") == pytest.approx(pool.fids[4, 1])


def test_draws_stay_in_their_ranges_and_are_not_constant():
    priors = PoolPriors()
    drawn = draw_members(priors, find_systems(["GABA"]), 200, torch.Generator().manual_seed(1))
    for name in ("b1_scale", "edit_on_ppm", "editing_duration_s", "first_refocusing_s"):
        low, high = getattr(priors, name)
        assert low <= drawn[name].min() < low + 0.1 * (high - low)
        assert high - 0.1 * (high - low) < drawn[name].max() <= high
    # Three groups of equivalent protons move together; equal couplings scale together.
    assert drawn["shift_ppm/GABA"].shape == (200, 3)
    counts = np.bincount(drawn["refocusing_shape"], minlength=3) / 200
    assert counts == pytest.approx(priors.refocusing_shape, abs=0.12)


def test_varied_systems_keep_their_symmetry():
    systems = find_systems(["GABA", "PCh"])
    drawn = draw_members(PoolPriors(), systems, 1, torch.Generator().manual_seed(1))
    varied = member_systems(systems, drawn, 0)
    gaba = varied["GABA"][0]
    assert gaba.shifts_ppm[0] == gaba.shifts_ppm[1] != systems["GABA"][0].shifts_ppm[0]
    assert gaba.j_hz[0][2] == gaba.j_hz[1][3] != systems["GABA"][0].j_hz[0][2]
    assert varied["PCh"][0].hetero == systems["PCh"][0].hetero


def test_b1_error_leaves_gradients_as_they_are():
    settings = {**SMALL, "b1_scale": (0.9, 0.9)}
    priors = PoolPriors.fixed(**settings)
    drawn = draw_members(priors, {}, 1, torch.Generator().manual_seed(1))
    off, plain = member_sequences(priors, drawn, 0)[0], megapress(**SMALL)[0]
    assert off.blocks[1].gradient_t_per_m == plain.blocks[1].gradient_t_per_m
    assert off.blocks[2].pulse.peak_hz == pytest.approx(0.9 * plain.blocks[2].pulse.peak_hz)


def test_written_pools_read_back_the_same(pool, tmp_path):
    path = tmp_path / "pool.h5"
    write_pool(pool, path)
    again = read_pool(path)
    assert np.array_equal(again.fids, pool.fids)
    assert again.priors == pool.priors
    assert (again.names, again.conditions, again.seed) == (pool.names, pool.conditions, pool.seed)
    assert set(again.parameters) == set(pool.parameters)
    assert all(np.array_equal(again.parameters[name], values) for name, values in pool.parameters.items())
    with pytest.raises(BasisError, match="Cannot write the pool"):
        write_pool(pool, path)


def test_files_that_are_not_pools_are_refused(pool, tmp_path):
    with pytest.raises(BasisError, match="There is no pool"):
        read_pool(tmp_path / "none.h5")
    text = tmp_path / "text.h5"
    text.write_text("no")
    with pytest.raises(BasisError, match="is damaged"):
        read_pool(text)
    foreign = tmp_path / "foreign.h5"
    h5py.File(foreign, "w").close()
    with pytest.raises(BasisError, match="sample a new pool"):
        read_pool(foreign)
    cut = tmp_path / "cut.h5"
    write_pool(pool, cut)
    with h5py.File(cut, "a") as file:
        del file["fids"]
    with pytest.raises(BasisError, match="is damaged"):
        read_pool(cut)


def _remove_parameters(file):
    del file["parameters"]
    file["parameters"] = 1


def _replace_fids(file):
    del file["fids"]
    file["fids"] = "text"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.attrs.__setitem__("dwell_s", "fast"),
        lambda file: file.attrs.__setitem__("seed", [1, 2]),
        lambda file: file.attrs.__setitem__("names", 5),
        lambda file: file.attrs.__setitem__("names", ["Cr"]),
        lambda file: file.attrs.__setitem__("priors", "["),
        lambda file: file.attrs.__setitem__("priors", "[" * 60_000),
        lambda file: file.attrs.__setitem__("priors", "[1]"),
        lambda file: file.attrs.__setitem__("priors", 3),
        lambda file: file.attrs.__setitem__("format", [1, 2]),
        lambda file: file.__setitem__("parameters/extra", 1.0),
        lambda file: file.attrs.__delitem__("conditions"),
        _remove_parameters,
        _replace_fids,
    ],
)
def test_damaged_pools_are_refused(pool, tmp_path, spoil):
    path = tmp_path / "pool.h5"
    write_pool(pool, path)
    with h5py.File(path, "a") as file:
        spoil(file)
    with pytest.raises(BasisError, match="pool.h5"):
        read_pool(path)


def test_pools_check_themselves(pool):
    with pytest.raises(BasisError, match="shape"):
        replace(pool, names=("NAA",))
    with pytest.raises(BasisError, match="not finite"):
        replace(pool, fids=np.full_like(pool.fids, np.nan))
    with pytest.raises(BasisError, match="one entry a member"):
        replace(pool, parameters={"b1_scale": np.ones(2)})
    with pytest.raises(BasisError, match="positive dwell time"):
        replace(pool, dwell_s=0.0)
    with pytest.raises(BasisError, match="at least 1 member"):
        sample_pool(PoolPriors(), NAMES, 0, seed=1)
    assert isinstance(pool, BasisPool) and len(pool) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"b1_scale": (1.1, 0.9)}, "b1_scale is a range"),
        ({"b1_scale": (0.0, 0.9)}, "b1_scale must stay above 0"),
        ({"editing_shape": (1.0,)}, "editing_shape needs a weight"),
        ({"positions": 0}, "positions of a pool must be above 0"),
        ({"editing_duration_s": (0.02, 0.03)}, "overlap by"),
        ({"te_s": 0.060}, "overlap by"),
    ],
)
def test_priors_check_themselves(change, message):
    with pytest.raises(BasisError, match=message):
        PoolPriors(**change)


def test_priors_survive_json():
    priors = PoolPriors(b1_scale=(0.8, 1.2), positions=4)
    assert PoolPriors.from_json(priors.to_json()) == priors
    with pytest.raises(BasisError, match="not the priors"):
        PoolPriors.from_json('{"unknown": 1}')


def test_one_spectrum_of_a_pool():
    pool = sample_pool(PoolPriors(positions=2, points=64), ["NAA"], 2, 1)
    for name, expected in (("edit_on", pool.fids[:, 1]), ("difference", pool.fids[:, 1] - pool.fids[:, 0])):
        alone = pool.single(name)
        assert alone.conditions == ("single",)
        np.testing.assert_allclose(alone.fids[:, 0], expected, atol=1e-6)
    with pytest.raises(BasisError, match="nonsense"):
        pool.single("nonsense")
