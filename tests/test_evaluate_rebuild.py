"""Scans rebuilt from their contents: what was put in is found, and the tables say which ingredient it was."""

import dataclasses

import numpy as np
import pytest

from fsl_mrs_dl import axes
from fsl_mrs_dl.errors import DataError
from fsl_mrs_dl.evaluate.cases import Case
from fsl_mrs_dl.evaluate.known_model import KnownModel
from fsl_mrs_dl.evaluate.known_terms import multiplets
from fsl_mrs_dl.evaluate.methods import Method
from fsl_mrs_dl.evaluate.rebuild import PLAIN, STEPS, contents_of, explain, rebuild, rebuild_all, rebuilt_scan
from fsl_mrs_dl.evaluate.sim_to_real import MEASURED, difference_table, facts_table, gap_table, model_table
from fsl_mrs_dl.fit.scan import Scan

TRUTH = {"Cr": 8.0, "GABA": 3.0, "NAA": 12.0}
NOISE = 0.2


def case_of(
    basis, name="a", series="s", lorentz_hz=3.0, shift_hz=0.0, phase_rad=0.0, gain_on=1.0, baseline=0.0, seed=0
):
    """Case of TRUTH with lines of lorentz_hz and what the arguments say."""
    random = np.random.default_rng(seed)
    t = axes.time_axis(basis.points, basis.dwell_s)
    contents = np.array([TRUTH[metabolite] for metabolite in basis.names])
    fids = np.einsum("m,cmp->cp", contents, basis.fids)
    fids = fids * np.exp(-np.pi * (lorentz_hz - basis.linewidth_hz) * t + 2j * np.pi * shift_hz * t + 1j * phase_rad)
    if len(fids) == 2:
        fids[1] *= gain_on
    fids += baseline * np.exp(-((t / 0.004) ** 2) + 2j * np.pi * axes.ppm_to_hz(2.5, basis.centre_hz) * t)
    fids += NOISE * (random.normal(size=fids.shape) + 1j * random.normal(size=fids.shape))
    return Case(name, series, Scan(fids, basis.conditions, basis.dwell_s, basis.centre_hz, name=name), TRUTH)


def explained(table, acquisition="off", series="all"):
    """{step: what it explains} of a gap table."""
    part = table[(table["acquisition"] == acquisition) & (table["series"] == series)]
    return dict(zip(part["step"], part["explained"]))


def test_what_a_scan_has_is_found(tiny_basis):
    rebuilt = rebuild(case_of(tiny_basis, lorentz_hz=4.0, shift_hz=2.5, phase_rad=0.3), tiny_basis)
    assert rebuilt.linewidth_hz == pytest.approx(4, abs=0.05)
    assert rebuilt.shift_hz == pytest.approx(2.5, abs=0.02)
    assert rebuilt.phase_rad == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(rebuilt.sigma, NOISE, rtol=0.1)
    assert set(rebuilt.data) == {"off", "on", "diff"}
    assert rebuilt.noise["diff"] == pytest.approx(np.hypot(*rebuilt.sigma))
    last = difference_table([rebuilt])
    last = last[(last["step"] == "linewidth") & (last["representation"] == "real")]
    np.testing.assert_allclose(last["rms"], 1, atol=0.15)
    np.testing.assert_allclose(last["outside"], 0.046, atol=0.03)
    facts = facts_table([rebuilt]).iloc[0]
    assert facts["snr"] == pytest.approx(np.abs(rebuilt.data["off"]).max() / rebuilt.sigma[0])


@pytest.mark.parametrize(
    "changes, ingredient",
    [
        ({"shift_hz": 5.0}, "shift"),
        ({"phase_rad": 0.8}, "phase"),
        ({"lorentz_hz": 9.0}, "linewidth"),
        ({"baseline": 20.0}, "baseline"),
        ({"gain_on": 0.7}, "basis"),
    ],
)
def test_the_ingredient_that_was_put_in_explains_the_gap(tiny_basis, changes, ingredient):
    rebuilt = [rebuild(case_of(tiny_basis, **({"lorentz_hz": 2.0} | changes)), tiny_basis)]
    acquisition = "diff" if ingredient == "basis" else "off"
    table = gap_table(rebuilt)
    found = explained(table, acquisition)
    # A small shift of narrow lines imitates some of a phase.
    others = STEPS[2:] if ingredient == "phase" else STEPS[1:]
    assert max(others, key=found.get) == ingredient
    last = table[(table["step"] == STEPS[-1]) & (table["acquisition"] == acquisition)].iloc[0]
    assert last["residual"] == pytest.approx(last["noise"], rel=0.35)


