"""The generate command: files, pictures, NIfTI-MRS and training from a file."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.evaluate.cases import read_cases
from fsl_mrs_dl.model.checkpoint import load_model
from fsl_mrs_dl.synth.benchmark import benchmark_text, step_shares
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.noise_fit import Marginal, NoiseFit, save_fits
from fsl_mrs_dl.synth.preview import first_scans
from fsl_mrs_dl.synth.priors import PUBLISHED, RECIPES
from fsl_mrs_dl.synth.store import StoredScans

from .conftest import PHANTOM


@pytest.fixture
def folder(tiny_basis, tmp_path):
    """A folder with the tiny basis set in it."""
    write_basis(tiny_basis, tmp_path / "basis")
    return tmp_path


def generate(folder, *options):
    """Run the command on the tiny basis set."""
    return main(["generate", "--basis", str(folder / "basis"), "--batch", "8", *map(str, options)])


def test_a_file_and_its_options(folder, tiny_basis, capsys):
    options = ("--recipe", "single-gg", "--number", 16, "--seed", 5, "--output", folder / "set.h5")
    assert generate(folder, *options) == 0
    captured = capsys.readouterr()
    assert "16/16" in captured.err and "16 scans of recipe single-gg, seed 5" in captured.out
    stored = StoredScans(folder / "set.h5")
    stored.file.close()
    assert stored.recipe == RECIPES["single-gg"] and stored.contents.basis == tiny_basis.fingerprint()
    assert generate(folder, *options) == 0
    assert generate(folder, *options, "--noise", "none") == 2
    assert "noise gg, not noise none" in " ".join(capsys.readouterr().err.split())


def test_training_on_a_file_is_training_on_its_stream(folder, capsys):
    file = folder / "set.h5"
    assert generate(folder, "--number", 64, "--seed", 3, "--output", file) == 0
    plan = ["--number", "64", "--batch", "8", "--epochs", "2", "--held_out", "8", "--device", "cpu", "--seed", "3"]
    train = ["train", "--model", "cnn", "--basis", str(folder / "basis"), *plan]
    assert main([*train, "--data", str(file), "--output", str(folder / "from_file")]) == 0
    assert main([*train, "--output", str(folder / "from_stream")]) == 0
    models = [load_model(folder / name) for name in ("from_file", "from_stream")]
    for first, second in zip(*(model.network.parameters() for model in models), strict=True):
        assert torch.equal(first, second)
    assert models[0].card["errors"] == models[1].card["errors"]
    assert f"--data {file}" in models[0].card["training"]["command"]
    capsys.readouterr()
    for wrong, word in ((["--batch", "4"], "8 scans, not 4"), (["--recipe", "phantom"], "--recipe")):
        assert main([*train, "--data", str(file), "--output", str(folder / "other"), *wrong]) == 2
        assert word in capsys.readouterr().err


def test_nifti_is_read_back_with_its_contents(folder, tiny_basis):
    assert generate(folder, "--nifti", 10, "--seed", 2, "--output", folder / "scans") == 0
    known = read_cases([folder / "scans"], tiny_basis.names)
    stream = Stream(tiny_basis, PHANTOM, 2, None, 8)
    batches = [stream[0], stream[1]]
    assert len(known) == 10 and {case.series for case in known} == {"phantom"}
    for index, case in enumerate(known):
        batch, row = batches[index // 8], index % 8
        scan = case.scan
        assert scan.conditions == tiny_basis.conditions and "EditCondition" in " ".join(scan.notes)
        np.testing.assert_allclose(scan.fids, batch.measured[row].numpy(), rtol=1e-6)
        np.testing.assert_allclose(list(case.truth.values()), batch.draw.concentrations[row].numpy(), rtol=1e-6)
        assert (scan.dwell_s, scan.centre_hz) == pytest.approx((5e-4, tiny_basis.centre_hz))
    drawn = pd.read_csv(folder / "scans" / "parameters.csv")
    assert drawn["lorentz_hz"][9] == pytest.approx(float(batches[1].draw.lorentz_hz[1]))
    assert json.loads((folder / "scans" / "recipe.json").read_text())["name"] == "phantom"


def test_a_preview_shows_components_that_add_up(folder, tiny_basis):
    assert generate(folder, "--preview", 2, "--output", folder / "scans.png") == 0
    assert (folder / "scans.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert generate(folder, "--preview", 2, "--output", folder / "scans.png") == 2
    for _, fids, _ in first_scans(Stream(tiny_basis, PHANTOM, 1, None, 4), 5):
        scan, *components = fids.values()
        assert torch.allclose(scan, sum(components), atol=1e-4 * scan.abs().max())


def test_every_imperfection_is_drawn(folder, capsys):
    # It needs no pool, whatever the recipe.
    assert generate(folder, "--imperfections", "--recipe", "multi-gg", "--output", folder / "all.png") == 0
    assert (folder / "all.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert "one scan under each imperfection" in capsys.readouterr().out


def test_noise_takes_its_shape_from_a_fit(folder, capsys):
    one = Marginal(1.0, 0.9, 1.1, 500.0, 1.0)
    fit = NoiseFit("scan", one, one, one, one, 1000, ((6.0, 9.0),), 1.0, 1, 600, ((0.0, 3.0, 0.8), (0.0, 5.0, 1.7)))
    save_fits([fit], folder / "noise.json")
    options = ("--recipe", "published", "--number", 64, "--noise_fit", folder / "noise.json", "--output")
    assert generate(folder, *options, folder / "set.h5") == 0
    stored = StoredScans(folder / "set.h5")
    assert stored.recipe.noise == "gg" and stored.recipe.noise_betas == (0.8, 1.7)
    assert set(stored[0].draw.noise_beta.tolist()) <= {torch.tensor(beta).item() for beta in (0.8, 1.7)}
    assert generate(folder, *options, folder / "other.h5", "--noise", "adc") == 2
    assert "leave one of them out" in capsys.readouterr().err


def test_the_benchmark_names_what_the_recipe_uses(tiny_basis):
    always = {"draw", "basis", "metabolite widths and shifts", "metabolites", "width, shift and phase"}
    always |= {"largest point", "noise", "sum"}
    shares = step_shares(Stream(tiny_basis, PUBLISHED, 1, None, 8), batches=1)
    assert set(shares) == always and sum(shares.values()) == pytest.approx(1)
    shares = step_shares(Stream(tiny_basis, PHANTOM, 1, None, 8), batches=1)
    assert set(shares) == always | {"Gaussian width", "eddy currents", "asymmetry", "water", "baseline"}
    first, *rest = benchmark_text(Stream(tiny_basis, PHANTOM, 1, None, 8), 0.1).splitlines()
    assert "scans per second: recipe phantom, 2 x 2048 complex points, batches of 8, on cpu, " in first
    assert {line[:42].strip() for line in rest} == set(shares)


def test_the_benchmark_takes_the_device_asked_for(folder, capsys, monkeypatch):
    monkeypatch.setattr("fsl_mrs_dl.synth.benchmark.benchmark_text", lambda stream: f"on {stream.device}")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    for options in ((), ("--device", "auto"), ("--device", "cpu")):
        assert generate(folder, "--benchmark", *options) == 0
        assert capsys.readouterr().out == "on cpu\n"
    assert generate(folder, "--benchmark", "--device", "gpu") == 2
    assert "needs a GPU" in capsys.readouterr().err


def test_refusals(folder, capsys):
    cases = [
        ((), "--output"),
        (("--output", folder / "a.h5", "--number", 0), "--number must be 1"),
        (("--output", folder / "a.h5", "--recipe", "multi-gg"), "--pool"),
        (("--output", folder / "a.h5", "--recipe", "soup"), "single-adc"),
        (("--output", folder / "a.h5", "--overwrite"), "continued"),
        (("--output", folder), "is a folder"),
        (("--output", folder, "--nifti", 1), "--overwrite"),
        (("--output", folder / "a.h5", "--device", "cpu"), "--benchmark"),
        (("--output", folder / "a.png", "--imperfections", "--noise", "gg"), "leave out --pool"),
        (("--output", folder / "a.h5", "--seed", -1), "--seed"),
        (("--output", folder / "a.h5", "--pool_spectrum", "edit_off"), "without --pool"),
    ]
    for options, word in cases:
        assert generate(folder, *options) == 2, options
        lines = capsys.readouterr().err.splitlines()
        assert word in lines[-1] and "Traceback" not in lines, (options, lines)
    assert [path.name for path in folder.iterdir()] == ["basis"]
