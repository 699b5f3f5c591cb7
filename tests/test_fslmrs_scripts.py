"""FSL-MRS's own commands with --algo dl, in processes of their own, on data made here."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from fsl_mrs_dl import axes
from fsl_mrs_dl.basis.basis_set import write_basis

pytestmark = pytest.mark.with_fsl_mrs

NAMES = ["Cr", "GABA", "NAA"]
PACKAGE_FOLDER = Path(axes.__file__).parents[1]
FILES = (
    "all_parameters.csv basis concentrations.csv data.nii.gz fit.nii.gz fit_baseline.nii.gz fit_no_baseline.nii.gz "
    "fit_Cr.nii.gz fit_GABA.nii.gz fit_NAA.nii.gz fit_summary.png h2o.nii.gz options.txt qc.csv "
    "quantification_info.csv report.html summary.csv"
).split()


def image(fids, dwell_s, centre_hz, path):
    """Write FIDs (x, y, z, point) of memory orientation as NIfTI-MRS."""
    from nifti_mrs.create_nmrs import gen_nifti_mrs

    gen_nifti_mrs(fids, dwell_s, centre_hz / 1e6, nucleus="1H").save(path)


def voxel(basis, random, shift_hz=1.0):
    """(point,) FID of a voxel of random concentrations."""
    t = axes.time_axis(basis.points, basis.dwell_s)
    fid = random.uniform(0.3, 1, len(NAMES)) @ basis.fids[0] * np.exp((2j * np.pi * shift_hz - 4 * np.pi) * t + 0.2j)
    return fid + 0.03 * (random.normal(size=t.size) + 1j * random.normal(size=t.size))


@pytest.fixture(scope="module")
def data(single_basis, single_model_folder, tmp_path_factory):
    """Folder with a basis, a spectrum, its water, voxels and their mask, and a Python that has the start-up line."""
    folder = tmp_path_factory.mktemp("data")
    write_basis(single_basis, folder / "basis_set")
    random = np.random.default_rng(4)
    grid = (single_basis.dwell_s, single_basis.centre_hz)
    image(voxel(single_basis, random)[None, None, None], *grid, folder / "scan.nii.gz")
    water = 500 * np.exp(-8 * np.pi * axes.time_axis(single_basis.points, single_basis.dwell_s))
    image(water.astype(complex)[None, None, None], *grid, folder / "water.nii.gz")
    voxels = np.array([[[voxel(single_basis, random, shift)] for shift in (-2.0, 2.0)] for _ in range(2)])
    image(voxels, *grid, folder / "voxels.nii.gz")
    venv.create(folder / "env", symlinks=True)
    run(folder, "-m", "fsl_mrs_dl.cli.main", "plugin", "enable")
    return folder


def run(folder, *words, models="", check=True):
    """Run the environment's Python in the folder; the finished process."""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    path = os.pathsep.join([str(PACKAGE_FOLDER), os.environ.get("PYTHONPATH", ""), *packages])
    done = subprocess.run(
        [folder / "env" / "bin" / "python", *words], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": path, "FSL_MRS_DL_MODELS": str(models), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0 or not check, done.stderr
    return done


def fsl_mrs(data, output, *words, **options):
    """Run fsl_mrs on the spectrum."""
    command = f"-m fsl_mrs.scripts.fsl_mrs --data scan.nii.gz --basis basis_set --output {output} --internal_ref Cr"
    return run(data, *command.split(), *words, **options)


def test_everything_that_fsl_mrs_writes(data, single_model_folder):
    words = "--algo dl --h2o water.nii.gz --TE 30 --TR 2 --tissue_frac 0.4 0.5 0.1 --report --combine GABA NAA"
    exports = "--export_separate --export_baseline --export_no_baseline --metab_groups GABA"
    fsl_mrs(data, "all", *words.split(), *exports.split(), models=single_model_folder.parent)
    folder = data / "all"
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    columns = pd.read_csv(folder / "concentrations.csv", index_col=0, header=[0, 1]).columns
    assert list(columns) == [(k, s) for k in ("mean", "std") for s in ("raw", "internal", "molality", "molarity")]
    summary = pd.read_csv(folder / "summary.csv", index_col=0)
    assert list(summary.index) == ["Cr", "GABA", "GABA+NAA", "NAA"]
    assert summary.drop(columns=["SNR", "FWHM"]).notna().all(None)
    parameters = pd.read_csv(folder / "all_parameters.csv")
    assert len(parameters) == 3 + 3 * 2 + 2 + 2 * 3 and list(parameters["parameter"][:3]) == NAMES
    options = json.loads((folder / "options.txt").read_text().splitlines()[0])
    assert options["algo"] == "dl" and options["metab_groups"] == ["GABA"]
    report = (folder / "report.html").read_text()
    assert "neural network 'small'" in report and "arXiv:2602.20289" in report and "truncated Newton" not in report


def test_the_exported_parts_add_up_to_the_fit_that_the_host_rebuilds(data, single_model_folder):
    from fsl_mrs.utils import misc, mrs_io
    from fsl_mrs.utils.baseline import Baseline
    from fsl_mrs.utils.results import FitRes

    words = "--algo dl:small --export_separate --export_baseline --export_no_baseline"
    fsl_mrs(data, "parts", *words.split(), models=single_model_folder)

    def fid(name):
        return mrs_io.read_FID(str(data / "parts" / f"{name}.nii.gz"))[0, 0, 0, :]

    fit, baseline = fid("fit"), fid("fit_baseline")
    largest = np.abs(fit).max()
    np.testing.assert_allclose(baseline + fid("fit_no_baseline"), fit, rtol=0, atol=1e-6 * largest)
    separate = sum(fid(f"fit_{name}") for name in NAMES)
    np.testing.assert_allclose(separate - 2 * baseline, fit, rtol=0, atol=1e-6 * largest)
    mrs = mrs_io.read_FID(str(data / "scan.nii.gz")).mrs(basis=mrs_io.read_basis(str(data / "basis_set")))
    mrs.processForFitting()
    vector = pd.read_csv(data / "parts" / "all_parameters.csv")["mean"].to_numpy()
    groups = misc.parse_metab_groups(mrs, 0)
    rebuilt = FitRes(mrs, vector, "voigt", "Newton", groups, Baseline(mrs, (0.2, 4.2), "poly, 2", None), (0.2, 4.2))
    np.testing.assert_allclose(rebuilt.pred / mrs.scaling["FID"], fit, rtol=0, atol=1e-6 * largest)


def test_newton_is_the_same_with_and_without_the_plugin(data):
    fsl_mrs(data, "with")
    run(data, "-m", "fsl_mrs_dl.cli.main", "plugin", "disable")
    fsl_mrs(data, "without")
    refused = fsl_mrs(data, "refused", "--algo", "dl", check=False)
    run(data, "-m", "fsl_mrs_dl.cli.main", "plugin", "enable")
    for name in ("summary.csv", "concentrations.csv", "all_parameters.csv", "qc.csv"):
        assert (data / "with" / name).read_bytes() == (data / "without" / name).read_bytes()
    assert refused.returncode == 1 and "Unknown optimisation method." in refused.stderr
    unknown = fsl_mrs(data, "unknown", "--algo", "nonsense", check=False)
    assert unknown.returncode == 1 and "Unknown optimisation method." in unknown.stderr


def test_no_model_for_the_basis_names_the_command_that_trains_one(data, tmp_path):
    done = fsl_mrs(data, "untrained", "--algo", "dl", models=tmp_path, check=False)
    assert done.returncode == 1 and "fsl_mrs_dl train --basis BASIS --output MODEL" in done.stderr


@pytest.mark.slow
def test_maps_of_workers_and_threads_are_those_of_one_process(data, single_model_folder):
    import nibabel

    command = "-m fsl_mrs.scripts.fsl_mrsi --data voxels.nii.gz --basis basis_set --internal_ref Cr --algo dl".split()
    for name, parallel in (("off", "--parallel off"), ("two", "--parallel-workers 2"), ("one", "--parallel-workers 1")):
        run(data, *command, "--output", f"maps_{name}", *parallel.split(), models=single_model_folder.parent)
    maps = sorted((data / "maps_off").rglob("*.nii.gz"))
    assert len(maps) > 15
    for path in maps:
        expected = np.asanyarray(nibabel.load(path).dataobj)
        for other in ("maps_two", "maps_one"):
            found = np.asanyarray(nibabel.load(data / other / path.relative_to(data / "maps_off")).dataobj)
            np.testing.assert_array_equal(found, expected, err_msg=str(path))


@pytest.mark.slow
def test_maps_of_a_mask_are_those_of_fsl_mrsi(data, single_model_folder):
    import nibabel

    whole = nibabel.load(data / "voxels.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.ones(whole.shape[:3], np.int16), whole.affine), data / "all.nii.gz")
    words = "--data voxels.nii.gz --mask all.nii.gz --basis basis_set --internal_ref Cr".split()
    host = "-m fsl_mrs.scripts.fsl_mrsi --algo dl --parallel off --output by_voxel".split()
    run(data, *host, *words, models=single_model_folder.parent)
    ours = ["-m", "fsl_mrs_dl.cli.main", "--model", str(single_model_folder), "--output", "by_mask"]
    run(data, *ours, *words)
    compared = 0
    # fsl_mrsi's folder has no place for the trust flag.
    only_ours = set((data / "by_mask/qc").glob("trust_*.nii.gz"))
    assert len(only_ours) == 2
    for path in sorted(set((data / "by_mask").rglob("*.nii.gz")) - only_ours):
        other = data / "by_voxel" / path.relative_to(data / "by_mask")
        found, expected = (np.asanyarray(nibabel.load(one).dataobj) for one in (path, other))
        scale = np.abs(expected).max() or 1
        np.testing.assert_allclose(found / scale, expected / scale, atol=2e-5, err_msg=str(path))
        compared += 1
    assert compared > 15
