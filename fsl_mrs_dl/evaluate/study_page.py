"""The folder of a study: tables, figures and one page that holds all of them."""

import json
import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .._version import __version__
from ..errors import FslMrsDlError
from ..folders import whole_folder
from . import figures_agreement, figures_errors, figures_spectra
from .normalise import FIRST, NORMALISATIONS, check_table, failures, normalise, without_reference
from .rebuild import explain, rebuild_all
from .sim_to_real import difference_table, facts_table, gap_table, model_table
from .statistics import LEVEL, MARKED, RESAMPLES, compare, describe
from .study_html import study_html

MOST_OVERLAYS = 24
"""Scans shown for a method: the best and the worst, as many of each."""

_SHOWN_OF = {"off": ("off",), "on": ("on",), "diff": ("diff",), "both": ("off", "diff"), "single": ("single",)}
_TIMES = ("seconds", "cpu_seconds")
"""Columns that differ from run to run: they are in cost.csv and on the page, and in no other file."""


@dataclass(frozen=True, eq=False)
class Study:
    """Everything that a study found.

    Attributes:
        frame: long table, with the normalised values.
        measures, comparisons: {normalisation: DataFrame}.
        cost: DataFrame of seconds per scan.
        failed: DataFrame of scans on which a method failed.
        unscaled: {normalisation: list of (label, id) that could not be normalised}.
        scans: DataFrame of what the scans are like; empty without cases.
        gap, differences, models: DataFrames of the comparison of simulation and scans; empty without cases.
        notes: what could not be done, in words.
    """

    frame: pd.DataFrame
    measures: dict
    comparisons: dict
    cost: pd.DataFrame
    failed: pd.DataFrame
    unscaled: dict
    scans: pd.DataFrame
    gap: pd.DataFrame
    differences: pd.DataFrame
    models: pd.DataFrame
    notes: tuple


def write_study(
    frame, folder, cases=None, seed=1, simulated=None, basis=None, methods=(), title="", notes=(), overwrite=False,
    shown=iter,
):  # fmt: skip
    """Write the folder of a study, whole or not at all.

    Args:
        frame: long table of estimates, see `normalise`.
        folder: to make.
        cases: list of cases.Case with the frame's ids, for what depends on the scans themselves; None to leave it out.
        seed: of bootstrap and noise. The same frame, cases and seed give the same files, but for times
            (cost.csv, and a table of the page).
        simulated: {method: {metabolite: mean absolute error on simulated scans, relative to the largest}} or None.
        basis: BasisSet that scans are rebuilt from; needed with cases.
        methods: methods.Method that are run on the rebuilt scans.
        title: of the page.
        notes: texts that the page names before its own, such as methods that are missing.
        overwrite: whether an existing folder is replaced.
        shown: wraps the iterables of scans, such as tqdm.

    Returns:
        Study.

    Raises:
        DataError: the table is not one.
        OutputError: the folder exists or cannot be written.
    """
    check_table(frame)
    with whole_folder(folder, overwrite) as part:
        rebuilt, notes = [], tuple(notes)
        if cases and basis is not None:
            rebuilt, refused = rebuild_all(cases, basis, shown)
            notes += tuple(f"{name} could not be rebuilt: {reason}" for name, reason in refused.items())
        models = model_table(rebuilt, cases, methods, seed, shown) if rebuilt and methods else pd.DataFrame()
        study = _study(frame, rebuilt, models, seed, notes)
        pictures = list(_figures(study, rebuilt, simulated))
        if rebuilt:
            pictures += _overlays(study, cases, basis, shown)
        _write(part, study, pictures, seed, title, simulated)
    return study


def _study(frame, rebuilt, models, seed, notes):
    """Study of a long table and rebuilt scans."""
    tables = {to: normalise(frame, to) for to in NORMALISATIONS}
    tables = {to: table for to, table in tables.items() if table["error"].notna().any()}
    whole = frame.reset_index(drop=True).drop(columns=list(_TIMES), errors="ignore")
    keys = ["method", "spectrum", "id", "metabolite"]
    for to, table in tables.items():
        named = {"truth": f"truth_{to}", "estimate": f"estimate_{to}", "error": f"error_{to}"}
        whole = whole.merge(table[[*keys, *named]].rename(columns=named), on=keys, how="left")
    scans = facts_table(rebuilt)
    if len(scans):
        whole = whole.merge(scans.drop(columns="series"), on="id", how="left")
    return Study(
        frame=whole,
        measures={to: describe(table, seed) for to, table in tables.items()},
        comparisons={to: compare(table) for to, table in tables.items()},
        cost=_cost(frame),
        failed=failures(frame),
        unscaled={to: without_reference(frame, table) for to, table in tables.items()},
        scans=scans,
        gap=gap_table(rebuilt),
        differences=difference_table(rebuilt),
        models=models,
        notes=notes,
    )


def _cost(frame):
    """Seconds per scan of every method: median, mean and largest, of wall clock and (where known) of the processor."""
    columns = [name for name in _TIMES if name in frame.columns]
    scans = frame.drop_duplicates(["method", "id"])
    rows = []
    for method, part in scans.groupby("method", sort=False):
        row = {"method": method, "scans": len(part)}
        for name in columns:
            row |= {f"{name}_median": part[name].median(), f"{name}_mean": part[name].mean()}
            row |= {f"{name}_largest": part[name].max()}
        rows.append(row)
    return pd.DataFrame(rows)


