"""Coverage of intervals that are known to be right or wrong, and the command that calibrates and tests a model."""

import dataclasses
import json
import shutil

import numpy as np
import pandas
import pytest

from fsl_mrs_dl.basis.pool import BasisPool, read_pool, write_pool
from fsl_mrs_dl.basis.pool_priors import PoolPriors
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.evaluate.coverage import coverage, coverage_folder, coverage_text, reliability_plot, worst
from fsl_mrs_dl.model.calibration import FILE
from fsl_mrs_dl.model.checkpoint import load_model, save_model
from fsl_mrs_dl.model.conformal import calibrate_errors


def toy(seed, factor=1.0):
    """Estimates of two metabolites with Gaussian errors of 0.02 times a factor."""
    random = np.random.default_rng(seed)
    truth = random.uniform(0.1, 0.9, (20_000, 2))
    return truth + 0.02 * factor * random.normal(size=truth.shape), truth, np.full_like(truth, np.log(0.02))


@pytest.fixture(scope="module")
def calibrated():
    return calibrate_errors(("a", "b"), *toy(0), "a toy")


def test_right_intervals_cover_and_narrow_ones_do_not(calibrated, tmp_path):
    tables = {}
    for factor in (1.0, 2.0):
        estimate, truth, spread = toy(1, factor)
        tables[factor] = coverage(("a", "b"), estimate, truth, calibrated.intervals.around(estimate, spread))
    right, wrong = tables.values()
    inner = right[right["tenth"].isin(range(2, 8))]
    assert max(worst(inner, "estimate")) < 0.03 and max(worst(inner, "truth")) < 0.03
    whole = wrong[wrong["by"] == "all"]
    # A Gaussian is within half a standard deviation in 38 % and within 0.98 in 67 %.
    np.testing.assert_allclose(whole["covered_68"], 0.381, atol=0.015)
    np.testing.assert_allclose(whole["covered_95"], 0.673, atol=0.015)
    assert right["mean_error"].abs().median() < 0.002
    assert len(right) == 2 * 21 and set(right["by"]) == {"all", "estimate", "truth"}
    text = coverage_text({"right": right, "wrong": wrong})
    assert "| wrong | b |" in text and "| a | 95 % |" in text
    reliability_plot(right, tmp_path / "plot.png", "toy")
    reliability_plot(right, tmp_path / "more.png", "toy", wrong)
    assert 10_000 < (tmp_path / "plot.png").stat().st_size < (tmp_path / "more.png").stat().st_size


def test_the_largest_by_definition_is_not_counted(calibrated):
    estimate, truth, spread = toy(2)
    estimate[:5000, 0] = truth[:5000, 0] = 1.0
    table = coverage(("a", "b"), estimate, truth, calibrated.intervals.around(estimate, spread))
    assert table["scans"].iloc[0] == 15_000


@pytest.fixture
def place(tiny_model, tiny_basis, tmp_path):
    """A model without a calibration, and a pool of two bases."""
    save_model(dataclasses.replace(tiny_model, calibration=None), tmp_path / "model")
    fids = np.stack([tiny_basis.fids, tiny_basis.fids * 1.01]).astype(np.complex64)
    grid = (tiny_basis.dwell_s, tiny_basis.centre_hz, tiny_basis.linewidth_hz)
    drawn, priors = {"b1_scale": np.ones(2)}, PoolPriors(b0_t=2.8935486, points=2048, bandwidth_hz=2000.0)
    write_pool(BasisPool(fids, tiny_basis.names, tiny_basis.conditions, *grid, drawn, priors, 1), tmp_path / "pool.h5")
    return tmp_path


