"""The train command: a model folder that loads, a card that names the command."""

import json
import shlex

import pytest

from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.model.checkpoint import load_model

PLAN = ["--number", "2560", "--batch", "64", "--epochs", "2", "--held_out", "256", "--device", "cpu"]


@pytest.mark.parametrize("network", ["yae", "cnn"])
def test_a_model_folder(tiny_basis, tmp_path, capsys, network):
    write_basis(tiny_basis, tmp_path / "basis")
    output = str(tmp_path / "mine") + "/"
    arguments = ["train", "--model", network, "--basis", str(tmp_path / "basis"), "--output", output]
    assert main([*arguments, *PLAN]) == 0
    model = load_model(tmp_path / "mine")
    assert model.config.metabolites == tiny_basis.names and model.config.basis_fingerprint == tiny_basis.fingerprint()
    command = shlex.split(model.card["training"]["command"])
    assert command[:2] == ["fsl_mrs_dl", "train"] and command[command.index("--number") + 1] == "2560"
    assert "published conditions" in capsys.readouterr().out
    assert (tmp_path / "mine" / "metrics.csv").is_file() and not (tmp_path / "mine.training").exists()


def test_refusals_come_before_the_training(tiny_basis, tmp_path, capsys):
    write_basis(tiny_basis, tmp_path / "basis")
    (tmp_path / "options.json").write_text(json.dumps({"depth": 3}))
    (tmp_path / "taken").mkdir()
    common = ["train", "--basis", str(tmp_path / "basis"), *PLAN]
    output = ["--output", str(tmp_path / "out")]
    cases = [
        ([*common, *output, "--model", "transformer"], "yae"),
        ([*common, *output, "--recipe", "soup"], "phantom"),
        ([*common, *output, "--config", str(tmp_path / "options.json")], "depth"),
        ([*common, *output, "--pool", str(tmp_path / "none.h5")], "none.h5"),
        ([*common, "--output", str(tmp_path / "taken")], "--overwrite"),
        ([*common, *output, "--number", "10"], "raise the number"),
    ]
    for arguments, word in cases:
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1 and word in error, error
        assert not (tmp_path / "out").exists() and not (tmp_path / "out.training").exists()
