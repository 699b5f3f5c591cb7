"""The evaluate command on scans of known contents and on simulated ones."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.fit.scan import read_scan
from fsl_mrs_dl.model.card import content_hash
from fsl_mrs_dl.model.checkpoint import save_model

from .test_cli_fit import write_scan
from .test_fit_quantify import CONTENTS, fids_of

SCANS = {"a": ("s1", 2.0), "b": ("s2", -1.0), "c": ("s2", 0.5)}


@pytest.fixture
def place(tiny_model, tiny_basis, tmp_path):
    """Arguments with the tiny model and basis set, and a folder of three scans with their truth."""
    save_model(tiny_model, tmp_path / "tiny")
    write_basis(tiny_basis, tmp_path / "basis")
    scans = tmp_path / "scans"
    scans.mkdir()
    rows = ["id,series,Cr,GABA,NAA"]
    for name, (series, shift_hz) in SCANS.items():
        write_scan(scans / f"{name}.nii.gz", fids_of(tiny_basis, shift_hz=shift_hz))
        rows.append(f"{name},{series},{','.join(map(str, 10 * CONTENTS))}")
    (scans / "truth.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def evaluate(place, *arguments):
    """Exit code of the command with the tiny model and basis set."""
    return main(["evaluate", "--models", str(place / "tiny"), "--basis", str(place / "basis"), *map(str, arguments)])


def digests(folder):
    """SHA-256 of every file of a study that has no times."""
    files = (path for path in folder.iterdir() if path.is_file() and path.name not in ("cost.csv", "study.html"))
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_study(place, capsys, monkeypatch):
    monkeypatch.setenv("LCMODEL_EXEC", str(place / "nothing"))
    study = place / "study"
    assert evaluate(place, "--scans", place / "scans", "--with", "lcmodel", "--output", study) == 0
    printed = capsys.readouterr().out
    assert "lcmodel is missing: " in printed and "tiny" in printed and "study.html" in printed
    table = pd.read_csv(study / "study.csv", keep_default_na=False)
    assert set(table["method"]) == {"tiny"} and list(table["id"].unique()) == list(SCANS)
    by_name = table.groupby("metabolite")["estimate"].mean()
    np.testing.assert_allclose(by_name[["Cr", "GABA", "NAA"]], CONTENTS, atol=0.08)
    assert (study / "study.html").is_file() and pd.read_csv(study / "cost.csv").shape[0] == 1
    about = json.loads((study / "estimates" / "run.json").read_text())
    assert about["missing"].keys() == {"lcmodel"} and about["methods"][0]["name"] == "tiny"
    assert len((study / "estimates" / "tiny.jsonl").read_text().split("\n\n")) == 3
    assert not (place / "study_unfinished").exists()
    # Anew, and once more from the estimates that are there.
    assert evaluate(place, "--scans", place / "scans", "--with", "lcmodel", "--output", place / "again") == 0
    assert digests(study) == digests(place / "again")
    before = (study / "estimates" / "tiny.jsonl").read_bytes()
    assert evaluate(place, "--scans", place / "scans", "--with", "lcmodel", "--output", study, "--overwrite") == 0
    assert (study / "estimates" / "tiny.jsonl").read_bytes() == before and digests(study) == digests(place / "again")


def test_simulated_spectra(place, capsys):
    assert evaluate(place, "--simulated", "500") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "500 simulated spectra" in lines[0] and lines[1].split() == ["Cr", "GABA", "NAA", "mean"]
    values = {line[: line.index("0.")].strip(): np.array(line.split()[-4:], float) for line in lines[3:5]}
    assert list(values) == ["tiny", "least-squares bound"] and (values["least-squares bound"] < values["tiny"]).all()


def test_refusals(place, capsys):
    scans, output = ("--scans", place / "scans"), ("--output", place / "new")
    (place / "there").mkdir()
    cases = [
        ((), "--simulated"),
        (("--simulated", "-5"), "--simulated must be 1 or more"),
        ((*scans, *output, "--number", "0"), "--number must be 1 or more"),
        ((*scans, *output, "--workers", "0"), "--workers must be 1 or more"),
        (scans, "--output"),
        (("--simulated", "9", *output), "--output"),
        (("--scans", place, *output), "truth.csv"),
        ((*scans, "--output", place / "there"), "exists"),
        ((*scans, "--output", place / "scans", "--overwrite"), "holds the input"),
    ]
    for case, word in cases:
        assert evaluate(place, *case) == 2
        error = capsys.readouterr().err.splitlines()
        assert len(error) == 1 and word in error[0]
    for more, word in ((("--number", "9"), "at least 50"), ((), "--overwrite")):
        assert main(["evaluate", "--models", "hybrid", "--trust", "held.h5", *more]) == 2
        assert word in capsys.readouterr().err
    assert main(["evaluate", "--models", "--simulated", "9"]) == 2
    assert "give --models" in capsys.readouterr().err
    assert not (place / "new").exists() and not (place / "new_unfinished").exists()


def test_scans_that_a_model_was_adapted_to_are_refused_but_in_sample(place, tiny_model, capsys):
    seen = {"b": content_hash(read_scan(place / "scans" / "b.nii.gz").fids)}
    adapted = replace(tiny_model, card={**tiny_model.card, "adapted_to": {"scans": seen}})
    save_model(adapted, place / "tiny", overwrite=True)
    study = place / "study"
    assert evaluate(place, "--scans", place / "scans", "--output", study) == 2
    error = capsys.readouterr().err
    assert "--in_sample" in error and "adapted to 1 of these 3 scans, such as b" in error and not study.exists()
    assert evaluate(place, "--scans", place / "scans", "--output", study, "--in_sample") == 0
    assert "tiny was adapted to 1 of these scans" in capsys.readouterr().out
