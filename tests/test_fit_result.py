import dataclasses
import json

import numpy as np
import pandas
import pytest
from .fit_examples import (
    AMPLITUDE,
    CENTRE_HZ,
    CONCENTRATIONS,
    LINEWIDTH_HZ,
    MODEL,
    NAMES,
    example_basis,
    example_prediction,
    example_scan,
    single_basis,
)

from fsl_mrs_dl.basis.basis_set import BasisSet
from fsl_mrs_dl.errors import BasisError, ConfigError, DataError, OutputError
from fsl_mrs_dl.fit import result as result_module
from fsl_mrs_dl.fit.group import write_group
from fsl_mrs_dl.fit.result import ModelRecord, make_result
from fsl_mrs_dl.fit.trust import Trust
from fsl_mrs_dl.model.prior import Prior
from fsl_mrs_dl.model.refine import Refiner
from fsl_mrs_dl.model.unshrink import Correction


def result_of(basis=None, noise=0.3, **options):
    basis = basis or example_basis()
    prediction = example_prediction(gauss_hz=0.0)
    return make_result(example_scan(basis, prediction, noise), basis, prediction, MODEL, **options)


def test_concentrations_are_given_in_three_ways():
    table = result_of(noise=0.0).concentrations
    expected = pandas.Series(CONCENTRATIONS, NAMES)[table.index]
    assert list(table.columns) == ["relative_to_largest", "relative_to_sum", "raw"]
    np.testing.assert_allclose(table["relative_to_largest"], expected)
    np.testing.assert_allclose(table["relative_to_sum"], expected / expected.sum())
    # The scan was made with this amplitude: raw is what multiplies the basis as it is.
    np.testing.assert_allclose(table["raw"], AMPLITUDE * expected, rtol=1e-9)


def test_what_the_spectra_do_not_show_has_no_value(tmp_path):
    edited = example_basis()
    fids = edited.spectrum("difference")
    fids[NAMES.index("Cr")] += 0.001 * edited.fids[0, NAMES.index("Cr")]
    basis = BasisSet(fids[None], ("single",), NAMES, edited.dwell_s, CENTRE_HZ, LINEWIDTH_HZ)
    assert set(basis.shown) == {"NAA", "GABA", "Glu"}
    prediction = dataclasses.replace(example_prediction(gauss_hz=0.0), concentrations=[1.0, 0.01, 0.25, 0.8])
    made = make_result(example_scan(basis, prediction, 0.3), basis, prediction, MODEL)
    table = made.concentrations
    assert table.loc["Cr"].isna().all() and table.drop("Cr").notna().all(axis=None)
    assert table["relative_to_sum"].sum() == pytest.approx(1) and table.loc["GABA", "relative_to_sum"] == 0.25 / 2.05
    folder = made.save(tmp_path / "out", report=True)
    read = pandas.read_csv(folder / "joint_concentrations.csv", index_col=0)
    pandas.testing.assert_frame_equal(read, table)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert ">nan" not in page and '<span style="width:0%"></span></span>–</td>' in page


def test_it_shows_itself_in_one_line():
    trust = Trust("caution", 2.31, ("there is a signal",))
    values = "Cr 0.600, GABA 0.250, Glu 0.800, NAA 1.000"
    assert repr(result_of()) == f"<Result of phantom by tiny: {values}>"
    assert repr(result_of(trust=trust)) == f"<Result of phantom by tiny: {values}; trust: caution (score 2.3)>"


@pytest.mark.parametrize(
    "refine, shrunk, words",
    [
        (0, False, ""),
        (1, False, "refined in 1 step (--refine 1)"),
        (0, True, "left shrunk (--shrunk)"),
        (2, True, "refined in 2 steps (--refine 2) and left shrunk (--shrunk)"),
    ],
)
def test_what_was_done_to_the_estimates_is_told_everywhere(tmp_path, refine, shrunk, words):
    corrected = not shrunk
    model = dataclasses.replace(MODEL, refine=refine, corrected=corrected, shrunk=shrunk)
    made = dataclasses.replace(result_of(), model=model)
    assert model.settings == words
    folder = made.save(tmp_path / "out", report=True)
    for key in ("off", "diff"):
        first, *text = (folder / key / "options.txt").read_text().splitlines()
        options = json.loads(first)
        assert options["dl_refine"] == refine and options["dl_corrected"] is corrected
        assert f"  {'dl_refine:':22}{refine}" in text and f"  {'dl_corrected:':22}{corrected}" in text
    line = f'<p class="warning" id="settings">Not the usual estimates: they were {words}.</p>'
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert (line in page) == bool(words) == ('id="settings"' in page)
    write_group(tmp_path / "group.csv", [made, result_of()])
    table = pandas.read_csv(tmp_path / "group.csv")
    assert list(table.columns[-3:]) == ["refine", "corrected", "adapted"] and not table["adapted"].any()
    assert list(table["refine"]) == [refine] * 4 + [0] * 4 and list(table["corrected"]) == [corrected] * 4 + [False] * 4


