"""The page of a study: one HTML file with its tables, and with its figures within it."""

import base64
import math
from pathlib import Path

import numpy as np

from .._version import __version__
from .normalise import FIRST, NORMALISATIONS
from .statistics import LEVEL, MARKED, RESAMPLES

TEMPLATE = Path(__file__).with_name("study.html")


def study_html(study, pictures, seed, title):
    """The page as text.

    Args:
        study: study_page.Study.
        pictures: list of (file name, section, caption, bytes of a PNG file).
        seed: of the study.
        title: of the page.
    """
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = _number
    sections = {}
    for name, section, caption, picture in pictures:
        data = "data:image/png;base64," + base64.b64encode(picture).decode("ascii")
        sections.setdefault(section, []).append({"name": name, "caption": caption, "data": data})
    differing = study.comparisons[FIRST]
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        title=title or "Study",
        version=__version__,
        seed=seed,
        level=LEVEL,
        resamples=RESAMPLES,
        marked=MARKED,
        scans=study.frame["id"].nunique(),
        methods=study.frame["method"].nunique(),
        summaries=[_summary(to, measures) for to, measures in study.measures.items()],
        measures=study.measures[FIRST].to_dict("records"),
        differing=_differing(differing),
        compared=len(differing),
        cost=_table(study.cost),
        failed=study.failed.to_dict("records"),
        unscaled=[(NORMALISATIONS[to], label, name) for to, pairs in study.unscaled.items() for label, name in pairs],
        facts=_table(study.scans),
        gap=_table(study.gap),
        models=_table(study.models),
        notes=study.notes,
        sections=sections,
    )


def _summary(to, measures):
    """Table of mean absolute errors in one normalisation: the best of each column is marked."""
    names = list(dict.fromkeys(measures["metabolite"]))
    wide = measures.pivot(index=["label", "series"], columns="metabolite", values="mae")[names]
    wide = wide.reindex(dict.fromkeys(zip(measures["label"], measures["series"])))
    is_best = wide == wide.groupby(level="series").transform("min")
    rows = [
        {"label": label, "series": series, "cells": list(zip(wide.loc[label, series], is_best.loc[label, series]))}
        for label, series in wide.index
    ]
    order = {series: number for number, series in enumerate(dict.fromkeys(measures["series"]))}
    rows.sort(key=lambda row: order[row["series"]])
    return {"title": NORMALISATIONS[to], "names": names, "rows": rows}


def _differing(comparisons):
    """Significant differences, largest first: rows with the better and the worse method."""
    if not len(comparisons):
        return []
    rows = []
    for row in comparisons[comparisons["better"] != ""].to_dict("records"):
        first = row["better"] == "first"
        names = ("first", "second") if first else ("second", "first")
        rows.append(row | {
            "winner": row[names[0]],
            "loser": row[names[1]],
            "size": abs(row["mae_difference"]),
            "p": row[f"holm_{names[0]}"],
            "stands": bool(row["better_in_study"]),
        })  # fmt: skip
    return sorted(rows, key=lambda row: -row["size"])


def _table(frame):
    """Columns and rows of a DataFrame for the page."""
    return {"columns": list(frame.columns), "rows": frame.to_numpy(object).tolist()}


def _number(value):
    """A value as text: three significant digits, a dash for what there is not."""
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, (float, np.floating)):
        return str(value)
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞"
    return f"{value:.3f}" if 0.001 <= abs(value) < 100 or value == 0 else f"{value:.3g}"
