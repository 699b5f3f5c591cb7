"""Drawing: same seed same numbers, ranges kept, every batch its own."""

import dataclasses
import math

import pytest
import torch

from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.synth.draws import draw
from fsl_mrs_dl.synth.priors import PHANTOM, PUBLISHED, Recipe, recipe_named

SIZES = dict(batch=64, metabolites=3, conditions=2)


def test_same_seed_and_index_give_the_same_parameters():
    first, again = (draw(PHANTOM, 7, 3, members=5, **SIZES) for _ in range(2))
    for field in dataclasses.fields(first):
        one, two = getattr(first, field.name), getattr(again, field.name)
        assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two
    other = draw(PHANTOM, 7, 4, members=5, **SIZES)
    assert not torch.equal(first.lorentz_hz, other.lorentz_hz) and first.noise_seed != other.noise_seed


def test_parameters_fill_their_ranges():
    recipe = dataclasses.replace(PHANTOM, clean_fraction=0.0)
    drawn = draw(recipe, 1, 0, batch=4096, metabolites=3, conditions=2, members=5)
    for name in ("lorentz_hz", "shift_hz", "phase_rad", "water", "baseline", "metabolite_shift_hz", "noise_sigma"):
        low, high = getattr(recipe, name)
        values = getattr(drawn, name)
        assert values.min() >= low and values.max() <= high
        assert values.mean() == pytest.approx((low + high) / 2, abs=0.05 * (high - low))


def test_concentrations_are_a_sobol_sequence_through_the_batches():
    drawn = torch.cat([draw(PUBLISHED, 1, k, **SIZES).concentrations for k in range(16)])
    assert len(torch.unique(drawn, dim=0)) == len(drawn)
    # 1024 points of a scrambled Sobol sequence: one in each of 1024 equal parts of every axis.
    assert torch.equal((drawn * 1024).long().sort(0).values, torch.arange(1024)[:, None].expand(-1, 3))


def test_pool_and_clean_fractions():
    recipe = dataclasses.replace(PHANTOM, pool_fraction=0.5, clean_fraction=0.25)
    drawn = draw(recipe, 1, 0, batch=8192, metabolites=3, conditions=2, members=5)
    clean = (drawn.lorentz_hz == 2) & (drawn.gauss_hz == 0) & (drawn.phase_rad == 0) & (drawn.water == 0).all(1)
    assert clean.float().mean() == pytest.approx(0.25, abs=0.02)
    assert (drawn.member >= 0).float().mean() == pytest.approx(0.75 * 0.5, abs=0.02)
    assert (drawn.member[clean] == -1).all() and drawn.member.max() == 4
    assert (draw(recipe, 1, 0, members=0, **SIZES).member == -1).all()


def test_a_recipe_refuses_what_cannot_be(tmp_path):
    with pytest.raises(ConfigError, match="lorentz_hz"):
        Recipe("bad", lorentz_hz=(5.0, 2.0))
    with pytest.raises(ConfigError, match="pool_fraction"):
        Recipe("bad", pool_fraction=1.5)
    for name in ("eddy_time_s", "water_width_hz", "baseline_width_hz"):
        with pytest.raises(ConfigError, match=f"{name} must be above 0"):
            Recipe("bad", **{name: (0.0, 1.0)})
    for name in ("lorentz_hz", "shift_hz", "noise_sigma", "noise_beta"):
        for pair in ((math.nan, 1.0), (0.5, math.nan), (0.5, math.inf)):
            with pytest.raises(ConfigError, match=f"{name} must be a pair of finite numbers"):
                Recipe("bad", **{name: pair})
    for name in ("pool_fraction", "clean_fraction"):
        with pytest.raises(ConfigError, match=name):
            Recipe("bad", **{name: math.nan})
    with pytest.raises(ConfigError, match="phantom"):
        recipe_named("nonsense")
    file = tmp_path / "mine.json"
    file.write_text('{"name": "mine", "phase_rad": [-1, 1]}')
    assert recipe_named(str(file)).phase_rad == (-1.0, 1.0)
    file.write_text('{"name": "mine", "phase": [-1, 1]}')
    with pytest.raises(ConfigError, match="unknown option 'phase'"):
        recipe_named(str(file))
