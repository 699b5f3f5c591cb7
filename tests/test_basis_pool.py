"""Pools of bases: no spread is the plain sequence, same seed same pool, HDF5, checks."""

from dataclasses import fields, replace

import h5py
import numpy as np
import pytest
import torch

from fsl_mrs_dl.basis.builders import megapress
from fsl_mrs_dl.basis.pool import BasisPool, pool_name, read_pool, sample_pool, simulate_drawn, write_pool
from fsl_mrs_dl.basis.pool_members import member_sequences, member_systems
from fsl_mrs_dl.basis.pool_priors import CHOICES, PoolPriors, draw_members
from fsl_mrs_dl.basis.relaxation import T2_S
from fsl_mrs_dl.basis.simulate import simulate
from fsl_mrs_dl.basis.spins import SPIN_TABLES, find_systems, load_systems, variant_systems
from fsl_mrs_dl.errors import BasisError

NAMES = ("NAA", "Cr")
SMALL = {"positions": 2, "points": 64}


def tables_of(names):
    return {table: find_systems(names, variant_systems(table)) for table in SPIN_TABLES}


@pytest.fixture(scope="module")
def pool():
    return sample_pool(PoolPriors(**SMALL), NAMES, 6, seed=3)


def test_without_spread_a_member_is_the_plain_sequence():
    pool = sample_pool(PoolPriors.fixed(**SMALL), NAMES, 2, seed=0)
    plain = simulate(megapress(**SMALL), NAMES)
    assert pool.fids[0] == pytest.approx(plain.astype(np.complex64), abs=1e-6)
    assert np.array_equal(pool.fids[0], pool.fids[1])


RANGES = [field.name for field in fields(PoolPriors) if isinstance(field.default, tuple) and field.name not in CHOICES]


@pytest.mark.parametrize("name", RANGES)
def test_a_range_that_is_a_point_is_not_varied(name):
    low, high = getattr(PoolPriors, name)
    one, two = (PoolPriors.fixed(**SMALL, **{name: limits}) for limits in ((low, low), (low, high)))
    point, varied = (draw_members(priors, tables_of(NAMES), 5, seed=2) for priors in (one, two))
    assert all(np.array_equal(values[:-1], values[1:]) for values in point.values())
    fids = simulate_drawn(one, {key: values[:2] for key, values in point.items()}, tables_of(["Cr"]), ["Cr"])
    assert np.array_equal(fids[0], fids[1])
    moves = {key.split("/")[0] for key, values in varied.items() if not np.array_equal(values[:-1], values[1:])}
    assert moves <= {name, *NAMED_BY.get(name, ())} and (moves or name in ("calibration", "design", "editing_gap_s"))


NAMED_BY = {
    "shift_jitter_ppm": ["shift_ppm"],
    "t2_factor": ["t2_s"],
    "editing_delay_s": ["editing_gap_s"],
    "first_refocusing_s": ["editing_gap_s"],
    "editing_duration_s": ["editing_delay_s", "editing_gap_s"],
}
"""What is drawn under another name than its range's, or moves with it to keep pulses apart."""


def test_same_seed_same_pool(pool):
    again = sample_pool(PoolPriors(**SMALL), NAMES, 6, seed=3)
    other = sample_pool(PoolPriors(**SMALL), NAMES, 6, seed=4)
    assert np.array_equal(pool.fids, again.fids)
    assert not np.allclose(pool.fids, other.fids)


def test_members_follow_their_recorded_parameters(pool):
    tables = tables_of(NAMES)
    for index in (0, 4):
        alone = {name: values[index : index + 1] for name, values in pool.parameters.items()}
        fids = simulate_drawn(pool.priors, alone, tables, NAMES)[0]
        assert pool.fids[index] == pytest.approx(fids.astype(np.complex64), abs=1e-6)
    basis = pool.member(4)
    assert basis.names == NAMES
    assert basis.spectrum("edit_on") == pytest.approx(pool.fids[4, 1])


WHOLE = {"calibration": (1, 1), "design": (1, 1)}


