"""The fit command on files: values, tables, every bad input one line, exit code 2 and nothing left behind."""

import json
import shutil

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from nifti_mrs.create_nmrs import gen_nifti_mrs

from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.model.checkpoint import save_model

from .conftest import CENTRE_HZ
from .test_fit_quantify import CONTENTS, fids_of


@pytest.fixture(scope="module")
def place(tiny_model, tiny_basis, tmp_path_factory):
    """A folder with the tiny model, its basis set and two scans."""
    folder = tmp_path_factory.mktemp("fit")
    save_model(tiny_model, folder / "model")
    write_basis(tiny_basis, folder / "basis")
    for name, shift_hz in (("one", 2.0), ("two", -3.0)):
        write_scan(folder / f"{name}.nii.gz", fids_of(tiny_basis, shift_hz=shift_hz))
    return folder


def write_scan(path, fids, centre_hz=CENTRE_HZ, nucleus="1H"):
    """NIfTI-MRS file of (condition, point) FIDs with an edit dimension, edit-off first."""
    data = np.moveaxis(fids, 0, -1)[None, None, None]
    image = gen_nifti_mrs(data, 5e-4, centre_hz * 1e-6, nucleus=nucleus, dim_tags=["DIM_EDIT", None, None])
    image.add_hdr_field("EchoTime", 0.068)
    image.save(path)


def run(place, *arguments):
    """Exit code of the command with the tiny model and basis set."""
    return main([*arguments, "--model", str(place / "model"), "--basis", str(place / "basis")])


def test_one_scan(place, tmp_path, capsys):
    output = tmp_path / "demo"
    assert run(place, "--data", str(place / "one.nii.gz"), "--output", str(output), "--report") == 0
    table = pd.read_csv(output / "joint_concentrations.csv", index_col=0)
    np.testing.assert_allclose(table["relative_to_largest"], CONTENTS, atol=0.08)
    assert table["relative_to_sum"].sum() == pytest.approx(1)
    # The FIDs are concentrations times basis spectra, so the raw amplitudes are the concentrations themselves, but
    # for the linewidth, which trades against the scale and which the tiny model knows roughly.
    np.testing.assert_allclose(table["raw"], CONTENTS, rtol=0.4)
    np.testing.assert_allclose(table["raw"] / table["raw"].max(), table["relative_to_largest"], rtol=1e-6)
    options = json.loads((output / "off" / "options.txt").read_text().splitlines()[0])
    assert options["dl_model"] == "model" and len(options["dl_weights_sha256"]) == 64
    assert (output / "report.html").stat().st_size > 10_000
    shown = (f"{name} {row.relative_to_largest:.3f} ± {row.sd:.3f}" for name, row in table.iterrows())
    assert f"one: {'  '.join(shown)}\n" in capsys.readouterr().out
    assert {path.name for path in output.iterdir()} == {
        "joint_concentrations.csv", "group.csv", "report.html", "off", "diff",
    }  # fmt: skip


def test_the_fit_file_holds_the_model_of_the_data(place, tmp_path):
    assert run(place, "--data", str(place / "one.nii.gz"), "--output", str(tmp_path / "demo")) == 0
    files = [tmp_path / "demo" / "off" / name for name in ("data.nii.gz", "fit.nii.gz")]
    read = [np.asarray(nib.load(file).dataobj).ravel() for file in files]
    source = np.asarray(nib.load(place / "one.nii.gz").dataobj)[0, 0, 0, :, 0]
    np.testing.assert_allclose(read[0], source, rtol=1e-5, atol=1e-4)
    assert np.linalg.norm(read[1] - read[0]) < 0.35 * np.linalg.norm(read[0])


def test_several_scans_go_on_when_one_fails(place, tmp_path, capsys):
    broken = tmp_path / "broken.nii.gz"
    broken.write_bytes(b"not an image")
    scans = [str(place / "one.nii.gz"), str(broken), str(place / "two.nii.gz")]
    assert run(place, "--data", *scans, "--output", str(tmp_path / "all")) == 1
    printed = capsys.readouterr()
    assert "1 of 3 scans failed" in printed.err and "broken.nii.gz" in printed.err
    table = pd.read_csv(tmp_path / "all" / "group.csv")
    assert list(table["scan"].unique()) == ["one", "two"] and len(table) == 6
    assert (tmp_path / "all" / "two" / "diff" / "summary.csv").is_file() and not (tmp_path / "all" / "broken").exists()


def test_two_files_instead_of_one(place, tiny_basis, tmp_path):
    off, on = fids_of(tiny_basis)
    for name, fid in (("off", off), ("on", on)):
        gen_nifti_mrs(fid[None, None, None], 5e-4, CENTRE_HZ * 1e-6).save(tmp_path / f"{name}.nii.gz")
    pair = ["--edit_on", str(tmp_path / "on.nii.gz"), "--edit_off", str(tmp_path / "off.nii.gz")]
    assert run(place, *pair, "--output", str(tmp_path / "demo")) == 0
    table = pd.read_csv(tmp_path / "demo" / "joint_concentrations.csv", index_col=0)
    np.testing.assert_allclose(table["relative_to_largest"], CONTENTS, atol=0.08)


def nan_scan(place, folder, basis):
    fids = fids_of(basis)
    fids[0, 5] = np.nan
    write_scan(folder / "bad.nii.gz", fids)


def zero_scan(place, folder, basis):
    write_scan(folder / "bad.nii.gz", 0 * fids_of(basis))


def three_conditions(place, folder, basis):
    write_scan(folder / "bad.nii.gz", np.concatenate([fids_of(basis), fids_of(basis)[:1]]))


