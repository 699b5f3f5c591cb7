"""A training that was killed and resumed gives the weights of one that was not."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.errors import OutputError
from fsl_mrs_dl.model.checkpoint import load_model
from fsl_mrs_dl.train.work_folder import BEST, LAST, WorkFolder, first_difference

OPTIONS = {"encoder": [24], "decoder": [16], "quantifier": 16, "dropout": 0.2}
"""A tiny network with dropout: its random numbers must be the same after a resume as well."""


@pytest.fixture
def command(tiny_basis, tmp_path):
    """The train command without its epochs and its output."""
    write_basis(tiny_basis, tmp_path / "basis")
    (tmp_path / "tiny.json").write_text(json.dumps(OPTIONS))
    words = ["train", "--basis", tmp_path / "basis", "--config", tmp_path / "tiny.json", "--recipe", "published"]
    words += ["--number", 512, "--batch", 16, "--held_out", 32, "--device", "cpu"]
    return [str(word) for word in words]


def weights(folder):
    """Weights of a model folder."""
    return load_model(folder).network.state_dict()


def wait_for_epochs(folder, epochs, process):
    """Until a training has finished so many epochs."""
    for _ in range(1200):
        path = folder / "metrics.csv"
        if path.is_file() and len(path.read_text().splitlines()) > epochs:
            return
        assert process.poll() is None, "the training ended before it could be killed"
        time.sleep(0.05)
    raise AssertionError("no epoch within a minute")


@pytest.mark.parametrize("parts", [["--epochs", "8"], ["--passes", "8", "--number", "64", "--schedule", "plateau"]])
def test_a_killed_training_resumes_to_the_same_weights(command, tmp_path, parts):
    command += parts
    # Slow down the child, so that it is killed in the midst of its work on any machine.
    slow = (
        "import sys, time\nfrom fsl_mrs_dl.cli.main import main\nfrom fsl_mrs_dl.train import feed\n"
        "plain = feed.fed\n"
        "feed.fed = lambda *given: (time.sleep(0.05), plain(*given))[1]\n"
        "import fsl_mrs_dl.train.trainee as trainee\n"
        "step = trainee.Trainee.training_step\n"
        "trainee.Trainee.training_step = lambda *given: (time.sleep(0.05), step(*given))[1]\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    words = [sys.executable, "-c", slow, *command, "--output", str(tmp_path / "killed")]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, env={**os.environ, "OMP_NUM_THREADS": "1"}) as process:
        wait_for_epochs(tmp_path / "killed.training", 2, process)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed").exists()
    assert main([*command, "--output", str(tmp_path / "killed"), "--resume"]) == 0
    assert main([*command, "--output", str(tmp_path / "whole")]) == 0
    one, other = weights(tmp_path / "killed"), weights(tmp_path / "whole")
    assert all(torch.equal(one[name], other[name]) for name in other)
    rows = [(tmp_path / name / "metrics.csv").read_text().splitlines() for name in ("killed", "whole")]
    assert len(rows[0]) == 9
    for first, second in zip(*rows):
        # All but the time (fourth column).
        assert first.split(",")[:3] + first.split(",")[4:] == second.split(",")[:3] + second.split(",")[4:]


def test_a_left_training_is_neither_lost_nor_mixed_up(command, tmp_path, capsys):
    output = ["--epochs", "8", "--output", str(tmp_path / "mine")]
    assert main([*command, *output, "--resume"]) == 2
    assert "nothing to resume" in capsys.readouterr().err
    settings = {"plan": {"batch": 16, "seed": 1}, "recipe": {"shift_hz": (0.0, 0.0)}}
    work = WorkFolder(tmp_path / "mine.training", settings)
    work.open()
    work.write(LAST, b"precious")
    assert main([*command, *output]) == 2
    error = capsys.readouterr().err
    assert "--resume" in error and "--overwrite" in error and len(error.splitlines()) == 1
    assert main([*command, *output, "--resume"]) == 2
    error = capsys.readouterr().err
    assert "another basis" in error and len(error.splitlines()) == 1
    assert (tmp_path / "mine.training" / LAST).read_bytes() == b"precious"


def test_the_difference_is_named():
    old = {"plan": {"batch": 16, "seed": 1}, "recipe": {"shift_hz": [0, 1]}}
    assert first_difference(old, {**old, "plan": {"batch": 16, "seed": 2}}) == ("plan seed", 1, 2)
    assert first_difference(old, {**old, "recipe": {"shift_hz": [0, 1]}}) is None


def test_a_checkpoint_is_whole_or_not_at_all(tmp_path, monkeypatch):
    work = WorkFolder(tmp_path / "work", {})
    work.open()
    state = {"network": {"weight": torch.ones(3)}, "counts": {"epoch": 1}, "history": [{"loss": 0.5}]}
    work.write_state(LAST, state)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left.*--resume"):
        work.write_state(LAST, {**state, "counts": {"epoch": 2}})
    assert work.read_state(LAST)["counts"] == {"epoch": 1}
    assert [path.name for path in work.path.iterdir() if path.suffix == ".part"] == []
    assert work.read_state(BEST) is None


def test_a_foreign_checkpoint_runs_nothing(tmp_path):
    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    work = WorkFolder(tmp_path / "work", {})
    work.open()
    torch.save({"network": Harm()}, work.path / LAST)
    with pytest.raises(ValueError, match="no checkpoint"):
        work.read_state(LAST)
    (work.path / LAST).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no checkpoint"):
        work.read_state(LAST)
    assert not (tmp_path / "harm").exists()
