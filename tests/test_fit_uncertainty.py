"""Error bars on their way from a prediction to tables, report and group table."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from fsl_mrs_dl.basis.basis_set import write_basis
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.evaluate.tables import simulated_table
from fsl_mrs_dl.fit.estimate_notes import SHRUNK
from fsl_mrs_dl.fit.fsl_tables import percent_sd
from fsl_mrs_dl.fit.group import write_group
from fsl_mrs_dl.fit.physics import with_model_errors
from fsl_mrs_dl.fit.predict import BatchPredictor, predict
from fsl_mrs_dl.fit.report import write_report
from fsl_mrs_dl.fit.result import UNCERTAINTY_HEADINGS, ModelRecord, make_result
from fsl_mrs_dl.fit.scan import Scan
from fsl_mrs_dl.fit.trust import Trust
from fsl_mrs_dl.model.calibration import CELLS, CLASSES, SOURCE_SHOWN, Calibration, Intervals
from fsl_mrs_dl.model.checkpoint import save_model
from fsl_mrs_dl.model.prior import Prior
from fsl_mrs_dl.model.refine import Refiner
from fsl_mrs_dl.model.unshrink import GRID, SURE, Correction

from .fit_examples import MODEL, NAMES, example_basis, example_prediction, example_scan
from .test_cli_fit import write_scan
from .test_fit_quantify import fids_of

CORRELATION = np.eye(4)
CORRELATION[2, 3] = CORRELATION[3, 2] = -0.5
SPREAD = np.log([0.01, 0.02, 0.03, 0.04])


def calibration(known=(True,) * 4):
    """Half-widths of 1 and 2 expected errors, for the metabolites that are known."""
    rows = [[(width,) * (CELLS * CLASSES) if one else None for one in known] for width in (1.0, 1.0, 2.0, 2.0)]
    limits = tuple((-4.0, -3.0) if one else None for one in known)
    found = Intervals(limits, *map(tuple, rows), tuple(map(tuple, CORRELATION.tolist())))
    return Calibration(NAMES, found, 10, "a toy")


@pytest.fixture(scope="module")
def plain():
    """Result without error bars."""
    basis, prediction = example_basis(), example_prediction()
    return make_result(example_scan(basis, prediction, noise=0.05), basis, prediction, MODEL, combine=[("GABA", "Glu")])


def with_errors(result, known=(True,) * 4):
    """The result with error bars."""
    found = calibration(known).intervals.around(result.prediction.concentrations, SPREAD)
    return dataclasses.replace(result, prediction=dataclasses.replace(result.prediction, uncertainty=found))


def table_of(path):
    """Rows of a CSV file."""
    with path.open(encoding="utf-8") as file:
        return list(csv.reader(file))


def test_prediction_and_concentrations_have_intervals(plain):
    assert plain.prediction.sd is None and plain.prediction.interval68 is None and plain.prediction.interval95 is None
    result = with_errors(plain)
    np.testing.assert_allclose(result.prediction.sd, [0.01, 0.02, 0.03, 0.04])
    np.testing.assert_allclose(result.prediction.interval68[2], [0.22, 0.28])
    np.testing.assert_allclose(result.prediction.interval95[0], [0.98, 1.0])
    row = result.concentrations.loc["GABA"]
    np.testing.assert_allclose(row[list(UNCERTAINTY_HEADINGS)], [0.03, 0.22, 0.28, 0.19, 0.31])
    assert not set(UNCERTAINTY_HEADINGS) & set(plain.concentrations.columns)


def test_tables_hold_standard_deviations_by_their_name(plain, tmp_path):
    result = with_errors(plain)
    result.save(tmp_path / "out")
    joint = table_of(tmp_path / "out" / "joint_concentrations.csv")
    assert joint[0][-5:] == list(UNCERTAINTY_HEADINGS)
    summary = table_of(tmp_path / "out" / "off" / "summary.csv")
    assert summary[0] == ["Metab", "/Cr", "/Cr SD", "%SD", "SNR", "FWHM", "%CRLB"]
    rows = {row[0]: row for row in summary[1:]}
    assert float(rows["GABA"][3]) == pytest.approx(3 / 0.25) and float(rows["NAA"][3]) == pytest.approx(1)
    # Errors that go against each other: sqrt(0.03² + 0.04² - 0.03 · 0.04) of 0.25 + 0.8.
    assert float(rows["GABA+Glu"][3]) == pytest.approx(100 * np.sqrt(0.0013) / 1.05)
    bounds = percent_sd(plain.fits["off"].concentrations, plain.fits["off"].sds[:4])
    assert float(rows["Cr"][6]) == pytest.approx(bounds[0])
    parameters = {row[0]: row for row in table_of(tmp_path / "out" / "off" / "all_parameters.csv")}
    np.testing.assert_allclose(float(parameters["Cr"][2]) / float(parameters["Cr"][1]), 0.02 / 0.6)
    plain.save(tmp_path / "plain")
    assert table_of(tmp_path / "plain" / "off" / "summary.csv")[0][3:] == ["%CRLB", "SNR", "FWHM"]


def test_unknown_errors_stay_bounds(plain, tmp_path):
    result = with_errors(plain, (True, False, True, True))
    fit, bound = result.contents["off"].fit, plain.fits["off"]
    cr = fit.names.index("Cr")
    assert fit.sds[cr] == bound.sds[cr] and np.isfinite(fit.covariance).all()
    result.save(tmp_path / "out", report=True)
    assert "not known" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    found = with_model_errors(np.ones((2, 2)), np.array([[4.0, np.nan], [np.nan, np.nan]]))
    np.testing.assert_array_equal(found, [[4, 0], [0, 1]])


def test_the_report_shows_intervals_or_says_that_there_are_none(plain, tmp_path):
    with_errors(plain).save(tmp_path / "with", report=True)
    plain.save(tmp_path / "without", report=True)
    page, bare = ((tmp_path / name / "report.html").read_text(encoding="utf-8") for name in ("with", "without"))
    for text in ("68 % interval", "95 % interval", "0.220 – 0.280", "0.190 – 0.310", "conformal"):
        assert text in page and text not in bare
    assert "no calibration" in bare and "no calibration" not in page


def test_the_report_says_where_error_bars_are_of_other_estimates(plain, tmp_path):
    for made, used in ((0, 0), (2, 2), (0, 2)):
        model = dataclasses.replace(plain.model, refine=used, bars_refine=made)
        write_report(tmp_path / "report.html", dataclasses.replace(with_errors(plain), model=model))
        told = f"made with --refine {made}, these values with --refine {used}, so they may not hold"
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert (told in page) == ("so they may not hold" in page) == (made != used)


def test_the_report_says_where_error_bars_come_from_as_text_and_in_short(tiny_model, plain, tmp_path):
    assert ModelRecord.of(dataclasses.replace(tiny_model, calibration=None)).error_bars == ""
    pages = []
    for source in ("512 bases of weak/pool.h5", "<script>alert(1)</script> & more", "base" * 10_000):
        found = dataclasses.replace(tiny_model, calibration=dataclasses.replace(calibration(), source=source))
        result = dataclasses.replace(with_errors(plain), model=ModelRecord.of(found))
        write_report(tmp_path / "report.html", result)
        pages.append((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "made on 10 simulated scans (512 bases of weak/pool.h5)." in pages[0]
    assert "<script" not in pages[1] and "(&lt;script&gt;alert(1)&lt;/script&gt; &amp; more)." in pages[1]
    assert "base" * (SOURCE_SHOWN // 4) + "…)." in pages[2] and "base" * (SOURCE_SHOWN // 4 + 1) not in pages[2]


def test_the_group_table_has_the_same_columns_with_and_without(plain, tmp_path):
    write_group(tmp_path / "group.csv", [with_errors(plain), plain], ["a", "b"])
    head, *rows = table_of(tmp_path / "group.csv")
    start = head.index("sd")
    assert head[start : start + 5] == list(UNCERTAINTY_HEADINGS)
    found = {(row[0], row[2]): row[start : start + 5] for row in rows}
    np.testing.assert_allclose(list(map(float, found["a", "GABA"])), [0.03, 0.22, 0.28, 0.19, 0.31])
    assert found["b", "GABA"] == [""] * 5


def test_many_scans_get_the_error_bars_of_one(tiny_model, tiny_basis):
    t = np.arange(2048) * 5e-4
    contents = np.array([[0.5, 0.3, 1.0], [1.0, 0.2, 0.4], [0.6, 0.6, 0.8]])
    fids = np.einsum("sk,ckn->scn", contents, tiny_basis.fids) * np.exp(-np.pi * 4 * t)
    scans = [Scan(one, tiny_basis.conditions, 5e-4, tiny_basis.centre_hz) for one in fids]
    together, _ = BatchPredictor(tiny_model, scans[0], tiny_basis)(fids)
    for row, scan in enumerate(scans):
        alone = predict(tiny_model, scan, tiny_basis)
        assert (alone.sd > 0).all() and np.isfinite(alone.interval95).all()
        for name in ("sd", "interval68", "interval95", "covariance"):
            one, many = (getattr(found, name) for found in (alone.uncertainty, together.uncertainty.take(row)))
            np.testing.assert_allclose(many, one, rtol=0.02, atol=1e-4)
    bare = dataclasses.replace(tiny_model, calibration=None)
    assert predict(bare, scans[0], tiny_basis).uncertainty is None


def halved(model):
    """The model with a correction for shrinkage that halves every estimate but the largest."""
    knots = tuple(np.linspace(-9.0, 1.0, len(SURE)).tolist())
    half = tuple((value / 2,) * len(SURE) for value in GRID.tolist())
    known = model.calibration
    changed = dataclasses.replace(known, correction=Correction((knots,) * 3, (half,) * 3), corrected=known.intervals)
    return dataclasses.replace(model, calibration=changed)


def test_shrunk_estimates_of_several_scans_are_told_apart(tiny_model, tiny_basis, tmp_path, capsys):
    save_model(halved(tiny_model), tmp_path / "model")
    write_basis(tiny_basis, tmp_path / "basis")
    scans = [str(tmp_path / f"{name}.nii.gz") for name in "ab"]
    for path in scans:
        write_scan(path, fids_of(tiny_basis))
    words = ["--data", *scans, "--model", str(tmp_path / "model"), "--basis", str(tmp_path / "basis")]
    for name, more in (("usual", []), ("shrunk", ["--shrunk"])):
        assert main([*words, "--output", str(tmp_path / name), *more]) == 0
        said = capsys.readouterr().out.splitlines()
        # Once for all scans, before their values.
        assert [line for line in said if "shrinkage" in line] == [SHRUNK] * bool(more)
        assert said[len(more)].startswith("a: ")
        options = json.loads((tmp_path / name / "b" / "off" / "options.txt").read_text().splitlines()[0])
        assert options["dl_corrected"] is not bool(more) and options["dl_refine"] == 0
        head, *rows = table_of(tmp_path / name / "group.csv")
        assert head[-3:] == ["refine", "corrected", "adapted"]
        assert {tuple(row[-3:]) for row in rows} == {("0", str(not more), "0")}


def test_estimates_are_corrected_for_shrinkage_unless_that_is_not_wanted(tiny_model, tiny_basis):
    model = halved(tiny_model)
    fids = np.einsum("k,ckn->cn", [0.5, 0.3, 1.0], tiny_basis.fids) * np.exp(-np.pi * 4 * np.arange(2048) * 5e-4)
    scan = Scan(fids, tiny_basis.conditions, 5e-4, tiny_basis.centre_hz)
    before, after = predict(model.with_shrinkage(), scan, tiny_basis), predict(model, scan, tiny_basis)
    largest = before.concentrations == 1
    np.testing.assert_allclose(after.concentrations, np.where(largest, 1.0, before.concentrations / 2), atol=1e-4)
    assert SHRUNK in before.notes and SHRUNK not in after.notes
    assert (after.interval95[:, 0] <= after.concentrations).all()
    many, _ = BatchPredictor(model, scan, tiny_basis)(fids[None])
    np.testing.assert_allclose(many.concentrations[0], after.concentrations, atol=5e-3)


def test_errors_on_simulated_spectra_are_those_of_corrected_estimates(tiny_model, tiny_basis):
    model = halved(tiny_model)
    found = [simulated_table([one], [tiny_basis], 250, 3) for one in (model, model.with_shrinkage())]
    right, left = (table.iloc[0]["mean"] for table in found)
    assert right > 2 * left


def test_refined_estimates_are_corrected_only_by_what_was_learnt_of_such(tiny_model):
    model = halved(tiny_model)
    refined = dataclasses.replace(model, refiner=Refiner(Prior(((1.0, 0.0), (0.0, 1.0)), 1.0, 64, "a toy"), 3))
    assert model.corrected and not refined.corrected
    known = dataclasses.replace(refined.calibration, steps=3)
    assert dataclasses.replace(refined, calibration=known).corrected


@pytest.mark.parametrize(
    ("level", "words"), [("in range", None), ("caution", "may be too narrow"), ("out of range", "may be too narrow")]
)
def test_the_report_says_where_intervals_are_too_narrow(plain, tmp_path, level, words):
    judged = dataclasses.replace(with_errors(plain), trust=Trust(level, 3.0, ("the lines are wide",)))
    write_report(tmp_path / "report.html", judged)
    box = (tmp_path / "report.html").read_text(encoding="utf-8").split('id="trust"')[1].split("</div>")[0]
    assert ("too narrow" in box) == (words is not None) and (words or "in range") in box
