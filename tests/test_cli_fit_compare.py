"""FSL-MRS's Newton fit beside the network's: known contents, tables and report, and what happens when it fails."""

import math
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from nifti_mrs.create_nmrs import gen_nifti_mrs

from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.evaluate.compare import compare
from fsl_mrs_dl.fit.result import make_result

from .conftest import CENTRE_HZ
from .fit_examples import CONCENTRATIONS, MODEL, NAMES, example_basis, example_prediction, example_scan, single_basis
from .test_cli_fit import place, run  # noqa: F401  (place is a fixture)
from .test_fit_quantify import CONTENTS, fids_of


@pytest.fixture(scope="module")
def result():
    """Result of an edited scan."""
    # With a shift of 4 Hz, Newton ends in another optimum of the difference of these narrow lines.
    basis, prediction = example_basis(), example_prediction(shift_hz=2.0)
    return make_result(example_scan(basis, prediction, 0.3), basis, prediction, MODEL)


def fixed(failing=()):
    """A fit that finds twice the number of letters of a metabolite, with bounds of 0.5; it fails on some calls."""
    calls = iter(range(9))

    def fit(scan, basis):
        if next(calls) in failing:
            raise RuntimeError("no\nfit")
        return {name: 2.0 * len(name) for name in basis.names}, dict.fromkeys(basis.names, 0.5)

    return fit


def test_values_are_relative_to_the_largest_of_edit_off(result):
    found = compare(result, fixed(), "other", "a fit")
    assert found.failures == {} and found.spectra == ["off", "diff"]
    wanted = {"NAA": (0.75, 0.0625), "Cr": (0.5, 0.0625), "GABA": (1, 0.0625), "Glu": (0.75, 0.0625)}
    assert found.values["off"] == wanted
    assert set(found.values["diff"]) == {"NAA", "GABA", "Glu"} and found.values["diff"]["NAA"] == (0.75, 0.0625)


def test_a_fit_that_fails_is_named_in_table_and_report(result, tmp_path):
    found = compare(result, fixed(failing=(1,)), "other", "a fit")
    assert found.failures == {"diff": "no fit"} and set(found.values) == {"off"}
    replace(result, comparison=found).save(tmp_path / "out", report=True)
    table = pd.read_csv(tmp_path / "out" / "compare_other.csv").set_index(["spectrum", "metabolite"])
    assert table.loc["off", "other"].notna().all() and table.loc["diff", "other"].isna().all()
    assert (table.loc["diff", "failure"] == "no fit").all() and table.loc["off", "failure"].isna().all()
    np.testing.assert_allclose(table.loc["off", "network"], [result.concentrations["relative_to_largest"][name]
                                                             for name in sorted(NAMES)])  # fmt: skip
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "Difference has no values: no fit" in page and ">Newton, edit-off<" in page


@pytest.mark.parametrize("value", [math.nan, 0.0])
def test_without_edit_off_there_is_nothing_to_refer_to(result, value):
    found = compare(result, lambda scan, basis: (dict.fromkeys(basis.names, value),) * 2, "other", "a fit")
    assert found.values == {} and set(found.failures) == {"off", "diff"} and "above 0" in found.failures["off"]


def test_one_spectrum_is_compared_as_single():
    basis, prediction = single_basis(), example_prediction()
    one = make_result(example_scan(basis, prediction, 0.3), basis, prediction, MODEL)
    assert set(compare(one, fixed(), "other", "a fit").values) == {"single"}
    assert compare(one, fixed(failing=(0,)), "other", "a fit").failures == {"single": "no fit"}


def test_what_an_only_spectrum_does_not_show_is_not_fitted():
    basis, prediction = single_basis(), example_prediction()
    scan, fids = example_scan(basis, prediction, 0.3), basis.fids.copy()
    fids[:, NAMES.index("Cr")] *= 1e-5
    faint = make_result(scan, replace(basis, fids=fids), prediction, MODEL)
    assert set(compare(faint, fixed(), "other", "a fit").values["single"]) == {"NAA", "GABA", "Glu"}


@pytest.mark.with_fsl_mrs
def test_newton_finds_known_contents_and_their_bounds(result):
    from fsl_mrs_dl.fslmrs.newton import NewtonFit

    found = compare(result, NewtonFit((0.2, 4.2)).with_bounds, "newton", "Newton")
    for spectrum, values in found.values.items():
        for name, (value, bound) in values.items():
            true = dict(zip(NAMES, CONCENTRATIONS))[name]
            assert abs(value - true) < 0.02 and 0 < bound < 0.1, (spectrum, name)


@pytest.mark.with_fsl_mrs
def test_several_scans_and_their_reports(place, tmp_path, capsys):  # noqa: F811
    scans = [str(place / "one.nii.gz"), str(place / "two.nii.gz")]
    words = ["--data", *scans, "--output", str(tmp_path / "all"), "--compare", "newton", "--report"]
    assert run(place, *words) == 0
    assert capsys.readouterr().out.count("newton, off: ") == 2
    for name in ("one", "two"):
        table = pd.read_csv(tmp_path / "all" / name / "compare_newton.csv").set_index(["spectrum", "metabolite"])
        np.testing.assert_allclose(table.loc["off", "newton"], CONTENTS, atol=0.03)
        page = (tmp_path / "all" / name / "report.html").read_text(encoding="utf-8")
        assert page.count("Newton, difference") == 1 and page.count("<svg") == 3


@pytest.mark.with_fsl_mrs
def test_a_model_of_one_spectrum(single_basis, single_model_folder, tmp_path):  # noqa: F811
    write_basis(single_basis, tmp_path / "basis")
    fid = fids_of(single_basis)[0]
    gen_nifti_mrs(fid[None, None, None], 5e-4, CENTRE_HZ * 1e-6).save(tmp_path / "scan.nii.gz")
    paths = {"data": "scan.nii.gz", "basis": "basis", "output": "out"}
    words = [f"--{name}={tmp_path / path}" for name, path in paths.items()]
    assert main([*words, f"--model={single_model_folder}", "--compare=newton", "--report"]) == 0
    table = pd.read_csv(tmp_path / "out" / "compare_newton.csv", index_col="metabolite")
    assert set(table["spectrum"]) == {"single"}
    np.testing.assert_allclose(table["newton"], CONTENTS, atol=0.03)
    assert "largest of the spectrum;" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_without_fsl_mrs_it_is_refused_in_one_line(place, tmp_path, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "fsl_mrs.utils.fitting", None)
    words = ["--data", str(place / "one.nii.gz"), "--output", str(tmp_path / "out"), "--compare", "newton"]
    assert run(place, *words) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "--compare newton needs FSL-MRS" in error and "conda install" in error
    assert not (tmp_path / "out").exists()


def test_imaging_is_refused(tmp_path, capsys):
    words = ["--data", "a.nii.gz", "--mask", "m.nii.gz", "--output", str(tmp_path / "out"), "--compare", "newton"]
    assert main(["fit", *words]) == 2
    assert "--compare is for single spectra" in capsys.readouterr().err
