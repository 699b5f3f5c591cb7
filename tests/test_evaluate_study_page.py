"""The folder of a study: whole, the same twice, self-contained, with everything in its JSON file."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from fsl_mrs_dl.errors import DataError, OutputError
from fsl_mrs_dl.evaluate.methods import Method
from fsl_mrs_dl.evaluate.normalise import failures
from fsl_mrs_dl.evaluate.study_page import _best_and_worst, write_study

from .test_evaluate_rebuild import TRUTH, case_of
from .test_evaluate_statistics import biased, failing, long_table, noisy


@pytest.fixture(scope="module")
def frame():
    """Long table of three methods, one of which fails on a third of the scans."""
    methods = {("good", "both"): noisy, ("bad <b>", "off"): biased, ("failing", "diff"): failing}
    return long_table(methods, scans=16)


@pytest.fixture(scope="module")
def cases(tiny_basis):
    """Four scans with the ids of the table."""
    widths = (2.0, 3.0, 4.0, 5.0)
    return [case_of(tiny_basis, f"s{i:02d}", "AB"[i % 2], lorentz_hz=w, seed=i) for i, w in enumerate(widths)]


@pytest.fixture(scope="module")
def study(frame, cases, tiny_basis, tmp_path_factory):
    """Folder of a study of everything."""
    folder = tmp_path_factory.mktemp("study") / "out"
    method = Method("good", ("both",), tuple(TRUTH), lambda scan: {"both": TRUTH}, "1")
    simulated = {"good": {"GABA": 0.01}}
    write_study(frame, folder, cases, 3, simulated, tiny_basis, [method], notes=["newton is missing: none"])
    return folder


def test_the_page_holds_all_it_needs(study):
    page = (study / "study.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page) and "@import" not in page
    assert page.count("data:image/png;base64,") == len(list(study.glob("*.png")))
    assert "bad &lt;b&gt;, edit-off" in page and "<b>" not in page
    assert "newton is missing: none" in page and "no convergence" in page
    for picture in study.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 5000


def test_the_json_file_has_every_table(study, frame):
    values = json.loads((study / "study.json").read_text(encoding="utf-8"))
    assert values["seed"] == 3 and len(values["estimates"]) == len(frame)
    rows = [row for row in values["comparisons"] if row["normalisation"] == "sum" and row["series"] == "all"]
    found = {(row["first"], row["second"]): row for row in rows if row["metabolite"] == "GABA"}
    assert found["good, both", "bad <b>, edit-off"]["better"] == "first"
    dead = [row for row in values["failures"] if row["label"] == "failing, difference"]
    assert len(dead) == len(failures(frame)) == 6
    table = pd.read_csv(study / "study.csv")
    assert {"error_max", "error_sum", "error_Cr", "linewidth_hz", "snr", "shift_hz"} <= set(table.columns)
    widths = table.drop_duplicates("id").set_index("id")["linewidth_hz"]
    np.testing.assert_allclose(widths.iloc[:4], [2, 3, 4, 5], atol=0.1)
    assert len(values["gap"]) == 3 * 3 * 7 and values["simulated"] == {"good": {"GABA": 0.01}}


def test_the_same_input_gives_the_same_files(frame, tmp_path):
    frame = frame[frame["spectrum"] != "off"]
    write_study(frame, tmp_path / "one")
    write_study(frame, tmp_path / "two")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "two").iterdir()) and "gap.png" not in names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_a_folder_is_whole_or_not_at_all(frame, cases, tiny_basis, tmp_path):
    def stops(scans):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_study(frame, tmp_path / "out", cases, basis=tiny_basis, shown=stops)
    with pytest.raises(DataError):
        write_study(frame.drop(columns="truth"), tmp_path / "out")
    assert not list(tmp_path.iterdir())
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputError, match="exists"):
        write_study(frame, tmp_path / "out")


def test_one_method_one_scan_and_a_method_that_always_fails(frame, cases, single_basis, tmp_path):
    small = long_table({("m", "off"): noisy, ("dead", "off"): lambda truth, _: np.full(truth.shape, np.nan)}, scans=1)
    write_study(small, tmp_path / "small")
    alone = frame[frame["method"] == "good"]
    study = write_study(alone, tmp_path / "alone", cases[:1], basis=single_basis)
    assert study.comparisons["max"].empty and "could not be rebuilt" in study.notes[0]


def test_best_and_worst_in_turn():
    assert _best_and_worst(list("abcde")) == ["a", "e", "b", "d", "c"]
    assert _best_and_worst(list("abcd")) == ["a", "d", "b", "c"] and _best_and_worst([]) == []
    many = [f"{i:03d}" for i in range(100)]
    assert _best_and_worst(many)[:4] == ["000", "099", "001", "098"] and len(_best_and_worst(many)) == 24
