"""The train command: a model folder that loads, a card that names the command."""

import argparse
import json
import shlex
import signal

import pytest

from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.cli import train
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.model.card import adapted_scans
from fsl_mrs_dl.model.checkpoint import load_model, save_model
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.nifti_output import write_nifti
from fsl_mrs_dl.synth.priors import PUBLISHED
from fsl_mrs_dl.train.trainee import Trainee

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
    told = capsys.readouterr()
    assert "published conditions" in told.out and "recipe phantom is meant for a pool" in told.err
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
        ([*common, *output, "--time", "soon"], "--time"),
        ([*common, *output, "--time", "30m"], "Leave one of the two out, or give --passes"),
        ([*common, *output, "--passes", "3"], "Leave --epochs out, or give --passes 0"),
        ([*common, *output, "--model", "cnn-published"], "Leave --epochs out, or give --passes 0"),
        ([*common, *output, "--pool_spectrum", "edit_off"], "without --pool FILE"),
        (["train", "--benchmark", "--pool_spectrum", "difference"], "without --pool FILE"),
        (["train", "--benchmark", "--start", "hybrid_off"], "Leave --start or --benchmark out"),
        (["train", "--benchmark", "--model", "cnn", "--time", "1m", *output], "Leave --model, --time, --output or"),
        ([*common, *output, "--devices", "0"], "devices"),
        ([*common, *output, "--start", str(tmp_path / "none")], "none"),
        (common, "--output"),
    ]
    for arguments, word in cases:
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1 and word in error, error
        assert not (tmp_path / "out").exists() and not (tmp_path / "out.training").exists()


def test_a_refused_recipe_leaves_the_place_free(tiny_basis, tmp_path, capsys):
    """The recipe wants a pool, which shows only when scans are made; nothing is left that asks for --resume."""
    write_basis(tiny_basis, tmp_path / "basis")
    arguments = ["train", "--basis", str(tmp_path / "basis"), "--output", str(tmp_path / "mine"), *PLAN]
    for _ in range(2):
        assert main([*arguments, "--recipe", "multi-adc"]) == 2
        assert "draws its bases from a pool" in capsys.readouterr().err
    assert not (tmp_path / "mine.training").exists()


def test_finetune_reads_scans_and_contents(tiny_basis, tiny_model, tmp_path, capsys):
    write_basis(tiny_basis, tmp_path / "basis")
    save_model(tiny_model, tmp_path / "first")
    scans = tmp_path / "scans"
    scans.mkdir()
    write_nifti(Stream(tiny_basis, PUBLISHED, seed=3, batch=4), tiny_basis, 4, scans)
    common = ["train", "--finetune", str(tmp_path / "first"), "--basis", str(tmp_path / "basis"), *PLAN]
    common += ["--recipe", "published", "--scans", str(scans)]
    for name, truth in (("known", ["--truth", str(scans / "truth.csv")]), ("unknown", [])):
        assert main([*common, *truth, "--output", str(tmp_path / name)]) == 0
        adapted = load_model(tmp_path / name)
        assert len(adapted_scans(adapted.card)) == 4 and name in adapted.card["adapted_to"]["contents"]
        assert adapted.card["name"] == name and "--finetune" in adapted.card["adapted_to"]["command"]
        assert adapted.card["training"]["plan"] == tiny_model.card["training"]["plan"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "short.csv").write_text("id,Cr\nx,1\n")
    output = ["--output", str(tmp_path / "out")]
    capsys.readouterr()
    cases = [
        ([*common, *output, "--scans", str(tmp_path / "empty")], "no folder with NIfTI-MRS files"),
        ([*common, *output, "--truth", str(tmp_path / "short.csv")], "no column GABA"),
        ([*common, *output, "--config", str(tmp_path / "short.csv")], "--config"),
        (["train", "--scans", str(scans), *output], "--finetune"),
        (["train", "--finetune", str(tmp_path / "first"), "--basis", str(tmp_path / "basis"), *output], "--scans"),
    ]
    for arguments, word in cases:
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1 and word in error, error
        assert not (tmp_path / "out").exists() and not (tmp_path / "out.training").exists()


def test_a_published_preset_gives_the_plan_and_options_win():
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    args = parser.parse_args(["--model", "yae-published", "--batch", "32", "--passes", "7"])
    preset = train._preset(args)
    plan = train._plan(args, preset)
    assert (plan.optimiser, plan.schedule, plan.batch, plan.passes, plan.number) == ("adam", "plateau", 32, 7, 100_000)
    assert plan.learning_rate == pytest.approx(2e-4) and train._options(args, preset).dropout == 0.2
    short = parser.parse_args(["--time", "3m"])
    assert train._plan(short, train._preset(short)).epochs == 4
    again = parser.parse_args(["--time", "3m", "--number", "5000", "--passes", "9"])
    assert train._plan(again, train._preset(again)).number == 5000
    new = parser.parse_args(["--model", "yae-published", "--passes", "0", "--epochs", "6"])
    assert train._plan(new, train._preset(new)).parts == 6


