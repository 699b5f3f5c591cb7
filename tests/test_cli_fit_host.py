"""The options of the fit command that FSL-MRS serves, from raw files to millimolar."""

import argparse
import csv

import numpy as np
import pytest
from nifti_mrs.create_nmrs import gen_nifti_mrs

from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.cli import fit, fit_host
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.fit.align import align
from fsl_mrs_dl.fit.prediction import Prediction
from fsl_mrs_dl.fit.result import make_result

from .conftest import CENTRE_HZ
from .fit_examples import MODEL
from .raw_examples import CONTENTS, write_scans
from .test_cli_fit import write_scan
from .test_fit_quantify import fids_of


def options_of(*words):
    parser = argparse.ArgumentParser()
    fit.add_arguments(parser)
    return parser.parse_args(["--output", "out", *map(str, words)])


@pytest.mark.with_fsl_mrs
@pytest.mark.parametrize("order", ["off-on", "on-off"])
def test_from_raw_files_to_millimolar(tiny_basis, tmp_path, order):
    """Coils, drift, eddy currents and an outlier leave the ratio to the water as it was made: 300 for two protons."""
    pytest.importorskip("fsl_mrs.utils.preproc", reason="FSL-MRS is not importable")
    raw, h2o = write_scans(tmp_path, order)
    (tmp_path / "t.json").write_text('{"H2O_WM": 1, "H2O_GM": 1, "H2O_CSF": 1, "METAB": 1}')
    relaxation = ("--t1-values", tmp_path / "t.json", "--t2-values", tmp_path / "t.json")
    host = fit_host.HostSteps(options_of("--data", raw, "--h2o", h2o, "--TE", 68, "--TR", 2, *relaxation))
    scan, water = host.read(str(raw))
    _, shift_hz, phase_rad = align(scan, tiny_basis)
    prediction = Prediction(tiny_basis.names, CONTENTS / CONTENTS.max(), 6 / np.pi, 0.0, shift_hz, phase_rad)
    scaled = host.scale(make_result(scan, tiny_basis, prediction, MODEL), str(raw), water)
    found = scaled.concentrations["molarity"]
    planted = dict(zip(tiny_basis.names, CONTENTS * 2 * 55.51e3 / 300))
    np.testing.assert_allclose(found, [planted[name] for name in found.index], rtol=0.05)


@pytest.mark.with_fsl_mrs
def test_options_reach_the_steps(tmp_path):
    pytest.importorskip("fsl_mrs.utils.preproc", reason="FSL-MRS is not importable")
    raw, _ = write_scans(tmp_path, "off-on", transients=2, outliers=False)
    words = ("--noalign", "--noremoval", "--remove-water", "--truncate-fid", 2, "--edit_order", "off-on")
    scan, water = fit_host.HostSteps(options_of("--data", raw, *words)).read(str(raw))
    text = " ".join(scan.notes)
    assert "transients aligned" not in text and "outliers" not in text and water is None
    assert "HLSVD" in text and "2 points" in text and "as asked for" in text and scan.points == 1022


def test_water_scans_and_scans_go_in_pairs():
    with pytest.raises(ConfigError, match="2, not 1"):
        fit_host.HostSteps(options_of("--data", "a.nii.gz", "b.nii.gz", "--h2o", "w.nii.gz"))


def test_bad_options_are_one_line(tmp_path, capsys):
    for words, said in (
        (("--data", "a.nii.gz", "--TE", "35000000"), "--TE is in ms"),
        (("--data", "a.nii.gz", "--tissue_frac", "1", "2"), "--tissue_frac"),
        (("--data", "a.nii.gz", "--mask", "m.nii.gz", "--h2o", "w.nii.gz"), "fsl_mrsi"),
        (("--data", "a.nii.gz", "--mask", "m.nii.gz", "--noalign"), "--noalign would not be used"),
        (("--edit_on", "a.nii.gz", "--edit_off", "b.nii.gz", "--edit_order", "on-off"), "--edit_order is for --data"),
        (("--edit_on", "a.nii.gz", "--edit_off", "b.nii.gz", "--ecc", "w.nii.gz"), "--ecc would not be used"),
    ):
        assert main(["fit", *words, "--output", str(tmp_path / "out")]) == 2
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1 and said in error


def test_options_that_an_averaged_scan_does_not_need_are_named(place_of_scan):
    words = ("--data", place_of_scan, "--remove-water", "--align_ppm_dynamic", "0.2", "4.2", "--ecc", "w.nii.gz")
    scan, water = fit_host.HostSteps(options_of(*words)).read(place_of_scan)
    assert water is None
    assert scan.notes[-1].startswith("Warning: --align_ppm_dynamic, --remove-water, --ecc not used")
    plain, _ = fit_host.HostSteps(options_of("--data", place_of_scan)).read(place_of_scan)
    assert plain.notes == scan.notes[:-1]


@pytest.fixture
def place_of_scan(tiny_basis, tmp_path):
    """Path of a scan that is averaged already."""
    write_scan(tmp_path / "scan.nii.gz", fids_of(tiny_basis))
    return str(tmp_path / "scan.nii.gz")


@pytest.mark.with_fsl_mrs
def test_the_command_gives_millimolar(single_basis, single_model_folder, tmp_path, capsys):
    write_basis(single_basis, tmp_path / "basis")
    t = np.arange(single_basis.points) * single_basis.dwell_s
    fids = {"scan": fids_of(single_basis)[0], "water": 300 * np.exp(-6 * np.pi * t) + 0j}
    for name, fid in fids.items():
        gen_nifti_mrs(fid[None, None, None], 5e-4, CENTRE_HZ * 1e-6).save(tmp_path / f"{name}.nii.gz")
    paths = {"data": "scan.nii.gz", "h2o": "water.nii.gz", "basis": "basis", "output": "out"}
    words = [f"--{name}={tmp_path / path}" for name, path in paths.items()]
    assert main([*words, f"--model={single_model_folder}", "--TE", "30", "--TR", "2"]) == 0
    assert "in mM: Cr " in capsys.readouterr().out
    with (tmp_path / "out" / "group.csv").open() as file:
        assert all(0 < float(row["molarity"]) < 1e5 for row in csv.DictReader(file))