def test_draws_stay_in_their_ranges_and_are_not_constant():
    priors = PoolPriors(**WHOLE)
    drawn = draw_members(priors, tables_of(["GABA"]), 200, seed=1)
    for field in fields(priors):
        value = getattr(priors, field.name)
        if field.name in CHOICES:
            counts = np.bincount(drawn[field.name], minlength=len(value)) / 200
            assert counts == pytest.approx(value, abs=0.12)
        elif isinstance(value, tuple) and field.name in drawn and field.name not in (*MOVED, *WHOLE):
            low, high = value
            assert low <= drawn[field.name].min() < low + 0.1 * (high - low)
            assert high - 0.1 * (high - low) < drawn[field.name].max() <= high
    # Three groups of equivalent protons move together; equal couplings scale together.
    assert drawn["shift_ppm/GABA"].shape == (200, 3)
    assert drawn["t2_s/GABA"].min() >= 0.7 * T2_S["GABA"]


def test_a_member_uses_a_share_of_the_ranges_about_the_nominal_values():
    whole, part = (
        draw_members(PoolPriors(calibration=(share, share), design=(0, 0)), tables_of(["GABA"]), 50, seed=1)
        for share in (1, 0.25)
    )
    np.testing.assert_allclose(part["b1_scale"] - 1, 0.25 * (whole["b1_scale"] - 1))
    np.testing.assert_allclose(part["shift_ppm/GABA"], 0.25 * whole["shift_ppm/GABA"])
    np.testing.assert_allclose(part["j_factor/GABA"] - 1, 0.25 * (whole["j_factor/GABA"] - 1))
    np.testing.assert_allclose(part["editing_duration_s"], 0.020)


MOVED = ("editing_delay_s", "editing_gap_s")
"""Drawn, and then moved where pulses would overlap."""


def test_editing_pulses_never_overlap():
    priors = PoolPriors(first_refocusing_s=(0.0075, 0.008), editing_delay_s=(-0.02, 0.02))
    drawn = draw_members(priors, {}, 20, seed=1)
    for member in range(20):
        for sequence in member_sequences(priors, drawn, member)[0]:
            assert sequence.duration_s == pytest.approx(priors.te_s, abs=1e-6)
            assert min(block.delay_s for block in sequence.blocks) >= 0


def test_a_variation_that_is_switched_off_leaves_the_other_draws():
    free = draw_members(PoolPriors(), tables_of(NAMES), 20, seed=5)
    off = draw_members(PoolPriors(b1_scale=(1, 1), pathways=(1, 0, 0)), tables_of(NAMES), 20, seed=5)
    assert np.all(off["b1_scale"] == 1) and np.all(off["pathways"] == 0)
    assert all(np.array_equal(free[name], off[name]) for name in free if name not in ("b1_scale", "pathways"))
    more = draw_members(PoolPriors(), tables_of((*NAMES, "GABA")), 20, seed=5)
    assert all(np.array_equal(free[name], more[name]) for name in free)


def test_varied_systems_keep_their_symmetry():
    tables = tables_of(["GABA", "PCh"])
    drawn = draw_members(PoolPriors(spin_table=(1, 0, 0)), tables, 1, seed=1)
    varied, systems = member_systems(tables, drawn, 0), tables["shipped"]
    gaba = varied["GABA"][0]
    assert gaba.shifts_ppm[0] == gaba.shifts_ppm[1] != systems["GABA"][0].shifts_ppm[0]
    assert gaba.j_hz[0][2] == gaba.j_hz[1][3] != systems["GABA"][0].j_hz[0][2]
    assert varied["PCh"][0].hetero == systems["PCh"][0].hetero


def test_each_published_table_is_used_as_it_is():
    tables = tables_of(["GABA", "Glu", "NAA"])
    for index, table in enumerate(SPIN_TABLES):
        weights = [float(place == index) for place in range(len(SPIN_TABLES))]
        drawn = draw_members(PoolPriors.fixed(spin_table=weights), tables, 1, seed=1)
        assert member_systems(tables, drawn, 0) == tables[table]
    govindaraju = tables["govindaraju"]["GABA"][0]
    near = load_systems()["GABA"][0]
    # Sums of the couplings between 3CH2 and its neighbours (Hz), by hand from both publications.
    assert sum(sum(row[4:]) for row in govindaraju.j_hz[2:4]) == pytest.approx(5.372 + 10.578 + 7.127 + 6.982)
    assert sum(sum(row[4:]) for row in near.j_hz[2:4]) == pytest.approx(2 * (8.51 + 6.503))
    with pytest.raises(BasisError, match="one of shipped"):
        variant_systems("nobody")