def test_a_start_takes_small_steps_unless_told_otherwise():
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    assert train.START_LEARNING_RATE == 2e-4 and "with --start at most 0.0002" in " ".join(parser.format_help().split())
    cases = [
        ([], 1.5e-3),
        (["--start", "x"], 2e-4),
        (["--start", "x", "--learning_rate", "0.003"], 0.003),
        (["--start", "x", "--model", "yae-published"], 1e-4),
        (["--start", "x", "--model", "yae-published", "--batch", "256"], 2e-4),
    ]
    for words, rate in cases:
        args = parser.parse_args(["--model", "yae", *words])
        assert train._plan(args, train._preset(args)).learning_rate == pytest.approx(rate)


def test_a_start_brings_its_network_and_size(tiny_basis, tiny_model, tmp_path, capsys):
    write_basis(tiny_basis, tmp_path / "basis")
    save_model(tiny_model, tmp_path / "first")
    basis = ["--basis", str(tmp_path / "basis")]
    start = ["train", "--start", str(tmp_path / "first"), *PLAN]
    assert main([*start, *basis, "--output", str(tmp_path / "mine")]) == 0
    model = load_model(tmp_path / "mine")
    assert model.config.network == "yae" and model.options == tiny_model.options
    plan = model.card["training"]["plan"]
    assert plan["learning_rate"] == train.START_LEARNING_RATE
    assert "--model" not in shlex.split(model.card["training"]["command"])
    capsys.readouterr()
    (tmp_path / "size.json").write_text(json.dumps({"encoder": [128, 64], "decoder": [64], "quantifier": 32}))
    cases = [
        ([*basis, "--model", "cnn"], "its network is yae, not cnn"),
        ([*basis, "--config", str(tmp_path / "size.json")], "its options differ in quantifier ("),
        ([], "first has a basis set that is no shipped one: give --basis:"),
    ]
    for words, word in cases:
        assert main([*start, *words, "--output", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert word in error and len(error.splitlines()) == 1
        assert not (tmp_path / "out").exists() and not (tmp_path / "out.training").exists()


def test_a_shipped_start_brings_its_shipped_basis_set(tmp_path):
    words = ["train", "--start", "hybrid_off", "--number", "16", "--batch", "16", "--epochs", "1", "--held_out", "16"]
    assert main([*words, "--device", "cpu", "--output", str(tmp_path / "mine")]) == 0
    model, first = load_model(tmp_path / "mine"), load_model("hybrid_off")
    assert model.config.network == "hybrid" and model.options == first.options
    assert model.config.basis_fingerprint == first.config.basis_fingerprint and len(model.config.conditions) == 1


def test_times():
    assert [train.seconds(text) for text in ("90s", "30m", "1h30m", "0.5h")] == [90, 1800, 5400, 1800]
    for text in ("", "30", "5d", "0m", "m"):
        with pytest.raises(ConfigError, match="--time"):
            train.seconds(text)


def test_ctrl_c_keeps_the_training(tiny_basis, tmp_path, capsys, monkeypatch):
    write_basis(tiny_basis, tmp_path / "basis")
    plain = Trainee.training_step

    def interrupted(self, step, place):
        if self.epoch == 1:
            raise KeyboardInterrupt
        return plain(self, step, place)

    monkeypatch.setattr(Trainee, "training_step", interrupted)
    arguments = ["train", "--basis", str(tmp_path / "basis"), *PLAN, "--output", str(tmp_path / "mine")]
    handler = signal.getsignal(signal.SIGINT)
    assert main(arguments) == 130
    assert signal.getsignal(signal.SIGINT) is handler
    assert "--resume" in capsys.readouterr().err and not (tmp_path / "mine").exists()
    assert (tmp_path / "mine.training" / "last.ckpt").is_file()
    monkeypatch.setattr(Trainee, "training_step", plain)
    assert main([*arguments, "--resume"]) == 0
    assert load_model(tmp_path / "mine").card["training"]["epochs"].startswith("2,")


def test_the_command_of_a_pool_names_ranges_that_are_not_the_default_ones():
    from types import SimpleNamespace

    from fsl_mrs_dl.basis.pool_priors import PoolPriors
    from fsl_mrs_dl.cli.train import pool_command

    class Two(SimpleNamespace):
        def __len__(self):
            return 2

    plain = Two(priors=PoolPriors(), names=("Cr",), seed=3)
    other = Two(priors=PoolPriors(b1_scale=(0.9, 1.1)), names=("Cr",), seed=3)
    assert "--pool_ranges" not in pool_command(plain, "pool/pool.h5")
    command = pool_command(other, "pool/pool.h5")
    assert command.endswith("--pool 2 --seed 3 --output pool --pool_ranges pool_ranges.json")
