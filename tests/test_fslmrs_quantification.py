"""Water referencing by FSL-MRS: planted millimolar come back; what is missing is said."""

import json
import sys
from dataclasses import replace

import numpy as np
import pandas
import pytest

from fsl_mrs_dl import axes
from fsl_mrs_dl.errors import ConfigError, DataError
from fsl_mrs_dl.fit.group import write_group
from fsl_mrs_dl.fit.result import make_result
from fsl_mrs_dl.fslmrs import quantification
from fsl_mrs_dl.fslmrs.quantification import (
    WaterOptions,
    read_fractions,
    read_relaxation,
    read_water,
    scale_by_water,
    timing,
    water_on_grid,
)

from .fit_examples import AMPLITUDE, CONCENTRATIONS, MODEL, NAMES, example_basis, example_prediction, example_scan
from .raw_examples import write_raw

SAME = {"H2O_WM": 0.5, "H2O_GM": 0.5, "H2O_CSF": 0.5, "METAB": 0.5}
"""One T1 (s) for everything; the same numbers serve as T2: relaxation then cancels."""

OPTIONS = WaterOptions(te=68.0, tr=2.0, t1_values=SAME, t2_values=SAME)
PURE_WATER_MM = 55.51e3
PLANTED_MM = dict(zip(NAMES, AMPLITUDE * CONCENTRATIONS))


@pytest.fixture
def host():
    return pytest.importorskip("fsl_mrs.utils.quantify", reason="FSL-MRS is not importable")


def water_fid(scan, amount=1.0):
    """(point,) FID of pure water: two protons a molecule, in units in which a proton of 1 mM has amplitude 1."""
    t = axes.time_axis(scan.points, scan.dwell_s)
    return amount * 2 * PURE_WATER_MM * np.exp(-np.pi * 6 * t + 0.4j)


def result_of(noise=0.0, **options):
    """Result of a phantom whose lines have an amplitude of 1 for each mM and proton."""
    basis, prediction = example_basis(), example_prediction(gauss_hz=0.0)
    return make_result(replace(example_scan(basis, prediction, noise), paths=()), basis, prediction, MODEL, **options)


@pytest.mark.with_fsl_mrs
def test_planted_millimolar_come_back_and_double_with_half_the_water(host):
    made = result_of(noise=0.1)
    scaled = scale_by_water(made, water_fid(made.scan), OPTIONS)
    found = scaled.concentrations["molarity"]
    np.testing.assert_allclose(found, [PLANTED_MM[name] for name in found.index], rtol=0.03)
    half = scale_by_water(made, water_fid(made.scan, 0.5), OPTIONS)
    np.testing.assert_allclose(half.concentrations["molarity"], 2 * found, rtol=1e-3)
    twice = scale_by_water(made, water_fid(made.scan), replace(OPTIONS, h2o_scale=2.0))
    np.testing.assert_allclose(twice.concentrations["molarity"], 2 * found, rtol=1e-6)


@pytest.mark.with_fsl_mrs
def test_relaxation_and_tissue_are_those_of_the_formula(host):
    """Near et al. 2021: molarity goes with the tissue's water, over the metabolite part of the voxel."""
    made = result_of()
    pure = scale_by_water(made, water_fid(made.scan), OPTIONS)
    fractions = {"WM": 0.5, "GM": 0.3, "CSF": 0.2}
    tissue = scale_by_water(made, water_fid(made.scan), replace(OPTIONS, tissue_frac=fractions))
    expected = (0.5 * 0.65 + 0.3 * 0.78 + 0.2 * 0.97) / 0.8
    np.testing.assert_allclose(tissue.water.molarity / pure.water.molarity, expected, rtol=1e-6)
    assert tissue.water.molality / pure.water.molality == pytest.approx(1 / 0.8)
    slower = {**SAME, "METAB": 0.25}
    decayed = scale_by_water(made, water_fid(made.scan), replace(OPTIONS, t2_values=slower))
    assert decayed.water.molarity / pure.water.molarity == pytest.approx(np.exp(0.068 / 0.25 - 0.068 / 0.5))


