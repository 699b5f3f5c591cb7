"""Raw scans through FSL-MRS's own preprocessing: known spectra come back, whatever the edit order."""

import builtins
import sys

import nibabel as nib
import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from fsl_mrs_dl import axes
from fsl_mrs_dl.errors import ConfigError, DataError
from fsl_mrs_dl.fslmrs.preprocess import PreprocessOptions, read_any_scan

from .raw_examples import DWELL_S, POINTS, clean_fids, raw_scan, write_raw, write_scans


@pytest.fixture
def host():
    return pytest.importorskip("fsl_mrs.utils.preproc.nifti_mrs_proc", reason="FSL-MRS is not importable")


def misfit(fids):
    """What is left of FIDs, per condition and relative to their noise, without the best scaled clean spectra.

    One amplitude, phase and shift for both conditions: the difference of the two must be right.
    """
    t, clean = axes.time_axis(POINTS, DWELL_S), clean_fids()

    def rest(shift_hz):
        model = clean * np.exp(2j * np.pi * shift_hz * t)
        return fids - model * np.vdot(model, fids) / np.vdot(model, model)

    best = minimize_scalar(lambda shift: np.linalg.norm(rest(shift)), bounds=(-5, 5), method="bounded").x
    return rest(best)[:, : POINTS // 4].real.std(-1) / fids[:, -200:].real.std()


@pytest.mark.with_fsl_mrs
@pytest.mark.parametrize("order", ["off-on", "on-off"])
def test_the_clean_spectra_come_back_in_both_orders(host, tmp_path, order):
    raw, h2o = write_scans(tmp_path, order)
    steps = []
    scan, water = read_any_scan(raw, h2o=h2o, progress=steps.append)
    assert scan.conditions == ("edit_off", "edit_on") and scan.fids.shape == (2, POINTS)
    assert (misfit(scan.fids) < (1.5, 2.5)).all()
    unaligned, _ = read_any_scan(raw, h2o=h2o, options=PreprocessOptions(align=False, unlike=False))
    assert (misfit(unaligned.fids) > 5).all()
    # The water keeps its ratio to the metabolites: 300 to what the clean FIDs start with.
    expected = 300 / np.abs(clean_fids()[0, :20]).max()
    assert np.abs(water.fids[0, 0]) / np.abs(scan.fids[0, :20]).max() == pytest.approx(expected, rel=0.03)
    text = " ".join(scan.notes)
    for words in ("4 coils", "--h2o", "8 transients aligned", "1 and 1 of 8", "eddy", "creatine", order):
        assert words in text
    assert ("exchanged" in text) == (order == "on-off") and len(steps) == 9


@pytest.mark.with_fsl_mrs
def test_same_numbers_as_the_command_of_fsl_mrs(host, tmp_path, monkeypatch):
    from fsl_mrs.scripts import fsl_mrs_preproc_edit

    raw, h2o = write_scans(tmp_path, "off-on", outliers=False)
    arguments = ["--data", str(raw), "--reference", str(h2o), "--output", str(tmp_path / "out"), "--remove-water"]
    monkeypatch.setattr(sys, "argv", ["fsl_mrs_preproc_edit", *arguments])
    fsl_mrs_preproc_edit.main()
    ours, water = read_any_scan(raw, h2o=h2o, options=PreprocessOptions(unlike=False, remove_water=True))
    saved = {
        name: np.conj(np.asarray(nib.load(tmp_path / "out" / f"{name}.nii.gz").dataobj)).ravel()
        for name in ("edit_0", "edit_1", "diff", "wref")
    }
    scale = np.abs(ours.fids).max()
    np.testing.assert_allclose(ours.fids, [saved["edit_0"], saved["edit_1"]], atol=1e-5 * scale)
    np.testing.assert_allclose((ours.fids[1] - ours.fids[0]) / 2, saved["diff"], atol=1e-5 * scale)
    np.testing.assert_allclose(water.fids[0], saved["wref"], rtol=1e-4, atol=1e-5 * np.abs(water.fids).max())


@pytest.mark.with_fsl_mrs
def test_header_or_option_decide_the_order(host, tmp_path):
    data, _ = raw_scan("on-off", coils=1, transients=4, outliers=False)
    header = {"EditCondition": ["ON", "OFF"]}
    path = write_raw(tmp_path / "raw.nii.gz", data[:, 0], ("DIM_DYN", "DIM_EDIT"), header)
    scan, _ = read_any_scan(path)
    near_naa = np.abs(axes.ppm_axis(POINTS, DWELL_S, scan.centre_hz) - 2.01) < 0.05
    naa = np.abs(axes.fid_to_spectrum(scan.fids))[:, near_naa]
    assert naa[0].max() > 5 * naa[1].max() and "EditCondition" in " ".join(scan.notes)
    forced, _ = read_any_scan(path, edit_order="off-on")
    assert any(note.startswith("Warning") for note in forced.notes)


@pytest.mark.with_fsl_mrs
def test_one_condition_and_a_mirrored_file(host, tmp_path):
    data, _ = raw_scan("off-on", transients=6, outliers=False)
    right = write_raw(tmp_path / "right.nii.gz", data[..., 0], ("DIM_COIL", "DIM_DYN"))
    mirrored = write_raw(tmp_path / "mirrored.nii.gz", data[..., 0].conj(), ("DIM_COIL", "DIM_DYN"))
    one, water = read_any_scan(right)
    other, _ = read_any_scan(mirrored)
    assert one.conditions == ("single",) and water is None and "mirrored" in " ".join(other.notes)
    np.testing.assert_allclose(other.fids, one.fids, rtol=1e-4, atol=1e-4 * np.abs(one.fids).max())


@pytest.mark.with_fsl_mrs
def test_a_water_that_does_not_fit_is_refused(host, tmp_path):
    raw, _ = write_scans(tmp_path, "off-on", transients=2, outliers=False)
    water = raw_scan("off-on")[1]
    fewer = write_raw(tmp_path / "fewer.nii.gz", water[:, :2], ("DIM_COIL", "DIM_DYN"))
    combined = write_raw(tmp_path / "combined.nii.gz", water[:, 0, 0], ())
    with pytest.raises(DataError, match="coil combination"):
        read_any_scan(raw, h2o=fewer)
    with pytest.raises(DataError, match="coils are not combined"):
        read_any_scan(raw, h2o=combined)
    with pytest.raises(DataError, match="no file"):
        read_any_scan(raw, h2o=tmp_path / "none.nii.gz")


def test_without_fsl_mrs_transients_are_averaged_and_coils_refused(tmp_path, monkeypatch):
    plain = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("fsl_mrs."):
            raise ImportError("No module named 'fsl_mrs'")
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    data, _ = raw_scan("on-off", coils=1, transients=4, outliers=False)
    scan, water = read_any_scan(write_raw(tmp_path / "raw.nii.gz", data[:, 0], ("DIM_DYN", "DIM_EDIT")))
    np.testing.assert_allclose(scan.fids, data[:, 0].mean(1).T[::-1], rtol=1e-4, atol=1e-5)
    assert water is None and any("averaged only" in note for note in scan.notes)
    coils = write_raw(tmp_path / "coils.nii.gz", raw_scan("on-off")[0], ("DIM_COIL", "DIM_DYN", "DIM_EDIT"))
    with pytest.raises(DataError, match="conda install"):
        read_any_scan(coils)


def test_a_scan_that_is_not_raw_is_read_as_it_is(tmp_path):
    path = write_raw(tmp_path / "two.nii.gz", clean_fids().T, ("DIM_EDIT",))
    scan, water = read_any_scan(path)
    np.testing.assert_allclose(scan.fids, clean_fids(), rtol=1e-5, atol=1e-5)
    assert water is None and not any("preprocessing" in note for note in scan.notes)


@pytest.mark.parametrize("options", [{"align_ppm_edit": (4.2, 1.9)}, {"truncate_fid": 0}, {"align_window_dynamic": -1}])
def test_options_are_checked(options):
    with pytest.raises(ConfigError, match=next(iter(options)).split("_")[0]):
        PreprocessOptions(**options)
