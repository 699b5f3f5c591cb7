import dataclasses
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from .fit_examples import CARD, MODEL, example_basis, example_prediction, example_scan

from fsl_mrs_dl.fit.predict import BROADENED
from fsl_mrs_dl.fit.report import write_report
from fsl_mrs_dl.fit.result import ModelRecord, make_result
from fsl_mrs_dl.fit.trust import Trust


@pytest.fixture(scope="module")
def made():
    basis, prediction = example_basis(), example_prediction()
    scan = example_scan(basis, prediction, 0.3).with_notes("Warning: <b>odd</b> & old")
    return make_result(scan, basis, prediction, MODEL)


@pytest.fixture(scope="module")
def page(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, made)
    return path.read_text(encoding="utf-8")


class Outline(HTMLParser):
    """Path of open elements at every start tag, and what stays open."""

    EMPTY = {"meta"}

    def __init__(self):
        super().__init__()
        self.open, self.seen = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append("/".join([*self.open, tag]))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.seen.append("/".join([*self.open, tag]))


def test_page_needs_nothing_else(page):
    links = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", page)
    assert not links
    assert "<script" not in page and "@import" not in page
    assert len(page) < 300_000


def test_page_is_well_formed_and_has_the_skeleton_that_reports_are_merged_by(page):
    outline = Outline()
    outline.feed(page)
    assert not outline.open
    assert page.split("<body>")[1].startswith("\n<main>\n<header>")
    assert {"html/body/main/header/h1", "html/body/main/header/p"} <= set(outline.seen)
    assert [path for path in outline.seen if path.count("/") == 2 and "body" in path] == ["html/body/main"]


def test_page_shows_values_spectra_card_and_versions(page, made):
    for text in ("Edit-off", "Edit-on", "Difference", "CRLB", "in vivo spectra", "0.0030", "torch", "ab" * 32):
        assert text in page
    for name, row in made.concentrations.iterrows():
        assert f"<td>{name}</td>" in page
        assert f"{row['relative_to_largest']:.3f}" in page and f"{row['relative_to_sum']:.3f}" in page
    assert page.count("<svg") == 3
    assert page.count("not determined") == 1  # creatine in the difference


def test_names_and_notes_are_text_not_markup(page):
    assert "<b>odd" not in page
    assert "&lt;b&gt;odd&lt;/b&gt; &amp; old" in page


def test_ppm_runs_from_right_to_left_and_curves_stay_in_the_picture(page):
    ticks = re.findall(r'<text class="tick middle" x="([\d.]+)"[^>]*>(\d\.\d)<', page)[:8]
    positions = {float(ppm): float(x) for x, ppm in ticks}
    assert positions[0.5] > positions[4.0]
    for points in re.findall(r'<polyline class="\w+" points="([^"]+)"', page):
        x, y = np.array([pair.split(",") for pair in points.split()], dtype=float).T
        assert x.min() >= 0 and x.max() <= 1000 and y.min() >= 0 and y.max() <= 400


def test_the_trust_box_of_imaging_says_that_it_is_of_the_mean(made, tmp_path):
    judged = dataclasses.replace(made, trust=Trust("in range", 0.5))
    boxes = []
    for voxels in (None, "75 % in range, 25 % caution, 0 % out of range of 4 voxels"):
        write_report(tmp_path / "report.html", judged, voxels)
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        boxes.append(page.split('id="trust"')[1].split("</div>")[0])
    assert "<strong>Trust: in range</strong>" in boxes[0] and "voxels" not in boxes[0]
    assert "<strong>Trust of the mean spectrum: in range</strong>" in boxes[1]
    assert f"not of its voxels. Trust of the voxels: {voxels}.</p>" in boxes[1]


def test_the_trust_box_says_that_a_narrow_scan_was_judged_broadened(made, tmp_path):
    trust = Trust("in range", 0.5, (), {})
    for scan, told in ((made.scan, False), (made.scan.with_notes(BROADENED), True)):
        write_report(tmp_path / "report.html", dataclasses.replace(made, scan=scan, trust=trust))
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        assert ("may leave more of it" in page) == told


def test_model_without_a_card_gets_a_page(made, tmp_path):
    bare = make_result(made.scan, made.basis, made.prediction, ModelRecord("bare"))
    write_report(tmp_path / "report.html", bare)
    assert "Model card: bare" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert CARD["purpose"] not in (tmp_path / "report.html").read_text(encoding="utf-8").split("<main>")[0]