@pytest.mark.with_fsl_mrs
def test_the_files_have_the_columns_of_fsl_mrs(host, tmp_path):
    made = result_of(combine=(("NAA", "Glu"),))
    scaled = scale_by_water(made, water_fid(made.scan), OPTIONS, "w.nii.gz")
    folder = scaled.save(tmp_path / "out", report=True)
    for key in ("off", "diff"):
        table = pandas.read_csv(folder / key / "concentrations.csv", index_col=0, header=[0, 1])
        kinds = ["raw", "internal", "molality", "molarity"]
        assert list(table.columns) == [(head, kind) for head in ("mean", "std") for kind in kinds]
        summary = pandas.read_csv(folder / key / "summary.csv", index_col=0)
        assert list(summary.columns)[2:] == ["mMol/kg", "mMol/kg CRLB", "mM", "mM CRLB", "%CRLB", "SNR", "FWHM"]
        # The difference shows the same millimolar: data and basis are both on - off.
        for name in ("NAA", "GABA"):
            assert summary.loc[name, "mM"] == pytest.approx(PLANTED_MM[name], rel=0.03)
        assert summary.loc["NAA+Glu", "mM"] == pytest.approx(PLANTED_MM["NAA"] + PLANTED_MM["Glu"], rel=0.03)
        info = pandas.read_csv(folder / key / "quantification_info.csv", index_col=0)
        assert list(info.index) == ["GM", "WM", "CSF"] and info.loc["WM", "Water T2 (ms)"] == 500
        assert (folder / key / "h2o.nii.gz").is_file()
        options = json.loads((folder / key / "options.txt").read_text().splitlines()[0])
        assert (options["h2o"], options["TE"], options["TR"]) == ("w.nii.gz", 68.0, 2.0)
    joint = pandas.read_csv(folder / "joint_concentrations.csv", index_col=0)
    np.testing.assert_allclose(joint["molarity"], scaled.concentrations["molarity"])
    assert "Water reference" in (folder / "report.html").read_text()
    write_group(tmp_path / "group.csv", [scaled, made], ["a", "b"])
    group = pandas.read_csv(tmp_path / "group.csv")
    assert list(group.columns[-4:]) == ["molarity", "refine", "corrected", "adapted"]
    assert group["molarity"].notna().sum() == len(NAMES)
    # FSL-MRS's own file is read back as it reads it.
    assert read_relaxation(folder / "off" / "quantification_info.csv", "t2") == pytest.approx(SAME)


@pytest.mark.with_fsl_mrs
def test_same_factors_as_fsl_mrs_finds_for_its_own_fit(host):
    from fsl_mrs.utils.quantify import QuantificationInfo, quantifyWater

    from .fit_examples import host_mrs, host_result

    made = result_of(noise=0.1)
    fit = made.fits["off"]
    basis = made.basis.keep(fit.names).resample(fit.dwell_s, fit.data.size)
    mrs = host_mrs(fit.data, basis.fids[0], fit.names, fit.dwell_s)
    mrs.H2O = water_fid(made.scan)
    info = QuantificationInfo(0.068, 2.0, list(fit.names), made.scan.centre_hz / 1e6)
    molality, molarity, _ = quantifyWater(mrs, host_result(fit, mrs, runqc=False), info)
    ours = scale_by_water(made, water_fid(made.scan), WaterOptions(te=68.0, tr=2.0)).water.factors(fit)
    assert ours == pytest.approx({"molality": molality, "molarity": molarity}, rel=1e-6)


@pytest.mark.with_fsl_mrs
def test_missing_times_are_said_and_nothing_is_null(host, tmp_path):
    made = replace(result_of(), scan=replace(result_of().scan, echo_time_s=None))
    scaled = scale_by_water(made, water_fid(made.scan), WaterOptions())
    assert scaled.water is None
    note = scaled.scan.notes[-1]
    assert note.startswith("Warning: no absolute") and "--TE" in note and "--TR" in note and "echo time" in note
    folder = scaled.save(tmp_path / "out", report=True)
    assert "no absolute concentrations" in (folder / "report.html").read_text()
    assert "mM" not in (folder / "off" / "summary.csv").read_text()
    assert not (folder / "off" / "quantification_info.csv").exists()