def _figures(study, rebuilt, simulated):
    """(file name, section, caption, bytes) of every figure but the overlays."""
    table = normalise(study.frame, FIRST)
    measures, comparisons = study.measures[FIRST], study.comparisons[FIRST]
    labels = list(dict.fromkeys(table["label"]))
    yield "errors.png", "errors", "Errors of every method", figures_errors.boxes(table, measures, simulated)
    for number, label in enumerate(labels[:-1]):
        picture = figures_errors.heatmap(comparisons, label)
        yield f"pairs_{number + 1}.png", "pairs", f"{label} against the methods after it", picture
    yield "agreement.png", "agreement", "Estimates against the truth", figures_agreement.agreement(table, measures)
    for number, label in enumerate(one for one in labels if table.loc[table["label"] == one, "error"].notna().any()):
        picture = figures_agreement.against(table, label)
        yield f"against_{number + 1}.png", "against", f"What the errors of {label} go with", picture
    if rebuilt:
        yield "gap.png", "gap", "Residual of the rebuilt spectra", figures_spectra.gap(study.gap)
        for step in ("linewidth", "basis"):
            caption = f"Scan less spectrum rebuilt with everything up to: {step}"
            yield f"difference_{step}.png", "gap", caption, figures_spectra.differences(rebuilt, step)
    if len(study.models):
        yield "steps.png", "gap", "Errors on rebuilt spectra", figures_spectra.models_on_steps(study.models)


def _overlays(study, cases, basis, shown):
    """(file name, section, caption, bytes) of the scans as every method sees them."""
    table = normalise(study.frame, FIRST)
    scans = {case.id: case.scan for case in cases}
    pictures = []
    for number, (label, part) in enumerate(shown(list(table.groupby("label", sort=False)))):
        errors = part["error"].abs().groupby(part["id"], sort=False).mean().dropna().sort_values(kind="stable")
        pairs = []
        for name in _best_and_worst([name for name in errors.index if name in scans]):
            estimates = part[(part["id"] == name) & part["estimate"].notna()]
            values = dict(zip(estimates["metabolite"], estimates["estimate"]))
            try:
                pairs.append((name, float(errors[name]), *explain(scans[name], basis, values)))
            except FslMrsDlError:
                # A scan of another field strength or kind; the notes of the page name it.
                continue
        acquisitions = _SHOWN_OF[part["spectrum"].iloc[0]]
        for acquisition in (one for one in acquisitions if pairs and one in pairs[0][3]):
            chosen = [
                (name, mae, acquisition, ppm, *(spectra[acquisition] for spectra in curves))
                for name, mae, ppm, *curves in pairs
                if acquisition in curves[0]
            ]
            caption = f"Scans as {label} sees them, {figures_spectra.TITLES[acquisition]}"
            picture = figures_spectra.overlays(chosen, label)
            pictures.append((f"scans_{number + 1}_{acquisition}.png", "scans", caption, picture))
    return pictures


def _best_and_worst(names):
    """Names of scans, ordered from best to worst, as best, worst, second best, second worst and so on."""
    half = min(MOST_OVERLAYS, len(names)) // 2
    best, worst = names[: len(names) - half][: half + len(names) % 2], names[::-1][:half]
    turns = [name for pair in zip(best, worst) for name in pair]
    return turns + best[len(worst) :]


def _write(part, study, pictures, seed, title, simulated):
    """Write every file of a study."""
    tables = {
        "measures": pd.concat(study.measures, names=["normalisation"]).reset_index(0),
        "comparisons": pd.concat(study.comparisons, names=["normalisation"]).reset_index(0),
        "cost": study.cost,
        "failures": study.failed,
        "scans": study.scans,
        "gap": study.gap,
        "differences": study.differences,
        "models_on_rebuilt": study.models,
    }
    study.frame.to_csv(part / "study.csv", index=False)
    for name, table in tables.items():
        if len(table):
            table.to_csv(part / f"{name}.csv", index=False)
    for name, _, _, picture in pictures:
        (part / name).write_bytes(picture)
    values = {
        "format": "fsl_mrs_dl study 1",
        "fsl_mrs_dl": __version__,
        "seed": seed,
        "level": LEVEL,
        "resamples": RESAMPLES,
        "marked": MARKED,
        "notes": list(study.notes),
        "without_reference": {to: [list(pair) for pair in pairs] for to, pairs in study.unscaled.items()},
        "simulated": simulated or {},
        "estimates": _records(study.frame),
        **{name: _records(table) for name, table in tables.items() if name != "cost"},
    }
    text = json.dumps(_plain(values), indent=1, allow_nan=False, ensure_ascii=False)
    (part / "study.json").write_text(text + "\n", encoding="utf-8")
    (part / "study.html").write_text(study_html(study, pictures, seed, title), encoding="utf-8")


def _records(table):
    """Rows of a DataFrame as dictionaries."""
    return table.to_dict("records")


def _plain(value):
    """Values as JSON has them: plain numbers, null for those that are not finite."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
