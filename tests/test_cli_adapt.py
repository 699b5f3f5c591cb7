"""fsl_mrs_dl adapt: from a folder of known scans to a model that fits others of the scanner."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.model.checkpoint import load_model, save_model
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.store import Contents, write_scans

from .test_cli_fit import write_scan
from .test_fit_adapt import KNOWN, RECIPE, scanner  # noqa: F401


@pytest.fixture
def place(tiny_model, tiny_basis, scanner, tmp_path):  # noqa: F811
    """Folder with model, basis set and known scans; returned with the words that name them."""
    save_model(tiny_model, tmp_path / "model")
    write_basis(tiny_basis, tmp_path / "basis")
    scans, contents = scanner
    (tmp_path / "known").mkdir()
    for name, scan in scans[:KNOWN]:
        write_scan(tmp_path / "known" / f"{name}.nii.gz", scan.fids)
    rows = {name: contents[name] for name, _ in scans[:KNOWN]}
    pd.DataFrame.from_dict(rows, orient="index").to_csv(tmp_path / "known" / "truth.csv", index_label="id")
    for name, scan in scans[KNOWN : KNOWN + 2]:
        write_scan(tmp_path / f"{name}.nii.gz", scan.fids)
    return tmp_path, ["--model", str(tmp_path / "model"), "--basis", str(tmp_path / "basis")]


def test_the_corrected_model_fits_other_scans(place, scanner, capsys):  # noqa: F811
    folder, words = place
    assert main(["adapt", *words, "--scans", str(folder / "known"), "--output", str(folder / "mine")]) == 0
    printed = capsys.readouterr().out
    model = load_model(folder / "mine")
    assert model.adapted and f"{model.scanner.before:.3f}" in printed and f"{model.scanner.after:.3f}" in printed
    _, contents = scanner
    names = [f"scan_{KNOWN}", f"scan_{KNOWN + 1}"]
    errors = []
    for model in ("model", "mine"):
        scans = [str(folder / f"{name}.nii.gz") for name in names]
        use = ["--model", str(folder / model), *words[2:], "--edit_order", "off-on"]
        assert main(["--data", *scans, *use, "--output", str(folder / f"out_{model}"), "--report"]) == 0
        table = pd.read_csv(folder / f"out_{model}" / "group.csv")
        assert set(table["adapted"]) == {KNOWN if model == "mine" else 0}
        found = table.pivot(index="scan", columns="metabolite", values="relative_to_largest")
        truth = pd.DataFrame({name: contents[name] for name in names}).T
        errors.append(np.abs(found - truth.div(truth.max(1), axis=0)).to_numpy().mean())
        page = (folder / f"out_{model}" / names[0] / "report.html").read_text(encoding="utf-8")
        assert (f"corrected for a scanner by {KNOWN} scans" in page) == (model == "mine")
        assert 'id="settings"' not in page
        said = capsys.readouterr().out
        assert (said.count("corrected for the scanner of"), "card: mine" in page) == (model == "mine", model == "mine")
    assert errors[1] < 0.8 * errors[0]


def test_generated_scans_teach_too_and_the_known_ones_are_no_test(place, tiny_basis, capsys):
    folder, words = place
    foreign = replace(tiny_basis, fids=tiny_basis.fids * np.array([[0.7], [1.3], [1.0]]))
    stream = Stream(foreign, RECIPE, 9, None, 32)
    write_scans(stream, Contents.of(stream, foreign, None, 32), folder / "scans.h5")
    use = ["--scans", str(folder / "scans.h5"), "--output", str(folder / "mine")]
    assert main(["adapt", *words, *use, "--number", "10"]) == 0
    assert "of 10 scans of 10\n" in capsys.readouterr().out
    assert main(["adapt", *words, *use]) == 2 and main(["adapt", *words, *use, "--overwrite"]) == 0
    assert load_model(folder / "mine").scanner.scans == 32
    study = ["--models", str(folder / "mine"), *words[2:], "--output", str(folder / "study")]
    assert main(["evaluate", *study, "--scans", str(folder / "scans.h5")]) == 2
    assert "was adapted to 32 of these 32 scans" in capsys.readouterr().err


def test_a_corrected_model_is_not_calibrated_anew(place, capsys):
    folder, words = place
    assert main(["adapt", *words, "--scans", str(folder / "known"), "--output", str(folder / "mine")]) == 0
    before = (folder / "mine" / "calibration.json").read_bytes()
    use = ["--model", str(folder / "mine"), *words[2:], "--pool", "basis", "--recipe", "published", "--overwrite"]
    test = [*use[:-5], "--test", "basis", "--output", str(folder / "coverage")]
    for what in (use, test):
        assert main(["calibrate", *what]) == 2
        assert "is corrected for a scanner" in capsys.readouterr().err
    assert (folder / "mine" / "calibration.json").read_bytes() == before


def test_bad_input_is_one_line_and_leaves_nothing(place, capsys):
    folder, words = place
    output = ["--output", str(folder / "mine")]
    few = pd.read_csv(folder / "known" / "truth.csv").head(3)
    (folder / "few").mkdir()
    few.to_csv(folder / "few" / "truth.csv", index=False)
    for name in few["id"]:
        (folder / "few" / f"{name}.nii.gz").write_bytes((folder / "known" / f"{name}.nii.gz").read_bytes())
    for more, said in (
        (["--scans", str(folder / "nothing")], "There is no folder"),
        (["--scans", str(folder / "few")], "takes scans of 6 different contents or more, not of 3"),
        (["--scans", str(folder / "known"), "--refine", "2"], "cannot be refined: its network is yae"),
        (["--scans", str(folder / "known"), "--shrunk"], "are not corrected for shrinkage"),
        (["--scans", str(folder / "known"), "--model", "none"], "There is no model 'none'"),
    ):
        assert main(["adapt", *words, *more, *output]) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.strip().splitlines()) == 1
        assert not (folder / "mine").exists()
    assert main(["adapt", *words, "--scans", str(folder / "known"), "--output", "hybrid"]) == 2
    assert "a shipped model's name" in capsys.readouterr().err
    (folder / "mine").mkdir()
    assert main(["adapt", *words, "--scans", str(folder / "known"), *output]) == 2
    assert "--overwrite" in capsys.readouterr().err and not list((folder / "mine").iterdir())