@pytest.mark.with_fsl_mrs
def test_what_cannot_be_scaled_is_refused(host):
    made = result_of()
    water = water_fid(made.scan)
    with pytest.raises(ConfigError, match="Cho"):
        reference = {"wref_metabolite": ("Cho",), "ref_protons": 9, "ref_int_limits": (3.1, 3.3)}
        scale_by_water(made, water, replace(OPTIONS, **reference))
    with pytest.raises(DataError, match="water reference fails"):
        scale_by_water(made, 0 * water, OPTIONS)


def test_times_come_from_the_header_unless_options_say_otherwise(tmp_path):
    data = example_scan(example_basis(), example_prediction()).fids.T
    scan = example_scan(example_basis(), example_prediction())
    path = write_raw(tmp_path / "scan.nii.gz", data, ("DIM_EDIT",), EchoTime=0.068, RepetitionTime=1.8)
    scan = replace(scan, paths=(path,))
    assert timing(scan, WaterOptions()) == (0.068, 1.8, ())
    assert timing(scan, WaterOptions(te=30.0, tr=3.0))[:2] == (0.03, 3.0)
    path = write_raw(tmp_path / "odd.nii.gz", data, ("DIM_EDIT",), RepetitionTime=1800.0)
    _, tr_s, notes = timing(replace(scan, paths=(path,)), WaterOptions())
    assert tr_s is None and "1800 s" in notes[0] and "--TR" in notes[1]


@pytest.mark.parametrize(
    "options, word",
    [
        ({"te": 35_000_000.0}, "35e|3.5e"),
        ({"te": 0.068}, "ms"),
        ({"tr": 2000.0}, "--TR"),
        ({"h2o_scale": 0.0}, "h2o_scale"),
        ({"tissue_frac": {"WM": 0.5, "GM": 0.9, "CSF": 0.2}}, "add up"),
        ({"tissue_frac": {"WM": 1.0}}, "GM"),
        ({"t1_values": {"METAB": 1.3}}, "H2O_WM"),
        ({"t2_values": {**SAME, "METAB": 194.0}}, "194"),
        ({"wref_metabolite": ("NAA",)}, "together"),
        ({"ref_protons": 3}, "together"),
    ],
)
def test_options_are_checked(options, word):
    with pytest.raises(ConfigError, match=word):
        WaterOptions(**options)


def test_fractions_in_three_ways(tmp_path):
    expected = {"WM": 0.4, "GM": 0.5, "CSF": 0.1}
    assert read_fractions(["0.4", "0.5", "0.1"]) == expected
    (tmp_path / "f.json").write_text(json.dumps(expected))
    assert read_fractions([str(tmp_path / "f.json")]) == expected
    (tmp_path / "f.csv").write_text("Tissue,Tissue volume fractions\nGM,0.5\nWM,0.4\nCSF,0.1\n")
    assert read_fractions([str(tmp_path / "f.csv")]) == expected
    for words in (["0.4", "0.5"], ["a", "b", "c"], [str(tmp_path / "none.json")]):
        with pytest.raises(ConfigError, match="tissue_frac"):
            read_fractions(words)


def test_water_scans_are_averaged_and_checked(tmp_path):
    scan = example_scan(example_basis(), example_prediction())
    fid = water_fid(scan)
    path = write_raw(tmp_path / "w.nii.gz", np.stack([fid, 3 * fid], -1), ("DIM_DYN",))
    water, mean = read_water(path)
    np.testing.assert_allclose(water_on_grid(scan, water, mean), 2 * fid, rtol=1e-5)
    with pytest.raises(DataError, match="ends after"):
        water_on_grid(scan, water, mean[:500])
    with pytest.raises(DataError, match="MHz"):
        water_on_grid(scan, replace(water, centre_hz=297.2e6), mean)
    with pytest.raises(DataError, match="coils"):
        read_water(write_raw(tmp_path / "c.nii.gz", np.stack([fid, fid], -1), ("DIM_COIL",)))


def test_without_fsl_mrs_water_is_refused_in_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsl_mrs.utils.quantify", None)
    with pytest.raises(ConfigError, match="--h2o needs FSL-MRS.*conda install"):
        quantification.require_host()
