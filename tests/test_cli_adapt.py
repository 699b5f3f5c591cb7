"""fsl_mrs_dl adapt: from a folder of known scans to a model that fits others of the scanner."""

import numpy as np
import pandas as pd
import pytest

from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.model.checkpoint import load_model, save_model

from .test_cli_fit import write_scan
from .test_fit_adapt import KNOWN, scanner  # noqa: F401


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
        assert ("corrected for a scanner by" in page) == (model == "mine")
    assert errors[1] < 0.8 * errors[0]


def test_a_corrected_model_is_not_calibrated_anew(place, capsys):
    folder, words = place
    assert main(["adapt", *words, "--scans", str(folder / "known"), "--output", str(folder / "mine")]) == 0
    before = (folder / "mine" / "calibration.json").read_bytes()
    use = ["--model", str(folder / "mine"), *words[2:], "--pool", "basis", "--recipe", "published", "--overwrite"]
    assert main(["calibrate", *use]) == 2
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
        (["--scans", str(folder / "nothing")], "truth.csv: missing"),
        (["--scans", str(folder / "few")], "takes 6 scans of known contents or more, not 3"),
        (["--scans", str(folder / "known"), "--model", "none"], "There is no model 'none'"),
    ):
        assert main(["adapt", *words, *more, *output]) == 2
        error = capsys.readouterr().err
        assert said in error and len(error.strip().splitlines()) == 1
        assert not (folder / "mine").exists()
    (folder / "mine").mkdir()
    assert main(["adapt", *words, "--scans", str(folder / "known"), *output]) == 2
    assert "--overwrite" in capsys.readouterr().err and not list((folder / "mine").iterdir())
