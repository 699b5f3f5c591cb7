"""What a training shows: metrics by row, curves as a picture, the bar's text."""

import csv
import io

import numpy as np
import pytest
from matplotlib import image

from fsl_mrs_dl.train.watch import Curves, Events, MetricsFile, curves_png, tensorboard_is_there
from fsl_mrs_dl.train.work_folder import CURVES, EVENTS, METRICS, WorkFolder

COLUMNS = ("epoch", "step", "scans", "seconds", "loss", "error", "learning_rate")
HISTORY = [dict(zip(COLUMNS, (k, 10 * k, 640 * k, 1.5 * k, 1 / k, 0.1 / k, 1e-3))) for k in (1, 2, 3)]


def folder(tmp_path):
    """An empty WorkFolder."""
    work = WorkFolder(tmp_path / "work", {})
    work.open()
    return work


def test_metrics_are_the_history(tmp_path):
    work = folder(tmp_path)
    write = MetricsFile(work)
    for epochs in (1, 3):
        write(HISTORY[:epochs])
    rows = list(csv.DictReader(io.StringIO((work.path / METRICS).read_text())))
    assert [{name: float(value) for name, value in row.items()} for row in rows] == HISTORY


def test_curves_are_drawn_now_and_then(tmp_path):
    work = folder(tmp_path)
    draw = Curves(work)
    draw(HISTORY[:1])
    first = (work.path / CURVES).read_bytes()
    draw(HISTORY)
    assert (work.path / CURVES).read_bytes() == first
    picture = image.imread(io.BytesIO(curves_png(HISTORY)), format="png")
    assert picture.shape[0] > 400 and np.ptp(picture[..., :3]) == 1


def test_results_are_what_a_model_folder_keeps(tmp_path):
    work = folder(tmp_path)
    assert work.results() == []
    MetricsFile(work)(HISTORY)
    (work.path / EVENTS).mkdir()
    assert [path.name for path in work.results()] == [METRICS, EVENTS]


@pytest.mark.skipif(not tensorboard_is_there(), reason="TensorBoard is not installed: pip install tensorboard")
def test_events_are_written(tmp_path):
    Events(tmp_path)(HISTORY)
    assert list(tmp_path.glob("events*"))
