"""Kinds of concentrations: their sums, ranges and means, and what cannot be."""

import pytest
import torch

from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.synth.concentrations import IN_VIVO_MM, draw_concentrations
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.draws import Source
from fsl_mrs_dl.synth.priors import Recipe, recipe_named

NAMES = ("Cr", "GABA", "NAA", "Glu")


def drawn(batch=4096, seed=3, names=NAMES, **values):
    """Concentrations of a batch of a recipe."""
    return draw_concentrations(Recipe("one", **values), Source(seed, 0, batch), len(names), names)


@pytest.mark.parametrize("alpha", [0.3, 1.0, 5.0])
def test_dirichlet_has_its_sum_means_and_variances(alpha):
    values = drawn(concentrations="dirichlet", dirichlet_alpha=alpha)
    torch.testing.assert_close(values.sum(1), torch.ones(4096), atol=1e-5, rtol=0)
    assert torch.allclose(values.mean(0), torch.full((4,), 0.25), atol=0.005)
    # Variance of a symmetric Dirichlet distribution of k parts: (k - 1) / (k^2 (k alpha + 1)).
    assert torch.allclose(values.var(0), torch.full((4,), 3 / (16 * (4 * alpha + 1))), rtol=0.06)


def test_one_metabolite_is_fixed_and_the_others_are_as_before():
    values = drawn(concentrations="fixed", fixed_metabolite="GABA")
    assert (values[:, 1] == 1).all()
    assert torch.equal(values[:, [0, 2, 3]], drawn()[:, [0, 2, 3]])


def test_in_vivo_ranges_are_filled():
    values = drawn(concentrations="invivo")
    for name, column in zip(NAMES, values.T, strict=True):
        low, high = IN_VIVO_MM[name]
        assert low <= column.min() and column.max() <= high
        assert column.mean() == pytest.approx((low + high) / 2, rel=0.01)


def test_names_of_other_programs_and_own_ranges_are_in_vivo_too():
    names = ("PCho", "sIns", "mI", "Mac", "Cr")
    values = drawn(names=names, concentrations="invivo", own_mm=(("Mac", 20.0, 30.0), ("Cr", 1.0, 2.0)))
    expected = [IN_VIVO_MM["PCh"], IN_VIVO_MM["Scyllo"], IN_VIVO_MM["Ins"], (20.0, 30.0), (1.0, 2.0)]
    for (low, high), column in zip(expected, values.T, strict=True):
        assert low <= column.min() < low + 0.01 * (high - low) and high - 0.01 * (high - low) < column.max() <= high


def test_own_ranges_come_from_a_file(tmp_path):
    path = tmp_path / "brain.json"
    path.write_text('{"name": "brain", "concentrations": "invivo", "own_mm": [["Mac", 5, 10]]}', encoding="utf-8")
    assert recipe_named(path.as_posix()).own_mm == (("Mac", 5.0, 10.0),)
    path.write_text('{"name": "brain", "concentrations": "invivo", "own_mm": [["Mac", 5]]}', encoding="utf-8")
    with pytest.raises(ConfigError, match="own_mm must have 3 values"):
        recipe_named(path.as_posix())


def test_the_metabolite_that_is_kept_can_be_seen():
    visible = torch.tensor([False, True, True, False])
    recipe = Recipe("one", absent_fraction=1.0)
    values = draw_concentrations(recipe, Source(3, 0, 512), 4, NAMES, visible)
    assert (values[:, visible] > 0).sum(1).eq(1).all() and not values[:, ~visible].any()
    recipe = Recipe("one", concentrations="fixed", fixed_metabolite="Cr")
    with pytest.raises(ConfigError, match="cannot be seen in this basis set; take one of GABA, NAA"):
        draw_concentrations(recipe, Source(3, 0, 2), 4, NAMES, visible)


@pytest.mark.parametrize("kind", ["sobol", "dirichlet", "fixed", "invivo"])
def test_metabolites_are_absent_as_often_as_asked_but_never_all(kind):
    more = {"fixed_metabolite": "Cr"} if kind == "fixed" else {}
    values = drawn(concentrations=kind, absent_fraction=0.4, **more)
    # One of four is kept whatever was drawn: a random one, or the fixed one.
    share = (values == 0).float().mean(0)
    expected = [0.0, 0.4, 0.4, 0.4] if kind == "fixed" else [0.3] * 4
    assert torch.allclose(share, torch.tensor(expected), atol=0.025)
    assert (drawn(concentrations=kind, absent_fraction=1.0, **more) > 0).sum(1).eq(1).all()
    if kind == "dirichlet":
        torch.testing.assert_close(values.sum(1), torch.ones(4096), atol=1e-5, rtol=0)


def test_what_cannot_be_is_refused(tiny_basis):
    with pytest.raises(ConfigError, match="concentrations must be sobol"):
        Recipe("bad", concentrations="uniform")
    with pytest.raises(ConfigError, match="go together"):
        Recipe("bad", concentrations="fixed")
    with pytest.raises(ConfigError, match="go together"):
        Recipe("bad", fixed_metabolite="Cr")
    with pytest.raises(ConfigError, match="dirichlet_alpha"):
        Recipe("bad", dirichlet_alpha=0.0)
    with pytest.raises(ConfigError, match="absent_fraction"):
        Recipe("bad", absent_fraction=1.5)
    with pytest.raises(ConfigError, match="PCr is not in the basis set, which has Cr, GABA, NAA"):
        Stream(tiny_basis, Recipe("bad", concentrations="fixed", fixed_metabolite="PCr"), batch=2)[0]
    with pytest.raises(ConfigError, match="own_mm is for concentrations 'invivo'"):
        Recipe("bad", own_mm=(("Cr", 1.0, 2.0),))
    with pytest.raises(ConfigError, match="a metabolite twice"):
        Recipe("bad", concentrations="invivo", own_mm=(("Cr", 1.0, 2.0), ("Cr", 2.0, 3.0)))
    with pytest.raises(ConfigError, match="own_mm of Cr must be an ascending pair"):
        Recipe("bad", concentrations="invivo", own_mm=(("Cr", 3.0, 2.0),))
    with pytest.raises(ConfigError, match="a range for Mac, which is not in the basis set"):
        drawn(concentrations="invivo", own_mm=(("Mac", 1.0, 2.0),))
    with pytest.raises(ConfigError, match="no in vivo range for Bogus"):
        drawn(names=("Cr", "Bogus"), concentrations="invivo")
    with pytest.raises(ConfigError, match="no in vivo range for metabolites without names"):
        draw_concentrations(Recipe("bad", concentrations="invivo"), Source(1, 0, 2), 2)