def test_b1_error_leaves_gradients_as_they_are():
    settings = {**SMALL, "b1_scale": (0.9, 0.9)}
    priors = PoolPriors.fixed(**settings)
    drawn = draw_members(priors, {}, 1, seed=1)
    off, plain = member_sequences(priors, drawn, 0)[0][0], megapress(**SMALL)[0]
    assert off.blocks[1].gradient_t_per_m == plain.blocks[1].gradient_t_per_m
    assert off.blocks[2].pulse.peak_hz == pytest.approx(0.9 * plain.blocks[2].pulse.peak_hz)


def test_a_voxel_of_two_b1_is_the_mean_of_both():
    at = {b1: sample_pool(PoolPriors.fixed(**SMALL, b1_scale=(b1, b1)), NAMES, 1, seed=0) for b1 in (0.9, 1.1)}
    both = sample_pool(PoolPriors.fixed(**SMALL, b1_spread=(0.1, 0.1)), NAMES, 1, seed=0)
    # Each alone was turned upright; together they share one phase, so magnitudes of a singlet can be added.
    apart = [pool.fids[0, 0, 1] for pool in at.values()]
    assert np.abs(both.fids[0, 0, 1]) == pytest.approx(np.abs(apart[0] + apart[1]) / 2, abs=1e-5)


def test_slices_follow_their_thickness_and_middle():
    nominal = member_sequences(PoolPriors.fixed(), draw_members(PoolPriors.fixed(), {}, 1, 1), 0)[0][0]
    priors = PoolPriors.fixed(slice_thickness_m=(0.02, 0.02), slice_position_m=(0.001, 0.001))
    moved = member_sequences(priors, draw_members(priors, {}, 1, 1), 0)[0][0]
    assert moved.blocks[1].gradient_t_per_m[0] == pytest.approx(1.5 * nominal.blocks[1].gradient_t_per_m[0])
    assert moved.positions_m(0) == pytest.approx(nominal.positions_m(0) - 0.001)
    assert moved.extent_m[2] == nominal.extent_m[2]


IDEAL = {"refocusing_shape": (0, 0, 1), "editing_duration_s": (0.014, 0.014), "edit_on_ppm": (1.0, 1.0)}


def test_crushed_and_cycled_agree_where_pulses_are_ideal_and_differ_where_not():
    def singlet_of(**settings):
        pool = sample_pool(PoolPriors.fixed(**SMALL, **settings), ["Cr"], 1, seed=1)
        return pool.fids[0]

    weights = np.eye(3)
    crushed, cycled, short = (singlet_of(**IDEAL, pathways=weight) for weight in weights)
    assert cycled == pytest.approx(crushed, abs=2e-4) and short == pytest.approx(crushed, abs=2e-4)
    crushed, cycled, short = (singlet_of(b1_scale=(0.8, 0.8), pathways=weight) for weight in weights)
    assert cycled == pytest.approx(crushed, abs=2e-4)
    assert np.abs(short - crushed).max() > 1e-3


