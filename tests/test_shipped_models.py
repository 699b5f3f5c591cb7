"""The models that come with the package: they load with their basis set, and are as good as their cards say."""

import json
from pathlib import Path

import numpy as np
import pytest

import fsl_mrs_dl
from fsl_mrs_dl.evaluate.tables import simulated_table
from fsl_mrs_dl.fit.predict import check_basis_fits
from fsl_mrs_dl.fit.quantify import basis_for
from fsl_mrs_dl.model.checkpoint import load_model, shipped_models

DATA = Path(__file__).parent / "data"
NAMES = ("Cr", "GABA", "Gln", "Glu", "NAA")


def test_five_models_are_shipped():
    assert shipped_models() == ("cnn", "hybrid", "hybrid_diff", "hybrid_off", "yae")


@pytest.mark.parametrize("name", shipped_models())
def test_each_fits_its_basis_set_and_is_small(name):
    model = load_model(name)
    check_basis_fits(model, basis_for(model))
    folder = Path(fsl_mrs_dl.__file__).parent / "models" / name
    assert model.config.metabolites == NAMES
    # The guarded one is two networks.
    assert sum(path.stat().st_size for path in folder.iterdir()) < (25e6 if model.config.network == "guarded" else 15e6)
    card = json.loads((folder / "card.json").read_text())
    assert "vivo" in card["not_for"] and card["training"]["machine"]
    assert "fsl_mrs_dl train" in card["training"]["command"]


@pytest.mark.parametrize("name", ["yae", "cnn", "hybrid"])
def test_errors_at_the_published_conditions(name):
    model = load_model(name)
    errors = simulated_table([model], [basis_for(model)], 1000, 5).loc[name]
    assert errors["GABA"] < 0.015 and errors["Cr"] < 0.008


CONDITIONS = {"yae": 2, "cnn": 2, "hybrid": 2, "hybrid_off": 1, "hybrid_diff": 1}


@pytest.mark.parametrize("name, conditions", CONDITIONS.items())
def test_an_edited_scan_goes_through_every_model(name, conditions):
    result = fsl_mrs_dl.quantify(DATA / "D1_08.nii.gz", model=name)
    values = result.concentrations["relative_to_largest"]
    assert list(values.index) == list(NAMES) and values.max() == 1
    # A difference does not show creatine.
    assert list(values.index[values.isna()]) == (["Cr"] if name == "hybrid_diff" else [])
    assert len(result.predicted) == conditions
    assert any("Only the" in note for note in result.scan.notes) == (conditions == 1)


def test_the_difference_is_on_less_off():
    scan = fsl_mrs_dl.read_scan(DATA / "D1_08.nii.gz")
    np.testing.assert_array_equal(scan.single("difference").fids[0], scan.fids[1] - scan.fids[0])
    assert scan.single("edit_on").conditions == ("single",)