def test_the_record_of_a_model_holds_what_is_done_to_its_estimates(tiny_model):
    assert (ModelRecord.of(tiny_model).refine, ModelRecord.of(tiny_model).corrected) == (0, False)
    prior = Prior(((1.0, 0.0), (0.0, 1.0)), 1.0, 64, "a toy")
    correction = Correction((None,) * 3, (None,) * 3)
    calibration = dataclasses.replace(
        tiny_model.calibration, correction=correction, corrected=tiny_model.calibration.intervals, steps=3
    )
    other = dataclasses.replace(tiny_model, refiner=Refiner(prior, 3), calibration=calibration)
    kept, left = ModelRecord.of(other), ModelRecord.of(other.with_shrinkage())
    assert (kept.name, kept.refine, kept.corrected, kept.shrunk) == (tiny_model.name, 3, True, False)
    assert kept.bars_refine == 3 and ModelRecord.of(tiny_model).bars_refine == 0
    assert (left.corrected, left.shrunk) == (False, True)


def test_predicted_and_residual_are_in_the_scan_s_amplitude_and_order():
    noise = 0.3
    made = result_of(noise=noise)
    clean = result_of(noise=0.0)
    assert made.predicted.shape == made.scan.fids.shape
    np.testing.assert_allclose(made.predicted + made.residual, made.scan.fids)
    np.testing.assert_allclose(clean.predicted, clean.scan.fids, atol=1e-8 * np.abs(clean.scan.fids).max())
    assert made.residual.real.std() == pytest.approx(noise, rel=0.05)


def test_difference_is_on_less_off():
    made = result_of()
    np.testing.assert_array_equal(made.fits["diff"].data, made.scan.fids[1] - made.scan.fids[0])
    assert list(made.fits) == ["off", "on", "diff"]


def test_saved_folder_holds_the_table_and_a_folder_each(tmp_path):
    made = result_of()
    folder = made.save(tmp_path / "new" / "out", report=True)
    assert {path.name for path in folder.iterdir()} == {"joint_concentrations.csv", "report.html", "off", "diff"}
    table = pandas.read_csv(folder / "joint_concentrations.csv", index_col="metabolite")
    pandas.testing.assert_frame_equal(table, made.concentrations)


def test_one_spectrum_gets_one_folder(tmp_path):
    made = result_of(single_basis())
    folder = made.save(tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {"joint_concentrations.csv", "single"}
    assert made.predicted.shape == (1, 2048)


def test_summarise_finds_only_the_folders_of_one_spectrum(tmp_path):
    """fsl_mrs_summarise takes every folder with a concentrations.csv."""
    folder = result_of().save(tmp_path / "out")
    assert {path.parent.name for path in folder.rglob("concentrations.csv")} == {"off", "diff"}


def test_existing_folder_is_replaced_only_on_demand(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "older").write_text("")
    with pytest.raises(OutputError, match="exists"):
        result_of().save(tmp_path / "out")
    assert (tmp_path / "out" / "older").exists()
    result_of().save(tmp_path / "out", overwrite=True)
    assert not (tmp_path / "out" / "older").exists()


def test_failure_leaves_nothing(tmp_path, monkeypatch):
    def fail(folder, content):
        folder.mkdir()
        if folder.name == "diff":
            raise OSError("disk full")

    monkeypatch.setattr(result_module, "write_fsl_folder", fail)
    with pytest.raises(OutputError, match="disk full"):
        result_of().save(tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_reference_of_the_user_is_used_where_it_is_seen():
    made = result_of(internal_ref=("Cr",))
    assert [content.internal_ref for content in made.contents.values()] == [("Cr",), ("NAA",)]
    made = result_of(internal_ref=("GABA",))
    assert [content.internal_ref for content in made.contents.values()] == [("GABA",), ("GABA",)]


@pytest.mark.parametrize("options", [{"internal_ref": ("PCr",)}, {"combine": [("NAA", "NAAG")]}])
def test_unknown_metabolites_in_options_are_refused_at_once(options):
    with pytest.raises(ConfigError, match="PCr|NAAG"):
        result_of(**options)


def test_scan_and_basis_must_have_the_same_conditions():
    prediction = example_prediction()
    with pytest.raises(DataError, match="sequence"):
        make_result(example_scan(example_basis(), prediction), single_basis(), prediction, MODEL)


def test_basis_without_a_metabolite_is_refused():
    prediction = example_prediction()
    scan = example_scan(example_basis(), prediction)
    with pytest.raises(BasisError, match="GABA"):
        make_result(scan, example_basis().keep(("NAA", "Cr", "Glu")), prediction, MODEL)


def test_order_of_the_basis_does_not_matter():
    prediction = example_prediction()
    scan = example_scan(example_basis(), prediction, 0.3)
    one = make_result(scan, example_basis(), prediction, MODEL)
    other = make_result(scan, example_basis().keep(NAMES[::-1]), prediction, MODEL)
    pandas.testing.assert_frame_equal(one.concentrations, other.concentrations)