def test_the_command_calibrates_a_model_and_tests_it(place, tiny_basis, monkeypatch, capsys):
    monkeypatch.setattr("fsl_mrs_dl.fit.quantify.basis_for", lambda model, path=None: tiny_basis)
    words = ["calibrate", "--model", str(place / "model"), "--number", "512"]
    assert main([*words, "--test", str(place / "pool.h5"), "--output", str(place / "out")]) == 2
    assert "has no calibration" in capsys.readouterr().err
    both = [*words, "--pool", str(place / "pool.h5"), "--test", str(place / "pool.h5"), "--output", str(place / "out")]
    assert main(both) == 0
    found = load_model(place / "model").calibration
    assert found.scans == 512 and f"2 bases of {place.name}/pool.h5, " in found.source
    assert sorted(path.name for path in (place / "out").iterdir()) == ["coverage.csv", "coverage.md", "reliability.png"]
    assert f"| {place.name}/pool.h5 | Cr |" in capsys.readouterr().out
    shutil.rmtree(place / "out")
    assert main(both) == 2
    assert "--overwrite" in capsys.readouterr().err
    values = json.loads((place / "model" / FILE).read_text(encoding="utf-8"))
    assert main([*both, "--overwrite"]) == 0
    assert json.loads((place / "model" / FILE).read_text(encoding="utf-8")) == values


def test_bases_unlike_those_of_the_training_teach_a_doubt(place, tiny_basis, monkeypatch):
    monkeypatch.setattr("fsl_mrs_dl.fit.quantify.basis_for", lambda model, path=None: tiny_basis)
    monkeypatch.setattr("fsl_mrs_dl.train.calibrate.SHIFT_SCANS", 1000)
    pool = read_pool(place / "pool.h5")
    # What the metabolites look like is exchanged in edit-on: nothing in the training explains that.
    fids = np.stack([pool.fids[:, 0], pool.fids[:, 1, [2, 0, 1]]], 1)
    write_pool(dataclasses.replace(pool, fids=fids), place / "strange.h5")
    words = ["calibrate", "--model", str(place / "model"), "--pool", str(place / "pool.h5")]
    words += ["--shifts", str(place / "strange.h5"), "--number", "2000", "--output", str(place / "out")]
    assert main([*words, "--test", str(place / "strange.h5"), str(place / "pool.h5")]) == 0
    found, strange = load_model(place / "model").calibration, f"{place.name}/strange.h5"
    assert found.source.endswith(f"; doubt from {strange}") and max(found.doubt.weights) > 0
    doubted = pandas.read_csv(place / "out" / "coverage.csv")
    assert main([*words[:5], "--number", "2000", *words[-2:], "--overwrite", "--test", str(place / "strange.h5")]) == 0
    plain = pandas.read_csv(place / "out" / "coverage.csv")
    whole = (table[table["by"] == "all"] for table in (plain, doubted))
    plain, doubted = (table.groupby("scans of")["covered_95"].mean() for table in whole)
    assert doubted[strange] > plain[strange] + 0.03
    assert abs(doubted[f"{place.name}/pool.h5"] - 0.95) < 0.02


def test_bases_of_the_training_are_not_called_others(place, tiny_basis, monkeypatch):
    """A pool of the seed that the card names may hold the bases of the training."""
    monkeypatch.setattr("fsl_mrs_dl.fit.quantify.basis_for", lambda model, path=None: tiny_basis)
    words = ["calibrate", "--model", str(place / "model"), "--number", "512", "--pool", str(place / "pool.h5")]
    card = json.loads((place / "model" / "card.json").read_text(encoding="utf-8"))
    sources = []
    for pool in ("64 bases, seed 1", "64 bases, seed 21"):
        card["training"]["pool"] = pool
        (place / "model" / "card.json").write_text(json.dumps(card), encoding="utf-8")
        assert main([*words, "--overwrite"]) == 0
        sources.append(load_model(place / "model").calibration.source)
    assert "of the same seed as those of the training" in sources[0]
    assert "not those of the training" in sources[1]


def test_a_pool_of_few_bases_is_warned_of(place, tiny_basis, monkeypatch, capsys):
    """The bases count, not the scans; the basis set alone is what was asked for."""
    monkeypatch.setattr("fsl_mrs_dl.fit.quantify.basis_for", lambda model, path=None: tiny_basis)
    words = ["calibrate", "--model", str(place / "model"), "--number", "256", "--overwrite", "--pool"]
    assert main([*words, str(place / "pool.h5")]) == 0
    (warning,) = capsys.readouterr().err.splitlines()
    assert "warning: 2 bases are few" in warning and "--pool 256" in warning
    assert main([*words, "basis"]) == 0
    monkeypatch.setattr("fsl_mrs_dl.cli.calibrate.FEW_BASES", 1)
    assert main([*words, str(place / "pool.h5")]) == 0
    assert capsys.readouterr().err == ""


