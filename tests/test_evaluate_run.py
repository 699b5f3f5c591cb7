"""The run of a study: what failures, missing numbers and interruptions leave in its table."""

import dataclasses
import json

import numpy as np
import pytest

from fsl_mrs_dl.errors import ConfigError, OutputError
from fsl_mrs_dl.evaluate.cases import Case
from fsl_mrs_dl.evaluate.methods import Method
from fsl_mrs_dl.evaluate.run import COLUMNS, run_study
from fsl_mrs_dl.fit.scan import Scan

NAMES = ("Cr", "GABA", "NAA")


def case(number):
    """A Case whose scan knows its number by its first point."""
    fids = np.full((2, 64), number + 1.0)
    truth = {"Cr": 5.0, "NAA": 10.0, "Water": 55.0}
    scan = Scan(fids, ("edit_off", "edit_on"), 5e-4, 123e6)
    return Case(f"c{number}", "even" if number % 2 == 0 else "odd", scan, truth)


CASES = [case(number) for number in range(4)]


@dataclasses.dataclass
class Fit:
    """Estimates that follow from the scan's number, with planted trouble; counts its calls."""

    fails: tuple = ()
    error: type = RuntimeError
    nan: tuple = ()
    calls: list = dataclasses.field(default_factory=list)

    def __call__(self, scan):
        number = int(scan.fids[0, 0].real) - 1
        self.calls.append(number)
        if number in self.fails:
            raise self.error(f"no lines in\nscan {number}")
        off = {"Cr": 1.0 + number, "GABA": np.nan if number in self.nan else 0.5, "NAA": np.float64(2.0)}
        return {"off": off, "diff": ArithmeticError("flat") if number in self.nan else dict(off, Cr=np.inf)}


def method(fit, name="planted", version="1", spectra=("off", "diff")):
    """Method of a Fit."""
    return Method(name, spectra, NAMES, fit, version)


def test_the_table(tmp_path):
    table = run_study(CASES, [method(Fit()), method(Fit(), "other", spectra=("off",))], tmp_path, progress=False)
    assert list(table.columns) == list(COLUMNS)
    # No row for a metabolite without a truth, nor for one that no method estimates.
    assert len(table) == 4 * 2 * (2 + 1) and set(table["metabolite"]) == {"Cr", "NAA"}
    assert list(table["method"].unique()) == ["planted", "other"]
    assert list(table["id"].unique()) == [c.id for c in CASES]
    off = table[(table["spectrum"] == "off") & (table["method"] == "planted") & (table["metabolite"] == "Cr")]
    assert list(off["estimate"]) == [1, 2, 3, 4] and list(off["truth"]) == [5] * 4 and set(off["failure"]) == {""}
    assert list(off["series"]) == ["even", "odd", "even", "odd"]
    assert (table["seconds"] > 0).all() and (table["cpu_seconds"] >= 0).all()
    assert table.groupby(["method", "id"])["seconds"].nunique().max() == 1


def test_failures_are_counted_and_named(tmp_path):
    table = run_study(CASES, [method(Fit(fails=(1,), nan=(2,)))], tmp_path, progress=False).set_index("id")
    failed = table.loc["c1"]
    assert failed["estimate"].isna().all() and set(failed["failure"]) == {"RuntimeError: no lines in scan 1"}
    one_spectrum = table.loc["c2"].set_index("spectrum")
    assert set(one_spectrum.loc["diff", "failure"]) == {"ArithmeticError: flat"}
    assert set(one_spectrum.loc["off", "failure"]) == {""}
    infinite = table.loc["c0"].set_index(["spectrum", "metabolite"]).loc[("diff", "Cr")]
    assert np.isnan(infinite["estimate"]) and infinite["failure"] == "the estimate of Cr is not a finite number"


def test_nothing_found_and_nothing_said_are_failures(tmp_path):
    nothing = method(lambda scan: {"off": dict.fromkeys(NAMES, 0.0)})
    table = run_study(CASES[:1], [nothing], tmp_path, progress=False)
    assert table.groupby("spectrum")["failure"].first().to_dict() == {
        "off": "no estimate is above 0", "diff": "DataError: there is no estimate",
    }  # fmt: skip


def test_an_error_of_the_program_ends_the_study(tmp_path):
    with pytest.raises(TypeError, match="no lines"):
        run_study(CASES, [method(Fit(fails=(2,), error=TypeError))], tmp_path, progress=False)


def test_an_interrupted_study_goes_on(tmp_path):
    first, second = Fit(), Fit(fails=(2,), error=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        run_study(CASES, [method(first), method(second, "two")], tmp_path, progress=False)
    # As after a kill in the middle of a line, and with a line that is none of an outcome.
    with (tmp_path / "two.jsonl").open("a") as file:
        file.write('{"key": "12", "estimates": {"off"')
    with (tmp_path / "planted.jsonl").open("a") as file:
        file.write('["nothing"]\n{"key": "1", "estimates": {"off": {"Cr": "1"}}, "failures": {}, "seconds": 1.0}\n')
    again, rest = Fit(), Fit()
    table = run_study(CASES, [method(again), method(rest, "two")], tmp_path, progress=False)
    assert (first.calls, again.calls, rest.calls) == ([0, 1, 2, 3], [], [2, 3])
    whole = run_study(CASES, [method(Fit()), method(Fit(), "two")], tmp_path / "new", progress=False)
    estimates = [column for column in COLUMNS if "seconds" not in column]
    assert table[estimates].equals(whole[estimates])
    third = Fit()
    assert run_study(CASES, [method(third, "two")], tmp_path, progress=False)["seconds"].notna().all()
    assert third.calls == []


def test_another_version_or_scan_is_computed_anew(tmp_path):
    run_study(CASES[:2], [method(Fit())], tmp_path, progress=False)
    fit = Fit()
    run_study(CASES[:3], [method(fit)], tmp_path, progress=False)
    run_study(CASES[:2], [method(fit, version="2")], tmp_path, progress=False)
    assert fit.calls == [2, 0, 1]
    assert len([json.loads(line) for line in (tmp_path / "planted.jsonl").read_text().split("\n") if line]) == 5


def test_workers_give_the_same(tmp_path):
    alone = run_study(CASES, [method(Fit(fails=(1,)))], tmp_path / "one", progress=False)
    shared = run_study(CASES, [method(Fit(fails=(1,)))], tmp_path / "two", workers=2, progress=False)
    estimates = [column for column in COLUMNS if "seconds" not in column]
    assert alone[estimates].equals(shared[estimates])


def test_refusals(tmp_path):
    with pytest.raises(ConfigError, match="two planted"):
        run_study(CASES, [method(Fit()), method(Fit())], tmp_path, progress=False)
    with pytest.raises(ConfigError, match="--workers"):
        run_study(CASES, [method(Fit())], tmp_path, workers=0, progress=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot keep estimates"):
        run_study(CASES, [method(Fit())], tmp_path / "file", progress=False)
