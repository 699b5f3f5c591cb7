"""Drawing: same seed same numbers, ranges kept, every batch its own."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.synth.draws import draw
from fsl_mrs_dl.synth.priors import COUNT_OF, FRACTIONS, MOST, PUBLISHED, RECIPE_FOLDER, RECIPES, Recipe, recipe_named

from .conftest import PHANTOM

SIZES = dict(batch=64, metabolites=3, conditions=2)


def test_same_seed_and_index_give_the_same_parameters():
    first, again = (draw(PHANTOM, 7, 3, members=5, **SIZES) for _ in range(2))
    for field in dataclasses.fields(first):
        one, two = getattr(first, field.name), getattr(again, field.name)
        assert torch.equal(one, two) if isinstance(one, torch.Tensor) else one == two
    other = draw(PHANTOM, 7, 4, members=5, **SIZES)
    assert not torch.equal(first.lorentz_hz, other.lorentz_hz) and first.noise_seed != other.noise_seed


def test_parameters_fill_their_ranges():
    recipe = dataclasses.replace(PHANTOM, clean_fraction=0.0, tidy_fraction=0.0)
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
    recipe = dataclasses.replace(PHANTOM, pool_fraction=0.5, clean_fraction=0.25, tidy_fraction=0.0)
    drawn = draw(recipe, 1, 0, batch=8192, metabolites=3, conditions=2, members=5)
    clean = (drawn.lorentz_hz == 2) & (drawn.gauss_hz == 0) & (drawn.phase_rad == 0) & (drawn.water == 0).all(1)
    assert clean.float().mean() == pytest.approx(0.25, abs=0.02)
    assert (drawn.member >= 0).float().mean() == pytest.approx(0.75 * 0.5, abs=0.02)
    assert (drawn.member[clean] == -1).all() and drawn.member.max() == 4
    assert (draw(recipe, 1, 0, members=0, **SIZES).member == -1).all()


def test_tidy_scans_are_clean_but_for_lines_noise_and_basis():
    changes = {"pool_fraction": 1.0, "clean_fraction": 0.2, "tidy_fraction": 0.5, "noise_sigma": (0.1, 0.2)}
    recipe = dataclasses.replace(RECIPES["scanner"], **changes)
    drawn = draw(recipe, 1, 0, batch=8192, metabolites=3, conditions=2, members=5)
    plain = (drawn.water == 0).all(1) & (drawn.satellite == 0) & (drawn.metabolite_shift_hz == 0).all(1)
    clean = drawn.member == -1
    assert clean.float().mean() == pytest.approx(0.2, abs=0.02) and plain[clean].all()
    tidy = plain & ~clean
    assert tidy.float().mean() == pytest.approx(0.8 * 0.5, abs=0.02)
    for name, neutral in (("edit_gain", 1.0), ("eddy_rad", 0.0), ("first_point", 0.0), ("truncation", 0.0)):
        assert (getattr(drawn, name)[plain] == neutral).all() and not (getattr(drawn, name)[~plain] == neutral).any()
    for name in ("edit_efficiency", "metabolite_efficiency"):
        assert (getattr(drawn, name)[clean] == 1.0).all() and not (getattr(drawn, name)[~clean] == 1.0).any()
    assert drawn.noise_sigma[tidy].min() >= 0.1 and drawn.noise_sigma[clean].max() <= 0.03
    straight = (drawn.lorentz_hz == 2) & (drawn.gauss_hz == 0) & (drawn.shift_hz == 0) & (drawn.phase_rad == 0)
    assert straight[tidy].float().mean() == pytest.approx(0.5, abs=0.03) and not straight[~plain].any()
    none = dataclasses.replace(recipe, tidy_fraction=0.0)
    before = draw(none, 1, 0, batch=8192, metabolites=3, conditions=2, members=5)
    for name in ("concentrations", "member", "noise_sigma"):
        torch.testing.assert_close(getattr(before, name), getattr(drawn, name))
    torch.testing.assert_close(before.water[~plain], drawn.water[~plain])


def test_edit_on_of_another_member():
    recipe = dataclasses.replace(PHANTOM, pool_fraction=0.5, clean_fraction=0.25, other_on_fraction=0.4)
    drawn = draw(recipe, 1, 0, batch=8192, metabolites=3, conditions=2, members=50)
    pooled = drawn.member >= 0
    other = drawn.on_member != drawn.member[:, None]
    # One in 50 draws the same member again.
    assert other[pooled].float().mean() == pytest.approx(0.4 * 0.98, abs=0.03) and not other[~pooled].any()
    assert drawn.on_member[other].min() == 0 and drawn.on_member.max() == 49
    whole = other.any(1)
    assert other[whole].float().mean() > 0.97 and (drawn.on_member[whole, 0] != drawn.on_member[whole, 1]).any()
    alike = dataclasses.replace(recipe, other_on_fraction=0.0)
    before = draw(alike, 1, 0, batch=8192, metabolites=3, conditions=2, members=50)
    assert (before.on_member == before.member[:, None]).all() and torch.equal(before.member, drawn.member)
    assert (draw(recipe, 1, 0, members=0, **SIZES).on_member == -1).all()
    single = draw(recipe, 1, 0, batch=512, metabolites=3, conditions=1, members=50)
    assert (single.on_member == single.member[:, None]).all()


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
    for name in FRACTIONS:
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


IMPERFECTIONS = {
    **dict.fromkeys(("edit_gain", "edit_efficiency", "metabolite_efficiency"), (0.8, 1.2)),
    **dict.fromkeys(("metabolite_gauss_hz", "delay_s", "drift_hz", "jitter_hz", "jitter_rad"), (0.0, 0.5)),
    **dict.fromkeys(("water_tail", "spline", "mm_09", "mm_30", "lipid", "echo"), (0.0, 0.5)),
    **dict.fromkeys(("truncation", "first_point", "satellite", "eddy_rad"), (0.0, 0.5)),
    **dict.fromkeys(("gauss_hz", "water", "baseline"), (0.0, 0.5)),
}


@pytest.mark.parametrize("name", IMPERFECTIONS)
def test_an_imperfection_leaves_the_rest_of_the_draw_as_it_is(name):
    base = Recipe("base", clean_fraction=0.3, **MOST | dict.fromkeys(COUNT_OF.values(), 3))
    recipe = dataclasses.replace(base, **{name: IMPERFECTIONS[name]})
    assert recipe.uses(name) and not base.uses(name)
    before, after = (vars(draw(one, 1, 0, **SIZES)) for one in (base, recipe))
    changed = {key for key in before if not torch.equal(*(torch.as_tensor(drawn[key]) for drawn in (before, after)))}
    # Its own values, and those of parts of it that are not there without it.
    owned = {key for key in before if key.startswith(name)} | {"transient_unit"}
    assert name in changed and changed <= owned
    assert after[name].min() >= min(IMPERFECTIONS[name][0], *getattr(base, name))
    neutral = after[name] == getattr(base, name)[0]
    assert neutral.reshape(len(neutral), -1).all(1).float().mean() == pytest.approx(0.3, abs=0.2)


def test_a_number_without_an_amplitude_is_off():
    for name, count in COUNT_OF.items():
        assert not Recipe("none", **{name: (0.0, 0.5)}).uses(name)
        assert not Recipe("none", **{count: 4}).uses(name)
        assert Recipe("some", **{name: (0.0, 0.5), count: 4}).uses(name)


def test_every_shipped_file_is_a_recipe_of_its_name():
    assert {path.stem for path in RECIPE_FOLDER.glob("*.json")} == set(RECIPES)
    for name, recipe in RECIPES.items():
        assert recipe.name == name and recipe_named(name) is recipe
        assert recipe.purpose and recipe.not_for
    # What a left-out field has, and scans of a clean_fraction.
    assert dataclasses.replace(Recipe("published"), purpose=PUBLISHED.purpose, not_for=PUBLISHED.not_for) == PUBLISHED
    published = dataclasses.replace(PHANTOM, tidy_fraction=0.0, other_on_fraction=0.0)
    for bases, fraction in (("single", 0.0), ("multi", 1.0)):
        for noise in ("adc", "gg"):
            name = f"{bases}-{noise}"
            assert RECIPES[name] == dataclasses.replace(published, name=name, pool_fraction=fraction, noise=noise)
    assert RECIPES["clean"].noise == "none" and RECIPES["linewidth"].lorentz_hz[1] > PUBLISHED.lorentz_hz[1]


def test_scanner_has_every_range_of_phantom_and_more():
    for field in dataclasses.fields(Recipe):
        narrow, wide = (getattr(RECIPES[name], field.name) for name in ("phantom", "scanner"))
        if isinstance(narrow, tuple) and narrow:
            assert wide[0] <= narrow[0] and wide[1] >= narrow[1], field.name


def test_a_recipe_may_be_based_on_a_shipped_one(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text('{"name": "mine", "based_on": "phantom", "phase_rad": [-1, 1]}')
    assert recipe_named(file.as_posix()) == dataclasses.replace(PHANTOM, name="mine", phase_rad=(-1.0, 1.0))
    for base in ('"nonsense"', "3", '["phantom"]'):
        file.write_text(f'{{"name": "mine", "based_on": {base}}}')
        with pytest.raises(ConfigError, match="based_on must be one of clean, published"):
            recipe_named(str(file))
    file.write_text('{"based_on": "phantom"}')
    with pytest.raises(ConfigError, match="missing option name"):
        recipe_named(str(file))
    file.write_text("[1]")
    with pytest.raises(ConfigError, match="must be a JSON object"):
        recipe_named(str(file))


def test_numbers_and_magnitudes_are_bounded():
    for name, most in MOST.items():
        for count in (-1, most + 1):
            with pytest.raises(ConfigError, match=f"{name} must be 0 to {most}, not {count}"):
                Recipe("bad", **{name: count})
    for name, pair in {"lorentz_hz": (0.0, 1e9), "truncation": (0.0, 1.0), "mm_edited": (0.0, 1.1)}.items():
        with pytest.raises(ConfigError, match=f"{name} must be an ascending pair within"):
            Recipe("bad", **{name: pair})
    for name in ("eddy_time_s", "echo_width_s", "lipid_width_hz", "mm_width_hz", "water_tail_width_hz"):
        with pytest.raises(ConfigError, match=f"{name} must be above 0 .at least 1e-06"):
            Recipe("bad", **{name: (1e-40, 1.0)})
    with pytest.raises(ConfigError, match="echo must be an ascending pair"):
        Recipe("bad", echo=(-0.1, 0.1))
    with pytest.raises(ConfigError, match="spline_knots must be 0, or 2"):
        Recipe("bad", spline_knots=1)


DOCS = Path(__file__).parents[1] / "docs" / "training-data.md"


@pytest.mark.skipif(not DOCS.is_file(), reason="the pages are not here")
def test_the_page_says_what_the_recipes_have():
    rows = [line.strip("| ").split(" | ") for line in DOCS.read_text(encoding="utf-8").splitlines() if "| `" in line]
    rows = {row[0].strip("`"): row[3:6] for row in rows if len(row) >= 6}
    texts = {"name", "purpose", "not_for"}
    elsewhere = texts | {"concentrations", "dirichlet_alpha", "fixed_metabolite", "own_mm", "absent_fraction"}
    assert {field.name for field in dataclasses.fields(Recipe)} - elsewhere <= set(rows)
    for field in dataclasses.fields(Recipe):
        for name, said in zip(("published", "phantom", "scanner"), rows.get(field.name, ()), strict=False):
            value = getattr(RECIPES[name], field.name)
            numbers = [f"{one:g}" for one in value] if isinstance(value, tuple) else [f"{value}".removesuffix(".0")]
            assert said.strip() == (", ".join(numbers) or "none"), (field.name, name)