def test_multiplets_sum_to_the_basis_set(tiny_basis):
    ppm = axes.ppm_axis(tiny_basis.points, tiny_basis.dwell_s, tiny_basis.centre_hz)
    parts, owner = multiplets(tiny_basis.fids, ppm, slice(*np.searchsorted(ppm, (1.0, 4.5))))
    assert owner.tolist() == [0, 0, 1, 1, 1, 2, 2]
    for metabolite in range(3):
        np.testing.assert_allclose(parts[:, owner == metabolite].sum(1), tiny_basis.fids[:, metabolite], atol=1e-9)


def test_slopes_are_those_of_differences(tiny_basis):
    model = KnownModel(case_of(tiny_basis).scan, tiny_basis)
    contents = contents_of(TRUTH, tiny_basis, "a")
    theta = model.start(contents) + 0.01 * np.random.default_rng(0).normal(size=model.terms.start.size)
    found = model._slopes(model._signals(contents, theta), np.arange(theta.size))
    for index in range(theta.size):
        step = np.zeros_like(theta)
        step[index] = 1e-5
        ends = [axes.spectrum_points(model.fids(contents, theta + sign * step), model.band) for sign in (1, -1)]
        expected = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(found[index], expected, atol=1e-5 * np.abs(expected).max() + 1e-6)


def test_a_scan_of_one_spectrum_and_another_grid(single_basis):
    wide = single_basis.resample(2.5e-4, 4096)
    rebuilt = rebuild(case_of(wide, lorentz_hz=5.0), single_basis)
    assert list(rebuilt.data) == ["single"] and rebuilt.linewidth_hz == pytest.approx(5, abs=0.1)
    assert gap_table([rebuilt])["residual"].iloc[-1] == pytest.approx(gap_table([rebuilt])["noise"].iloc[-1], rel=0.4)


def test_estimates_explain_a_scan(tiny_basis):
    case = case_of(tiny_basis, shift_hz=1.0, phase_rad=0.5)
    rests = []
    for values in (TRUTH, TRUTH | {"Cr": 4.0}):
        ppm, data, model, baseline = explain(case.scan, tiny_basis, values)
        assert ppm.shape == data["diff"].shape == model["off"].shape == baseline["on"].shape
        rests.append(np.linalg.norm(data["off"] - model["off"]))
    assert rests[1] > 5 * rests[0]
    assert data["off"].real.max() > 2 * -data["off"].real.min()


def test_methods_on_rebuilt_spectra(tiny_basis):
    truth = Method("truth", ("both",), tuple(TRUTH), lambda scan: {"both": TRUTH}, "1")
    off = Method("off", ("off",), tuple(TRUTH), lambda scan: {"off": TRUTH | {"Cr": 11.0}}, "1")

    def fail(scan):
        raise DataError("never")

    broken = Method("broken", ("off", "diff"), tuple(TRUTH), fail, "1")
    cases = [case_of(tiny_basis, "a", "x"), case_of(tiny_basis, "b", "y", seed=1)]
    rebuilt, refused = rebuild_all(cases, tiny_basis)
    assert not refused
    table = model_table(rebuilt, cases, [truth, off, broken], 1)
    assert set(table["label"]) == {"truth, both", "off, edit-off"} and set(table["step"]) == {*STEPS, MEASURED}
    errors = table.set_index(["series", "label", "step"])["mae"]
    assert errors["x", "truth, both", "basis"] == 0
    assert errors["all", "off, edit-off", PLAIN] == pytest.approx(0.25 / 3)
    one, two = (rebuilt_scan(rebuilt[0], "linewidth", seed) for seed in (3, 3))
    np.testing.assert_array_equal(one.fids, two.fids)
    assert np.linalg.norm(one.fids - cases[0].scan.fids) < 0.1 * np.linalg.norm(one.fids)


def test_scans_that_cannot_be_compared_are_named(tiny_basis, single_basis):
    good = case_of(tiny_basis)
    other = dataclasses.replace(good, id="foreign", truth={"Ins": 1.0})
    one = dataclasses.replace(case_of(single_basis), id="one")
    silent = dataclasses.replace(good, id="silent")
    t = axes.time_axis(2048, 5e-4)
    fids = np.exp(-60 * t + 2j * np.pi * 1e-9 * t)[None].repeat(2, 0)
    fids[:, 1:] = 0
    silent = dataclasses.replace(silent, scan=dataclasses.replace(good.scan, fids=fids))
    done, refused = rebuild_all([good, other, one, silent], tiny_basis)
    assert [rebuilt.id for rebuilt in done] == ["a"] and set(refused) == {"foreign", "one", "silent"}
    assert "holds none of" in refused["foreign"] and "conditions" not in refused["one"]
    assert gap_table([]).empty and difference_table([]).empty
