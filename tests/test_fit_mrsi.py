"""Spectroscopic imaging: maps of known contents, equal to fits voxel by voxel, written as fsl_mrsi writes them."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nifti_mrs.create_nmrs import gen_nifti_mrs
from nifti_mrs.nifti_mrs import NIFTI_MRS

from fsl_mrs_dl import axes
from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.errors import DataError
from fsl_mrs_dl.fit.fsl_tables import percent_sd
from fsl_mrs_dl.fit.imaging import quantify_mrsi
from fsl_mrs_dl.fit.mrsi import fit_volume
from fsl_mrs_dl.fit.mrsi_folder import write_mrsi_folder
from fsl_mrs_dl.fit.quality import measure
from fsl_mrs_dl.fit.quantify import Quantifier
from fsl_mrs_dl.fit.volume import read_volume

from .conftest import CENTRE_HZ

SHAPE = (3, 2, 2)
AFFINE = np.array([[-10.0, 0, 0, 5], [0, 10, 0, -7], [0, 0, 15, 3], [0, 0, 0, 1]])
NAN, ZERO, OUTSIDE = (2, 1, 0), (0, 1, 1), (1, 1, 1)


def voxels(basis):
    """(x, y, z, metabolite) contents and (x, y, z, point) FIDs of them, each shifted, phased, scaled and noisy."""
    random = np.random.default_rng(7)
    contents = random.uniform(0.3, 1.0, (*SHAPE, len(basis.names)))
    shift_hz, width_hz, phase_rad = (random.uniform(*span, SHAPE) for span in ((-6, 6), (1, 4), (-1, 1)))
    t = axes.time_axis(basis.points, basis.dwell_s)
    rate = 2j * np.pi * shift_hz - np.pi * width_hz
    fids = (contents @ basis.fids[0]) * np.exp(rate[..., None] * t + 1j * phase_rad[..., None])
    fids = fids + 0.02 * (random.standard_normal(fids.shape) + 1j * random.standard_normal(fids.shape))
    return contents, fids * random.uniform(0.5, 50, SHAPE)[..., None]


def write(path, fids, tags=(None, None, None)):
    """NIfTI-MRS file of FIDs (x, y, z, point, ...)."""
    image = gen_nifti_mrs(fids.astype(np.complex64), 5e-4, CENTRE_HZ / 1e6, affine=AFFINE, dim_tags=list(tags))
    image.add_hdr_field("EchoTime", 0.03)
    image.save(path)


def write_mask(path, values):
    nib.save(nib.Nifti1Image(np.asarray(values, np.int16), AFFINE), path)
    return path


def values(path):
    return np.asarray(nib.load(path).dataobj)


@pytest.fixture(scope="module")
def place(single_basis, single_model_folder, tmp_path_factory):
    """Folder with data, mask and basis set; a voxel of NaN and one of zeros within the mask, one voxel outside."""
    folder = tmp_path_factory.mktemp("mrsi")
    write_basis(single_basis, folder / "basis")
    _, fids = voxels(single_basis)
    fids[NAN][5] = np.nan
    fids[ZERO] = 0
    write(folder / "data.nii.gz", fids)
    mask = np.ones(SHAPE)
    mask[OUTSIDE] = 0
    write_mask(folder / "mask.nii.gz", mask)
    return folder


@pytest.fixture(scope="module")
def output(place, single_model_folder):
    """Result folder of the command."""
    assert run(place, single_model_folder, "--report", "--combine", "NAA", "GABA") == 0
    return place / "out"


def run(place, model, *words, data="data.nii.gz", mask="mask.nii.gz", output="out"):
    """Exit code of the command."""
    paths = ["--data", str(place / data), "--mask", str(place / mask), "--basis", str(place / "basis")]
    return main([*paths, "--model", str(model), "--output", str(place / output), *words])


def test_maps_are_those_of_fits_voxel_by_voxel(place, output, single_model_folder):
    volume = read_volume(place / "data.nii.gz", place / "mask.nii.gz")
    quantifier = Quantifier(single_model_folder, place / "basis")
    for row in range(0, len(volume.voxels), 3):
        at = tuple(volume.voxels[row])
        result = quantifier(volume.scan(volume.fids([row])[0]))
        fit = result.first_fit
        widths = fit.lorentz_hz, fit.gauss_hz
        quality = measure(fit.data, fit.metabolite_fids, *widths, fit.ppm, fit.window, fit.dwell_s, like_host=True)
        percent = percent_sd(fit.concentrations, result.contents["single"].fit.sds[:3])
        np.testing.assert_allclose(percent, result.prediction.sd[:3] / result.prediction.concentrations[:3] * 100)
        for number, name in enumerate(fit.names):
            raw = fit.concentrations[number]
            assert values(output / f"concs/raw/{name}.nii.gz")[at] == pytest.approx(raw, rel=1e-3)
            assert values(output / f"uncertainties/{name}_sd.nii.gz")[at] == pytest.approx(percent[number], rel=1e-3)
            for figure, figures in zip(("snr", "fwhm"), quality):
                assert values(output / f"qc/{name}_{figure}.nii.gz")[at] == pytest.approx(figures[number], rel=1e-3)
        parameters = dict(zip(fit.parameter_names, fit.parameters))
        expected = {
            "p0": np.rad2deg(parameters["Phi0"]),
            "p1": 0,
            "shift_group0": parameters["eps_0"] / (2 * np.pi * CENTRE_HZ * 1e-6),
            "gamma_group0": fit.lorentz_hz,
            "sigma_group0": fit.gauss_hz,
        }
        for name, value in expected.items():
            assert values(output / f"nuisance/{name}.nii.gz")[at] == pytest.approx(value, rel=1e-3, abs=1e-4), name
        np.testing.assert_allclose(fit_of(volume, output)[at], fit.predicted, atol=1e-3 * np.abs(fit.predicted).max())


def fit_of(volume, output):
    """(x, y, z, point) model FIDs in memory orientation."""
    return volume.turn(values(output / "fit/fit.nii.gz"))


def test_maps_follow_the_contents_whatever_the_signal(output, single_basis):
    contents, _ = voxels(single_basis)
    fitted = values(output / "concs/raw/Cr.nii.gz") > 0
    assert fitted.sum() == np.prod(SHAPE) - 3 and not fitted[NAN] and not fitted[ZERO] and not fitted[OUTSIDE]
    ratios = contents / contents[..., :1]
    for number, name in enumerate(single_basis.names):
        found = values(output / f"concs/internal/{name}.nii.gz")[fitted]
        assert np.median(np.abs(found / ratios[fitted][:, number] - 1)) < 0.35
    # FSL-MRS scales every voxel's FID to one norm, so raw values do not follow the fiftyfold range of amplitudes.
    assert np.ptp(np.log(values(output / "concs/raw/NAA.nii.gz")[fitted])) < 2


def test_fit_and_residual_are_the_data(place, output):
    data = values(place / "data.nii.gz")
    fit, residual, baseline = (values(output / f"fit/{name}.nii.gz") for name in ("fit", "residual", "baseline"))
    fitted = values(output / "concs/raw/Cr.nii.gz") > 0
    assert np.abs((fit + residual - data)[fitted]).max() < 1e-6 * np.abs(data[fitted]).max()
    assert not fit[~fitted].any() and not residual[~fitted].any() and not baseline[~fitted].any()
    assert np.linalg.norm(residual[fitted]) < 0.5 * np.linalg.norm(data[fitted])
    for name in ("fit", "residual", "baseline"):
        image = NIFTI_MRS(str(output / f"fit/{name}.nii.gz"), validate_on_creation=True)
        assert image.shape == (*SHAPE, 2048) and image.dtype == np.complex64 and image.hdr_ext["EchoTime"] == 0.03
        np.testing.assert_allclose(image.voxToWorldMat, AFFINE)


def test_the_tree_is_fsl_mrsi_s(output):
    names, sums = ["Cr", "GABA", "NAA"], ["NAA+GABA"]
    expected = {f"concs/{kind}/{name}.nii.gz" for kind in ("raw", "internal") for name in names + sums}
    expected |= {f"uncertainties/{name}_sd.nii.gz" for name in names + sums}
    expected |= {f"qc/{name}_{figure}.nii.gz" for name in names for figure in ("snr", "fwhm")}
    expected |= {"qc/trust_level.nii.gz", "qc/trust_score.nii.gz"}
    nuisance = "p0 p1 shift_group0 combined_lw_group0 gamma_group0 sigma_group0".split()
    expected |= {f"nuisance/{name}.nii.gz" for name in nuisance}
    expected |= {f"fit/{name}.nii.gz" for name in ("fit", "baseline", "residual")}
    expected |= {"misc/metabolite_groups.json", "misc/mrs_fit_parameters.json"}
    expected |= {"options.txt", "fit_avg.png", "report.html"}
    assert {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file()} == expected
    image = nib.load(output / "concs/raw/NAA+GABA.nii.gz")
    assert type(image) is nib.Nifti1Image and image.get_data_dtype() == np.float64 and image.shape == SHAPE
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (2, 0)
    total = values(output / "concs/raw/NAA.nii.gz") + values(output / "concs/raw/GABA.nii.gz")
    np.testing.assert_allclose(np.asarray(image.dataobj), total, rtol=1e-12)
    assert json.loads((output / "misc/metabolite_groups.json").read_text()) == {"0": names}
    parameters = json.loads((output / "misc/mrs_fit_parameters.json").read_text())
    assert parameters["metabolites_inc_comb"] == names + sums and len(parameters["parameters"]) == 3 + 5 + 6
    options = json.loads((output / "options.txt").read_text().splitlines()[0])
    assert options["algo"] == "dl" and options["voxels_empty"] == [list(ZERO), list(NAN)]


def test_empty_voxels_are_counted_and_named(place, single_model_folder, capsys):
    assert run(place, single_model_folder, output="named") == 0
    printed = capsys.readouterr().out
    assert "2 of 11 voxels" in printed and "(2, 1, 0)" in printed and "(0, 1, 1)" in printed


def test_creatine_is_summed_only_with_phosphocreatine_and_bad_values_become_0(place, tmp_path, single_model_folder):
    volume = read_volume(place / "data.nii.gz", place / "mask.nii.gz")
    quantifier = Quantifier(single_model_folder, place / "basis")
    fits = fit_volume(volume, quantifier.model, quantifier.basis, tmp_path)["single"]
    fits.parameters[0, 0], fits.parameters[1, 0], fits.parameters[2, 0] = np.nan, -1.0, 1e11
    renamed = replace(fits, names=("Cr", "NAA", "PCr"))
    (tmp_path / "a").mkdir()
    write_mrsi_folder(tmp_path / "a", volume, renamed, "single", ("NAA",), (), {})
    image = values(tmp_path / "a/concs/raw/Cr.nii.gz")[tuple(volume.voxels.T)]
    assert (image[:3] == 0).all() and (image[3:] > 0).all()
    percent = values(tmp_path / "a/uncertainties/Cr_sd.nii.gz")[tuple(volume.voxels.T)]
    assert percent[0] == 999 and percent[1] == 0 and percent.max() <= 999
    total = values(tmp_path / "a/concs/raw/Cr+PCr.nii.gz")[tuple(volume.voxels.T)]
    np.testing.assert_allclose(total[3:], (fits.parameters[:, 0] + fits.parameters[:, 2])[3:])


def test_mirrored_data_give_the_same_contents(place, tmp_path, single_basis, single_model_folder, output):
    data = values(place / "data.nii.gz")
    write(tmp_path / "mirrored.nii.gz", data)  # the writer conjugates once more
    assert run(place, single_model_folder, data=tmp_path / "mirrored.nii.gz", output=tmp_path / "out") == 0
    for name in single_basis.names:
        np.testing.assert_allclose(
            values(tmp_path / f"out/concs/raw/{name}.nii.gz"), values(output / f"concs/raw/{name}.nii.gz"), rtol=1e-3
        )
    stored = values(tmp_path / "mirrored.nii.gz")
    both = values(tmp_path / "out/fit/fit.nii.gz") + values(tmp_path / "out/fit/residual.nii.gz")
    assert np.abs(both - stored)[0, 0, 0].max() < 1e-5 * np.abs(stored[0, 0, 0]).max()


def other_shape(folder):
    write_mask(folder / "bad.nii.gz", np.ones((3, 2, 1)))
    return {"mask": folder / "bad.nii.gz"}


def empty_mask(folder):
    write_mask(folder / "bad.nii.gz", np.zeros(SHAPE))
    return {"mask": folder / "bad.nii.gz"}


def no_mask(folder):
    return {"mask": folder / "bad.nii.gz"}


def only_nan(folder):
    mask = np.zeros(SHAPE)
    mask[NAN] = 1
    write_mask(folder / "bad.nii.gz", mask)
    return {"mask": folder / "bad.nii.gz"}


def edited(folder):
    random = np.random.default_rng(0)
    write(folder / "data.nii.gz", random.standard_normal((*SHAPE, 2048, 2)) + 0j, ("DIM_EDIT", None, None))
    return {"data": folder / "data.nii.gz", "more": ("--edit_order", "off-on")}


def coils(folder):
    write(folder / "data.nii.gz", np.ones((*SHAPE, 2048, 4)) + 0j, ("DIM_COIL", None, None))
    return {"data": folder / "data.nii.gz"}


@pytest.mark.parametrize(
    "spoil, word",
    [
        (other_shape, "3 x 2 x 1"), (empty_mask, "empty"), (no_mask, "no file"), (only_nan, "finite"),
        (edited, "edit-on"), (coils, "DIM_COIL"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(place, tmp_path, single_model_folder, capsys, spoil, word):
    given = spoil(tmp_path)
    assert run(place, single_model_folder, *given.pop("more", ()), **given, output=tmp_path / "out") == 2
    printed = capsys.readouterr().err
    assert word in printed and printed.count("\n") == 1
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".fsl_mrs_dl_*"))


def test_a_failure_half_way_leaves_nothing(place, tmp_path, single_model_folder, monkeypatch):
    def fail(*_):
        raise MemoryError

    monkeypatch.setattr("fsl_mrs_dl.fit.imaging.write_mrsi_folder", fail)
    with pytest.raises(MemoryError):
        run(place, single_model_folder, output=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_the_model_is_found_by_the_basis_set(place, tmp_path, single_model_folder, monkeypatch, capsys):
    paths = {"data": place / "data.nii.gz", "mask": place / "mask.nii.gz", "output": tmp_path / "o"}
    words = [word for name, path in paths.items() for word in (f"--{name}", str(path))]
    assert main([*words, "--basis", str(place / "basis")]) == 2
    assert "fsl_mrs_dl train --basis" in capsys.readouterr().err
    monkeypatch.setenv("FSL_MRS_DL_MODELS", str(single_model_folder.parent))
    assert main([*words, "--basis", str(place / "basis")]) == 0
    options = json.loads((tmp_path / "o" / "options.txt").read_text().splitlines()[0])
    assert options["dl_model"] == "small"
    capsys.readouterr()
    assert main([*words, "--overwrite"]) == 2
    assert "give the basis set of that spectrum with --basis" in capsys.readouterr().err


def test_a_mask_elsewhere_in_space_is_warned_of(place, tmp_path, single_model_folder, capsys):
    mask = np.zeros(SHAPE, np.int16)
    mask[0, 0, 0] = 1
    for name, affine, said in (("moved", AFFINE + np.eye(4)[:, ::-1], True), ("placeless", np.eye(4), False)):
        nib.save(nib.Nifti1Image(mask, affine), tmp_path / f"{name}.nii.gz")
        assert run(place, single_model_folder, mask=tmp_path / f"{name}.nii.gz", output=tmp_path / name) == 0
        assert ("different places in space" in capsys.readouterr().out) == said


def test_a_voxel_that_cannot_be_fitted_is_empty_and_named(place, tmp_path, single_model_folder, monkeypatch, capsys):
    from fsl_mrs_dl.fit import mrsi

    solve = mrsi.solve_voigt
    volume = read_volume(place / "data.nii.gz", place / "mask.nii.gz")
    bad = volume.fids([2])[0, 0, 0]

    def fail(fids, *others):
        if (fids[:, 0] == bad).any():
            raise DataError("no solution")
        return solve(fids, *others)

    monkeypatch.setattr(mrsi, "solve_voigt", fail)
    assert run(place, single_model_folder, output=tmp_path / "out") == 0
    at = tuple(volume.voxels[2].tolist())
    assert f"1 of 9 voxels could not be fitted and are left empty: {at}" in capsys.readouterr().out
    maps = {name: values(tmp_path / f"out/{name}.nii.gz") for name in ("concs/raw/Cr", "fit/fit", "fit/residual")}
    assert not any(image[at].any() for image in maps.values()) and (maps["concs/raw/Cr"] > 0).sum() == 8

    monkeypatch.setattr(mrsi, "solve_voigt", lambda *_: fail(np.full((1, 1), bad)))
    assert run(place, single_model_folder, output=tmp_path / "none") == 2
    assert "none of the 9 voxels could be fitted" in capsys.readouterr().err and not (tmp_path / "none").exists()


def test_edited_imaging_is_fitted_as_its_voxels_one_by_one(tiny_basis, tiny_model, tmp_path):
    random = np.random.default_rng(3)
    shape, t = (2, 2, 1), axes.time_axis(2048, 5e-4)
    contents = random.uniform(0.3, 1, (*shape, 3))
    lines = np.exp((2j * np.pi * random.uniform(-3, 3, shape)[..., None] - 3 * np.pi) * t)
    fids = np.einsum("xyzm,cmp,xyzp->xyzpc", contents, tiny_basis.fids, lines)
    fids = fids + 0.02 * (random.standard_normal(fids.shape) + 1j * random.standard_normal(fids.shape))
    write(tmp_path / "data.nii.gz", fids[..., ::-1], ("DIM_EDIT", None, None))  # on, off
    write_mask(tmp_path / "mask.nii.gz", np.ones(shape))
    write_basis(tiny_basis, tmp_path / "basis")
    paths = tmp_path / "data.nii.gz", tmp_path / "mask.nii.gz"
    said = quantify_mrsi(*paths, tmp_path / "out", tiny_model, tmp_path / "basis", report=True)
    assert any("on-off" in line for line in said)

    volume = read_volume(*paths)
    assert volume.conditions == ("edit_off", "edit_on") and volume.fids([0]).shape == (1, 2, 2048)
    np.testing.assert_allclose(volume.fids([0])[0].T, fids[0, 0, 0], rtol=1e-5, atol=1e-5)
    result = Quantifier(tiny_model, tmp_path / "basis")(volume.scan(volume.fids([3])[0]))
    at = tuple(volume.voxels[3])
    stored = values(tmp_path / "data.nii.gz")
    for key, data in (("off", stored[..., 1]), ("diff", stored[..., 0] - stored[..., 1])):
        folder, fit = tmp_path / "out" / key, result.fits[key]
        for name, raw in zip(fit.names, fit.concentrations):
            assert values(folder / f"concs/raw/{name}.nii.gz")[at] == pytest.approx(raw, rel=1e-3)
        parts = [values(folder / f"fit/{name}.nii.gz") for name in ("fit", "residual")]
        assert np.abs(sum(parts) - data).max() < 1e-5 * np.abs(data).max()
        image = NIFTI_MRS(str(folder / "fit/fit.nii.gz"), validate_on_creation=True)
        assert image.shape == (*shape, 2048) and image.dim_tags == [None] * 3
    assert (tmp_path / "out" / "report.html").is_file() and not (tmp_path / "out" / "concs").exists()


def test_the_command_sets_one_thread_before_numpy_is_there(tmp_path):
    """Threads of numpy's own, which nothing here needs, take processor time of imports and of the mean's fit."""
    code = (
        "import os, sys\nfrom fsl_mrs_dl.cli.main import main\n"
        "class Watch:\n    def find_spec(self, name, *_):\n        if name == 'numpy': "
        "print('threads', os.environ.get('OMP_NUM_THREADS'))\n"
        "sys.meta_path.insert(0, Watch())\n"
        "main(['fit', '--data', 'a.nii.gz', '--mask', 'b.nii.gz', '--output', 'out'])\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment["PYTHONPATH"] = str(Path(axes.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.splitlines()[0] == "threads 1"