def test_pools_of_one_name_are_told_apart_by_their_folders(place, tiny_basis, monkeypatch, capsys):
    monkeypatch.setattr("fsl_mrs_dl.fit.quantify.basis_for", lambda model, path=None: tiny_basis)
    for name in ("one", "two"):
        (place / name).mkdir()
        shutil.copyfile(place / "pool.h5", place / name / "pool.h5")
    words = ["calibrate", "--model", str(place / "model"), "--number", "256", "--pool", str(place / "pool.h5")]
    pools = [str(place / name / "pool.h5") for name in ("one", "two")]
    assert main([*words, "--test", *pools, "--output", str(place / "out")]) == 0
    said = capsys.readouterr().out
    assert f"2 bases of {place.name}/pool.h5, " in said and str(place) not in said.split(" bases of ")[1]
    assert "| one/pool.h5 | Cr |" in said and "| two/pool.h5 | Cr |" in said
    assert main([*words, "--overwrite", "--test", pools[0], pools[0], "--output", str(place / "twice")]) == 2
    assert "names one/pool.h5 twice" in capsys.readouterr().err


def test_foreign_bases_and_recipes_without_a_pool_are_refused(place, tiny_basis, single_basis, monkeypatch, capsys):
    words = ["calibrate", "--model", str(place / "model"), "--number", "256", "--pool", str(place / "pool.h5")]
    monkeypatch.setattr("fsl_mrs_dl.fit.quantify.basis_for", lambda model, path=None: single_basis)
    assert main(words) == 2
    assert "fingerprint" in capsys.readouterr().err
    monkeypatch.setattr("fsl_mrs_dl.fit.quantify.basis_for", lambda model, path=None: tiny_basis)
    assert main([*words, "--recipe", "published"]) == 2
    assert "takes no bases of a pool" in capsys.readouterr().err


def test_the_basis_set_alone_may_stand_for_a_pool(place, tiny_basis, monkeypatch, capsys):
    monkeypatch.setattr("fsl_mrs_dl.fit.quantify.basis_for", lambda model, path=None: tiny_basis)
    words = ["calibrate", "--model", str(place / "model"), "--number", "8000", "--recipe", "published"]
    assert main([*words, "--pool", "basis", "--test", "basis", "--output", str(place / "out")]) == 0
    found = load_model(place / "model")
    assert found.calibration.source == "recipe published, seed 1001, the model's basis set"
    said = capsys.readouterr().out
    assert "| basis | Cr |" in said and "| basis, shrunk | Cr |" in said
    assert found.corrected and not found.with_shrinkage().corrected


def test_a_calibration_that_knows_nothing_cannot_be_tested(tiny_model, tmp_path):
    one = np.ones((30, 3))
    blank = calibrate_errors(tiny_model.config.metabolites, one, one, one, "a toy")
    with pytest.raises(ConfigError, match="nothing to test"):
        coverage_folder(dataclasses.replace(tiny_model, calibration=blank), {}, 10, tmp_path)


NONSENSE = [
    ([], "Nothing to do"),
    (["--test", "x.h5"], "belong together"),
    (["--output", "x", "--pool", "y"], "belong together"),
    (["--test", "x", "--shifts", "x", "--output", "y"], "--shifts is part of a calibration"),
    (["--pool", "x", "--number", "0"], "--number must be"),
    (["--pool", "x", "--refine", "99"], "--refine must be"),
    (["--pool", "x", "--refine", "-1"], "--refine must be"),
    (["--pool", "basis", "--recipe", "published", "--shifts", "x", "--overwrite"], "takes no bases of a pool"),
]


@pytest.mark.parametrize("words, said", NONSENSE)
def test_options_that_make_no_sense_are_refused(words, said, capsys):
    assert main(["calibrate", "--model", "cnn", *words]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and said in lines[0]