def seven_tesla(place, folder, basis):
    write_scan(folder / "bad.nii.gz", fids_of(basis), centre_hz=297.2e6)


def other_nucleus(place, folder, basis):
    write_scan(folder / "bad.nii.gz", fids_of(basis), nucleus="31P")


def no_edit_dimension(place, folder, basis):
    gen_nifti_mrs(fids_of(basis)[0][None, None, None], 5e-4, CENTRE_HZ * 1e-6).save(folder / "bad.nii.gz")


def cut_file(place, folder, basis):
    content = (place / "one.nii.gz").read_bytes()
    (folder / "bad.nii.gz").write_bytes(content[: len(content) // 2])


def plain_image(place, folder, basis):
    nib.save(nib.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)), folder / "bad.nii.gz")


@pytest.mark.parametrize(
    "spoil, word",
    [
        (nan_scan, "NaN"),
        (zero_scan, "zero"),
        (three_conditions, "3"),
        (seven_tesla, "6.98 T"),
        (other_nucleus, "31P"),
        (no_edit_dimension, "--edit_on"),
        (cut_file, "truncated"),
        (plain_image, "NIfTI-MRS"),
        (lambda *_: None, "bad.nii.gz"),
    ],
)
def test_bad_scans_get_one_line_and_leave_nothing(place, tiny_basis, tmp_path, capsys, spoil, word):
    spoil(place, tmp_path, tiny_basis)
    before = sorted(tmp_path.iterdir())
    data = ["--data", str(tmp_path / "bad.nii.gz"), "--edit_order", "off-on"]
    assert run(place, *data, "--output", str(tmp_path / "out")) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and word in error and error.startswith("fsl_mrs_dl fit: ")
    assert sorted(tmp_path.iterdir()) == before


def test_bad_models_basis_sets_and_outputs(place, tmp_path, capsys):
    data, output = ["--data", str(place / "one.nii.gz")], ["--output", str(tmp_path / "out")]
    model, basis = ["--model", str(place / "model")], ["--basis", str(place / "basis")]
    broken = shutil.copytree(place / "model", tmp_path / "broken")
    (broken / "weights.safetensors").write_bytes(b"nonsense")
    fewer = shutil.copytree(place / "basis", tmp_path / "fewer")
    for part in ("off", "on", "diff"):
        (fewer / part / "NAA.json").unlink()
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").write_text("x")
    cases = [
        ([*data, *output, *basis, "--model", str(broken)], "safetensors"),
        ([*data, *output, *basis, "--model", "unheard-of"], "no model"),
        ([*data, *output, *basis, "--model", str(place)], "config.json"),
        ([*data, *output, *model, "--basis", str(fewer)], "NAA"),
        ([*data, *output, *model, "--basis", str(tmp_path / "none")], "none"),
        ([*data, *output, *model], "fingerprint|metabolites"),
        ([*data, *model, *basis, "--output", str(tmp_path / "taken")], "--overwrite"),
        ([*data, *model, *basis, "--output", str(tmp_path / "file" / "out")], "file"),
        ([*output, *model, *basis], "--edit_on"),
        ([*data, *output, *model, *basis, "--internal_ref", "Cho"], "Cho"),
        ([*data, *output, *model, *basis, "--edit_on", "x"], "--edit_off"),
    ]
    for arguments, words in cases:
        assert main(arguments) == 2, arguments
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1 and any(word in error for word in words.split("|")), error
        assert not (tmp_path / "out").exists()


def test_overwrite_replaces(place, tmp_path):
    arguments = ["--data", str(place / "one.nii.gz"), "--output", str(tmp_path / "demo")]
    assert run(place, *arguments) == 0
    (tmp_path / "demo" / "old").write_text("x")
    assert run(place, *arguments) == 2
    assert run(place, *arguments, "--overwrite") == 0 and not (tmp_path / "demo" / "old").exists()


def test_a_warning_stands_before_the_numbers_and_the_plugin_is_named(place, tmp_path, capsys, monkeypatch):
    from fsl_mrs_dl.fslmrs import start_line

    monkeypatch.setattr(start_line, "host_version", lambda: "2.4.11")
    for enabled, said in (([], True), ([tmp_path], False)):
        monkeypatch.setattr(start_line, "enabled", lambda enabled=enabled: enabled)
        words = ["--data", str(place / "one.nii.gz"), "--edit_order", "on-off", "--output", str(tmp_path / "o")]
        assert run(place, *words, "--overwrite") == 0
        printed = capsys.readouterr().out
        assert 0 <= printed.index("one: Warning: ") < printed.index("one: Cr ")
        assert ("fsl_mrs_dl plugin enable" in printed) == said


def test_the_model_of_one_spectrum_is_found_by_its_basis_set(
    single_basis, single_model_folder, tmp_path, monkeypatch, capsys
):
    write_basis(single_basis, tmp_path / "basis")
    image = gen_nifti_mrs(fids_of(single_basis)[None, None, None, 0], 5e-4, CENTRE_HZ * 1e-6)
    image.save(tmp_path / "scan.nii.gz")
    words = [f"--{name}={tmp_path / path}" for name, path in (("data", "scan.nii.gz"), ("output", "out"))]
    words.append(f"--basis={tmp_path / 'basis'}")
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "No model was trained with this basis set" in error and "--model MODEL" in error
    monkeypatch.setenv("FSL_MRS_DL_MODELS", str(single_model_folder))
    assert main(words) == 0
    options = json.loads((tmp_path / "out" / "single" / "options.txt").read_text().splitlines()[0])
    assert options["dl_model"] == "small"
