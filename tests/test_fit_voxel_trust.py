"""The trust flag of the voxels of imaging: the scans' own, in maps, words and --strict."""

import dataclasses
import json
import re
import shutil

import numpy as np
import pytest

from fsl_mrs_dl.evaluate.trust_table import checks_of, learn
from fsl_mrs_dl.fit.quantify import Quantifier
from fsl_mrs_dl.fit.trust import Trust
from fsl_mrs_dl.fit.volume import read_volume
from fsl_mrs_dl.fit.voxel_trust import CODES, VoxelTrust
from fsl_mrs_dl.model.checkpoint import load_model
from fsl_mrs_dl.model.thresholds import write_thresholds
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.priors import RECIPES

from .test_fit_mrsi import OUTSIDE, SHAPE, output, place, run, values, voxels, write, write_mask  # noqa: F401  fixtures


@pytest.fixture(scope="module")
def judged_model(single_model_folder, single_basis, tmp_path_factory):
    """Folder of the small model with thresholds by which noise and lines of 25 Hz are out of range."""
    folder = tmp_path_factory.mktemp("judged") / "small"
    shutil.copytree(single_model_folder, folder)
    model, random = load_model(folder), np.random.default_rng(1)
    own = {"clean_fraction": 0.0, "pool_fraction": 0.0, "water": (0.0, 0.5)}

    def scans(number, seed, **changes):
        recipe = dataclasses.replace(RECIPES["phantom"], **own, **changes)
        return Stream(single_basis, recipe, seed, None, number)[0].measured.numpy()

    noise = (random.normal(size=(40, 1, 2048, 2)) @ np.array([1, 1j])).astype(np.complex64)
    spoilt = {"noise": noise, "wide": scans(40, 3, lorentz_hz=(25.0, 25.0))}
    spoilt = {kind: checks_of(model, single_basis, fids) for kind, fids in spoilt.items()}
    good = checks_of(model, single_basis, scans(160, 2))
    write_thresholds(folder, learn(model, good, spoilt, "tests"))
    return folder


def test_every_voxel_has_its_flag_and_strict_leaves_out_those_out_of_range(
    place, tmp_path, judged_model, single_basis, capsys
):
    _, fids = voxels(single_basis)
    noisy = (0, 0, 0)
    random = np.random.default_rng(7)
    fids[noisy] = random.normal(size=fids.shape[-1]) + 1j * random.normal(size=fids.shape[-1])
    write(tmp_path / "data.nii.gz", fids)
    given = {"data": tmp_path / "data.nii.gz", "output": tmp_path / "out"}
    assert run(place, judged_model, "--report", **given) == 0
    said = capsys.readouterr().out
    levels, scores = (values(tmp_path / f"out/qc/trust_{name}.nii.gz") for name in ("level", "score"))
    volume = read_volume(tmp_path / "data.nii.gz", place / "mask.nii.gz")
    quantifier = Quantifier(judged_model, place / "basis")
    for row in range(0, len(volume.voxels), 3):
        at, trust = tuple(volume.voxels[row]), quantifier(volume.scan(volume.fids([row])[0])).trust
        assert CODES[trust.level] == levels[at] and scores[at] == pytest.approx(trust.score, rel=1e-2)
    assert levels[noisy] == 3 and levels[OUTSIDE] == 0 == scores[OUTSIDE]
    counted = f"{100 * (levels == 1).sum() / len(volume.voxels):.0f} % in range"
    assert f"\n  trust: {counted}" in said
    first, *text = (tmp_path / "out/options.txt").read_text().splitlines()
    assert json.loads(first)["trust"].startswith(counted) and any(re.match(f" *trust: *{counted}", one) for one in text)
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    box = page.split('id="trust"')[1].split("</div>")[0]
    of_mean, of_voxels = box.index("<strong>Trust of the mean spectrum: "), box.index(f"of the voxels: {counted}")
    assert of_mean < box.index("This box is of the mean spectrum of the mask") < of_voxels
    assert page.count(counted) == 1

    assert run(place, judged_model, "--strict", "--overwrite", **given) == 0
    refused = levels == 3
    assert f"{refused.sum()} of {len(volume.voxels)} voxels are out of range and left empty" in capsys.readouterr().out
    for name in ("concs/raw/NAA", "qc/NAA_snr", "fit/fit", "fit/residual"):
        found = values(tmp_path / f"out/{name}.nii.gz")
        assert not found[refused].any() and found[levels == 1].any()
    np.testing.assert_array_equal(values(tmp_path / "out/qc/trust_level.nii.gz"), levels)
    options = json.loads((tmp_path / "out/options.txt").read_text().splitlines()[0])
    assert options["voxels_refused"] == np.argwhere(refused).tolist() and options["strict"]

    mask = np.zeros(SHAPE)
    mask[noisy] = 1
    write_mask(tmp_path / "one.nii.gz", mask)
    given |= {"mask": tmp_path / "one.nii.gz", "output": tmp_path / "none"}
    assert run(place, judged_model, "--strict", **given) == 2
    assert "--strict refuses all of them" in capsys.readouterr().err and not (tmp_path / "none").exists()


def test_the_flag_may_be_left_out(place, tmp_path, judged_model, single_basis, capsys):
    _, fids = voxels(single_basis)
    write(tmp_path / "data.nii.gz", fids)
    given = {"data": tmp_path / "data.nii.gz", "output": tmp_path / "out"}
    assert run(place, judged_model, "--no_trust", "--strict", **given) == 2
    assert "leave --no_trust out" in capsys.readouterr().err
    assert run(place, judged_model, "--no_trust", **given) == 0
    assert "trust: not checked (--no_trust)" in capsys.readouterr().out
    options = json.loads((tmp_path / "out/options.txt").read_text().splitlines()[0])
    assert options["trust"] == "not checked (--no_trust)"
    assert options["dl_refine"] == 0 and options["dl_corrected"] is False
    assert not values(tmp_path / "out/qc/trust_level.nii.gz").any()
    assert values(tmp_path / "out/concs/raw/NAA.nii.gz").any()


def test_without_thresholds_no_voxel_counts_as_checked(output):
    levels = values(output / "qc/trust_level.nii.gz")
    assert set(np.unique(levels)) <= {0, 2, 3}
    assert VoxelTrust.empty(2).text().startswith("no voxel was checked")


def test_shares_are_those_of_the_voxels_that_were_checked():
    found = VoxelTrust.empty(6)
    caution = Trust("caution", 2.0, striking=("width",))
    found.keep(slice(1, 4), [Trust("in range", 0.5), Trust("in range", 0.7), caution])
    found.keep(slice(4, 5), [Trust("out of range", 9.0, striking=("width", "noise"))])
    expected = "50 % in range, 25 % caution, 25 % out of range of 4 voxels; most often by width (2), noise (1)"
    assert found.text() == expected and found.levels.tolist() == [0, 1, 1, 2, 3, 0]
    assert found.out_of_range.tolist() == [False] * 4 + [True, False] and found.scores[3] == 2
