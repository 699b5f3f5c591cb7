"""The evaluate command on scans of known contents and on simulated ones."""

import numpy as np
import pandas as pd
import pytest

from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.model.checkpoint import save_model

from .test_cli_fit import write_scan
from .test_fit_quantify import CONTENTS, fids_of


@pytest.fixture
def place(tiny_model, tiny_basis, tmp_path):
    """Arguments with the tiny model and basis set, and a folder of two scans with their truth."""
    save_model(tiny_model, tmp_path / "tiny")
    write_basis(tiny_basis, tmp_path / "basis")
    scans = tmp_path / "scans"
    scans.mkdir()
    for name, shift_hz in (("a", 2.0), ("b", -1.0)):
        write_scan(scans / f"{name}.nii.gz", fids_of(tiny_basis, shift_hz=shift_hz))
    rows = [f"{name},{series},{','.join(map(str, 10 * CONTENTS))}" for name, series in (("a", "s1"), ("b", "s2"))]
    (scans / "truth.csv").write_text("\n".join(["id,series,Cr,GABA,NAA", *rows]) + "\n")
    return tmp_path


def test_tables_of_errors(place, capsys):
    (place / "other.csv").write_text("method,GABA,Cr,NAA\nTool,0.2,0.1,0.3\n")
    arguments = ["evaluate", "--models", str(place / "tiny"), "--basis", str(place / "basis")]
    scans = ["--scans", str(place / "scans"), "--beside", str(place / "other.csv")]
    assert main([*arguments, *scans, "--simulated", "500", "--output", str(place / "errors.csv")]) == 0
    printed = capsys.readouterr().out
    assert "least-squares bound" in printed and "500 simulated spectra" in printed
    table = pd.read_csv(place / "errors.csv")
    tool = table[table.eq("Tool").any(axis=1)].iloc[0]
    assert (tool["Cr"], tool["GABA"], tool["NAA"]) == (0.1, 0.2, 0.3) and tool["mean"] == pytest.approx(0.2)
    phantoms = table[table.eq("s1").any(axis=1) | table.eq("s2").any(axis=1)]
    together = table[table.eq("tiny").any(axis=1) & table.eq("all").any(axis=1)].iloc[-1]
    assert len(phantoms) == 2 and together["mean"] == pytest.approx(phantoms["mean"].mean())
    assert together["mean"] < 0.08
    bound = table[table.eq("least-squares bound").any(axis=1)].iloc[0]
    own = table[table.eq("tiny").any(axis=1)].iloc[0]
    assert np.all(bound[["Cr", "GABA", "NAA"]].astype(float) < own[["Cr", "GABA", "NAA"]].astype(float))


def test_refusals(place, capsys):
    arguments = ["evaluate", "--models", str(place / "tiny"), "--basis", str(place / "basis")]
    (place / "wrong.csv").write_text("tool,Cr\nTool,0.1\n")
    cases = [
        (arguments, "--simulated"),
        ([*arguments, "--simulated", "-5"], "--simulated must be 1 or more"),
        ([*arguments, "--simulated", "0"], "--simulated must be 1 or more"),
        ([*arguments, "--simulated", "9", "--output", str(place / "wrong.csv")], "File exists"),
        ([*arguments, "--simulated", "9", "--output", str(place / "none" / "a.csv")], "--output"),
        ([*arguments, "--simulated", "9", "--output", str(place)], "--output"),
        ([*arguments, "--scans", str(place), "--output", str(place / "new.csv")], "truth.csv"),
        ([*arguments, "--scans", str(place)], "truth.csv"),
        ([*arguments, "--scans", str(place / "scans"), "--beside", str(place / "wrong.csv")], "wrong.csv"),
    ]
    for case, word in cases:
        assert main(case) == 2
        error = capsys.readouterr().err.splitlines()
        assert len(error) == 1 and word in error[0]
    assert not (place / "new.csv").exists() and (place / "wrong.csv").read_text() == "tool,Cr\nTool,0.1\n"
