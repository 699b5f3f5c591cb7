"""fsl_mrs_dl noise, run on a phantom."""

import json
from pathlib import Path

import pytest

from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.synth.noise_fit import read_fits

SCAN = str(Path(__file__).parent / "data" / "D2_04.nii.gz")


def test_a_phantom_has_gaussian_noise(tmp_path, capsys):
    file = tmp_path / "noise.json"
    assert main(["noise", "--data", SCAN, "--output", str(file), "--seed", "3", "--report"]) == 0
    (fit,) = read_fits(file)
    assert fit.beta.low < 2 < fit.beta.high
    assert fit.seed == 3 and fit.name in capsys.readouterr().out
    assert all(high <= 0 or low >= 6 for low, high in fit.ranges_ppm)
    assert (tmp_path / "noise.png").read_bytes()[:4] == b"\x89PNG"


def test_ranges_and_several_scans(tmp_path):
    file = tmp_path / "noise.json"
    command = ["noise", "--data", SCAN, SCAN, "--ppm", "-3", "-1", "9", "11", "--output", str(file)]
    assert main(command) == 0
    fits = read_fits(file)
    assert len(fits) == 2 and fits[0] == fits[1]
    assert [round(edge) for pair in fits[0].ranges_ppm for edge in pair] == [-3, -1, 9, 11]
    assert not list(tmp_path.glob("*.png"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--ppm", "1"], "ascending pairs"),
        (["--ppm", "3", "1"], "ascending pairs"),
        (["--ppm", "40", "50"], "give signal-free ranges"),
        (["--steps", "100"], "not converged"),
        (["--steps", "3"], "at least 100 steps"),
        (["--seed", "-4"], "seed"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(more, words, tmp_path, capsys):
    assert main(["noise", "--data", SCAN, "--output", str(tmp_path / "noise.json"), *more]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_an_output_is_replaced_only_when_asked(tmp_path, capsys):
    file = tmp_path / "noise.json"
    file.write_text("mine")
    assert main(["noise", "--data", SCAN, "--output", str(file)]) == 2
    assert "--overwrite" in capsys.readouterr().err and file.read_text() == "mine"
    assert main(["noise", "--data", SCAN, "--output", str(file), "--overwrite"]) == 0
    assert json.loads(file.read_text())["fits"]
    assert main(["noise", "--data", SCAN, "--output", str(tmp_path / "no" / "noise.json")]) == 2