def test_ideal_editing_turns_its_band_and_nothing_else():
    settings = SMALL | {"b1_scale": (1, 1), "refocusing_shape": (0, 0, 1), "editing_shape": (0, 0, 0, 1)}
    narrow, wide = (
        sample_pool(PoolPriors.fixed(**settings, editing_band_hz=(band, band)), ["NAA", "Cr"], 1, seed=1).fids[0]
        for band in (20.0, 60.0)
    )
    size = lambda fids: np.abs(np.fft.fft(fids)).max(-1)  # noqa: E731
    # 13 Hz from 1.9 ppm, NAA's methyl lies in the wider band alone, where crushers remove it (its other lines stay).
    assert size(narrow[1]) == pytest.approx(size(narrow[0]), rel=0.02)
    assert size(wide[1, 0]) < 0.3 * size(wide[0, 0])
    assert size(wide[1, 1]) == pytest.approx(size(wide[0, 1]), rel=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same_pool(pool):
    assert sample_pool(pool.priors, NAMES, 6, 3, device="cuda").fids == pytest.approx(pool.fids, abs=1e-6)


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


def test_pools_are_named_by_folder_and_file(tmp_path, monkeypatch):
    (tmp_path / "weak").mkdir()
    monkeypatch.chdir(tmp_path / "weak")
    for path in ("pool.h5", "../weak/pool.h5", tmp_path / "weak" / "pool.h5", "/weak/pool.h5"):
        assert pool_name(path) == "weak/pool.h5"
    assert pool_name("/pool.h5") == "pool.h5"


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
        ({"b1_spread": (-0.1, 0.1)}, "b1_spread must be 0 or more"),
        ({"b1_spread": (0.0, 1.0)}, "b1_spread must stay below 1"),
        ({"pathways": (0.0, 0.0)}, "pathways needs a weight"),
        ({"te_s": 0.060}, "overlap by"),
    ],
)
def test_priors_check_themselves(change, message):
    with pytest.raises(BasisError, match=message):
        PoolPriors(**change)


def test_ranges_are_changed_by_name():
    values = {"b1_scale": [0.9, 1.1], "refocusing_shape": [0, 0, 1]}
    priors = PoolPriors(positions=4).with_ranges(values, "mine.json")
    assert (priors.b1_scale, priors.refocusing_shape, priors.positions) == ((0.9, 1.1), (0.0, 0.0, 1.0), 4)
    assert priors.ranges_unlike(PoolPriors()) == values
    assert PoolPriors().ranges_unlike(PoolPriors(te_s=0.080)) == {}


@pytest.mark.parametrize(
    "values, message",
    [
        ({"b1scale": [0.9, 1.1]}, "b1scale is nothing .* did you mean b1_scale"),
        ({"xyz": [0.9, 1.1]}, "a pool varies b1_scale, b1_spread"),
        ({"te_s": 0.07}, "te_s is nothing that a pool varies"),
        ([1], "JSON object, name to range, not a list"),
        ({"b1_scale": 1}, "a list of numbers"),
        ({"b1_scale": ["a", 2]}, "a list of numbers"),
        ({"b1_scale": [1, 10**400]}, "a list of numbers"),
        ({"b1_scale": [2, 1]}, "b1_scale is a range .* low first"),
    ],
)
def test_ranges_that_are_none_are_refused(values, message):
    with pytest.raises(BasisError, match=f"mine.json.*{message}"):
        PoolPriors().with_ranges(values, "mine.json")


def test_priors_survive_json():
    priors = PoolPriors(b1_scale=(0.8, 1.2), positions=4)
    assert PoolPriors.from_json(priors.to_json()) == priors
    with pytest.raises(BasisError, match="not the priors"):
        PoolPriors.from_json('{"unknown": 1}')
    # What an older file does not know was not varied.
    old = PoolPriors.from_json('{"editing_shape": [0.5, 0.5], "b1_scale": [0.7, 1.2]}')
    assert old == PoolPriors.fixed(editing_shape=(0.5, 0.5, 0, 0), b1_scale=(0.7, 1.2))
    # Bands are of ideal editing alone.
    assert set(old.ranges_unlike(PoolPriors.fixed(editing_band_hz=(50, 90)))) == {"editing_shape", "b1_scale"}
    banded = PoolPriors.fixed(editing_shape=(0, 0, 0, 1), editing_band_hz=(50, 90))
    assert "editing_band_hz" in old.ranges_unlike(banded)


def test_one_spectrum_of_a_pool():
    pool = sample_pool(PoolPriors(positions=2, points=64), ["NAA"], 2, 1)
    for name, expected in (("edit_on", pool.fids[:, 1]), ("difference", pool.fids[:, 1] - pool.fids[:, 0])):
        alone = pool.single(name)
        assert alone.conditions == ("single",)
        np.testing.assert_allclose(alone.fids[:, 0], expected, atol=1e-6)
    with pytest.raises(BasisError, match="nonsense"):
        pool.single("nonsense")
