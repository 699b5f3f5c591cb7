"""The select command: results that train takes, continuing, refusals before the work."""

import json
import subprocess
import sys

import pytest

from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.config import from_dict
from fsl_mrs_dl.model.fcnn import FcnnConfig
from fsl_mrs_dl.model.layers import Choice

TINY = ["--number", "320", "--batch", "32", "--epochs", "1", "--recipe", "published", "--device", "cpu"]


@pytest.fixture
def command(tiny_basis, tmp_path, monkeypatch):
    """A selection among tiny networks; what differs follows."""
    space = {**FcnnConfig.SEARCH, "first_filters": Choice((2, 4)), "last_filters": Choice((4,))}
    monkeypatch.setattr(FcnnConfig, "SEARCH", space)
    write_basis(tiny_basis, tmp_path / "basis")
    return ["select", "--model", "fcnn", "--basis", str(tmp_path / "basis"), *TINY]


def test_a_selection_is_written_and_continued(command, tmp_path, capsys):
    folder = tmp_path / "selection"
    assert main([*command, "--trials", "2", "--output", str(folder)]) == 0
    said = capsys.readouterr()
    assert said.err.count("trial ") == 2 and "best so far" in said.err
    assert "fsl_mrs_dl train --model fcnn --config" in said.out
    names = {"best.json", "trials.csv", "selection.md", "history.png", "importances.png", "front.png"}
    assert {path.name for path in (folder / "results").iterdir()} == names
    from_dict(FcnnConfig, json.loads((folder / "results" / "best.json").read_text()))
    assert main([*command, "--trials", "3", "--output", str(folder)]) == 0
    assert capsys.readouterr().err.count("trial ") == 1
    assert len((folder / "results" / "trials.csv").read_text().splitlines()) == 4


def test_ctrl_c_keeps_what_is_complete(command, tmp_path, monkeypatch):
    from fsl_mrs_dl.train.select import Search

    folder, right = tmp_path / "selection", Search.objective

    def second_is_interrupted(self, trial):
        if trial.number:
            raise KeyboardInterrupt
        return right(self, trial)

    monkeypatch.setattr(Search, "objective", second_is_interrupted)
    assert main([*command, "--trials", "4", "--output", str(folder)]) == 130
    assert (folder / "results" / "best.json").is_file()


def test_refusals_come_before_the_work(command, tmp_path, capsys):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").touch()
    output = ["--output", str(tmp_path / "out")]
    cases = [
        ([*command, *output, "--model", "transformer"], "yae"),
        ([*command, *output, "--recipe", "soup"], "phantom"),
        ([*command, *output, "--trials", "0"], "--trials"),
        ([*command, *output, "--time", "soon"], "--time"),
        ([*command, *output, "--number", "64"], "raise the number"),
        ([*command, *output, "--folds", "1"], "folds"),
        ([*command, "--output", str(tmp_path / "other")], "something else"),
    ]
    for arguments, word in cases:
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1 and word in error, error
        assert not (tmp_path / "out").exists()


def test_help_loads_nothing_heavy():
    code = """
import sys
from fsl_mrs_dl.cli.main import main
try:
    main(["select", "--help"])
except SystemExit:
    print(sorted({"torch", "optuna", "numpy"} & set(sys.modules)))
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"
