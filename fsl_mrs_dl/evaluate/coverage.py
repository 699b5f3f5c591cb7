"""How often the intervals of a model hold the truth on simulated scans: tables and the reliability plot."""

import numpy as np

from ..errors import ConfigError
from ..model.calibration import LEVELS
from ..model.conformal import open_errors
from ..model.unshrink import TENTHS, tenths_of
from ..train.validate import simulated_estimates


BY = ("estimate", "truth")
"""What the tenths of the range are taken of."""

ALLOWED = 0.03
"""How far from its level a coverage may be: the band in the plot."""


def coverage(names, estimate, truth, uncertainty):
    """Coverage of the intervals, for each metabolite overall and in every tenth of its range.

    A concentration relative to the largest is 1 by definition where the same metabolite is the largest in truth and
    in the estimate: there is nothing to cover, and it counts nowhere but in the mean errors.

    Args:
        names: metabolites.
        estimate, truth: (scan, metabolite) relative to the largest.
        uncertainty: Uncertainty of the estimates.

    Returns:
        DataFrame with a row for each metabolite and each of "all" and the tenths 0 to 9 of the estimate and of the
        truth: scans, covered_68, covered_95, mean_error (estimate less truth) and mean_absolute_error.
    """
    import pandas

    counted, error = open_errors(estimate, truth), estimate - truth
    inside = [
        (truth >= interval[..., 0]) & (truth <= interval[..., 1])
        for interval in (uncertainty.interval68, uncertainty.interval95)
    ]
    rows = []
    for place, name in enumerate(names):
        if np.isnan(uncertainty.sd[:, place]).any():
            continue  # no scan holds it, so there are no intervals
        tenths = {by: tenths_of(values[:, place]) for by, values in zip(BY, (estimate, truth))}
        groups = [("all", "all", np.ones(len(error), dtype=bool))]
        groups += [(by, tenth, tenths[by] == tenth) for by in BY for tenth in range(TENTHS)]
        for by, tenth, chosen in groups:
            kept = chosen & counted[:, place]
            found = [one[kept, place].mean() if kept.any() else np.nan for one in inside]
            errors = error[chosen, place] if chosen.any() else np.array([np.nan])
            rows.append((name, by, tenth, int(kept.sum()), *found, errors.mean(), np.abs(errors).mean()))
    columns = ["metabolite", "by", "tenth", "scans", "covered_68", "covered_95", "mean_error", "mean_absolute_error"]
    return pandas.DataFrame(rows, columns=columns)


def worst(table, by):
    """Largest distance of a coverage from its level in any tenth, at each of `LEVELS`."""
    chosen = table[table["by"] == by]
    return [float((chosen[f"covered_{level * 100:.0f}"] - level).abs().max()) for level in LEVELS]


def coverage_folder(model, streams, number, folder):
    """Measure a model's coverage and write coverage.csv, coverage.md and reliability.png.

    Args:
        model: TrainedModel with a calibration.
        streams: title -> synth.dataset.Stream of scans that it was neither trained nor calibrated on; the plot shows
            the first one. Where the model corrects its estimates for shrinkage, "TITLE, shrunk" are those before.
        number: scans of each.
        folder: Path that exists.

    Returns:
        The tables in coverage.md, as text.

    Raises:
        ConfigError: the calibration knows the errors of no metabolite.
    """
    import pandas

    if not any(model.calibration.intervals.limits):
        raise ConfigError(f"The calibration of {model.name} has intervals of no metabolite: there is nothing to test.")
    tables, ways = {}, (True, False) if model.corrected else (False,)
    for title, stream in streams.items():
        batches = range(-(-number // stream.batch))
        seen = simulated_estimates(
            model.network, model.config.input, stream, batches, model.refiner, f"test on {title}"
        )
        for correct in ways:
            given = seen.estimate, seen.spread, seen.unexplained, seen.own_spread, correct
            judged, found = model.calibration.judge(*given)
            name = title if correct or len(ways) == 1 else f"{title}, shrunk"
            tables[name] = coverage(model.config.metabolites, judged, seen.truth, found)
    pandas.concat(tables, names=["scans of"]).droplevel(1).to_csv(folder / "coverage.csv")
    text = coverage_text(tables)
    (folder / "coverage.md").write_text(text + "\n", encoding="utf-8")
    first, *others = list(tables.values())[: len(ways)]
    reliability_plot(first, folder / "reliability.png", f"Intervals of {model.name}", *others)
    return text


def coverage_text(tables):
    """Markdown: coverage of each metabolite on each set of scans, then by tenth on the first.

    Args:
        tables: title -> DataFrame of `coverage`.
    """
    head = "metabolite | 68 % | 95 % | by tenth of the estimate | by tenth of the truth | mean error, lowest / highest"
    lines = [f"| scans of | {head} tenth of the truth | mean absolute error |", "|---" * 8 + "|"]
    for title, table in tables.items():
        for name, rows in table.groupby("metabolite", sort=False):
            whole = rows[rows["by"] == "all"].iloc[0]
            parts = {by: rows[rows["by"] == by].sort_values("tenth") for by in BY}
            spans = []
            for part in parts.values():
                columns = (part["covered_68"], part["covered_95"])
                spans.append(", ".join(f"{100 * one.min():.1f}–{100 * one.max():.1f}" for one in columns))
            ends = " / ".join(f"{parts['truth']['mean_error'].iloc[place]:+.3f}" for place in (0, -1))
            size = f"{whole.mean_absolute_error:.4f}"
            shown = (f"{100 * whole.covered_68:.1f}", f"{100 * whole.covered_95:.1f}", *spans, ends, size)
            lines.append("| " + " | ".join((title, name, *shown)) + " |")
    return "\n".join([*lines, "", *_tenth_lines(next(iter(tables.values())))])


def _tenth_lines(table):
    """Markdown lines of a table of coverages in the tenths of the estimate."""
    tenths = [f"{place / TENTHS:.1f}–{(place + 1) / TENTHS:.1f}" for place in range(TENTHS)]
    lines = ["| metabolite | level | " + " | ".join(tenths) + " |", "|---" * (2 + TENTHS) + "|"]
    for name, rows in table[table["by"] == "estimate"].groupby("metabolite", sort=False):
        for level in LEVELS:
            values = rows.sort_values("tenth")[f"covered_{level * 100:.0f}"]
            cells = " | ".join(f"{100 * value:.1f}" for value in values)
            lines.append(f"| {name} | {level * 100:.0f} % | {cells} |")
    return lines


def reliability_plot(table, path, title, shrunk=None):
    """Picture of a `coverage`: above, how often intervals hold in every tenth; below, the mean errors there.

    Args:
        table: DataFrame of `coverage`.
        path: of the PNG file.
        title: of the picture.
        shrunk: `coverage` of the same scans' estimates before they are corrected, whose mean errors are drawn too.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(table["metabolite"]))
    figure = Figure(figsize=(3.1 * len(names), 6.4), layout="constrained")
    axes = figure.subplots(2, len(names), sharex=True, sharey="row", squeeze=False)
    styles = {"estimate": ("o-", "#1f6fb2"), "truth": ("s--", "#c8102e")}
    centres = (np.arange(TENTHS) + 0.5) / TENTHS
    for (above, below), name in zip(axes.T, names):
        for level in LEVELS:
            above.axhspan(100 * (level - ALLOWED), 100 * (level + ALLOWED), color="#e9ecef")
            above.axhline(100 * level, color="#59636e", linewidth=0.8)
        below.axhspan(-0.01, 0.01, color="#e9ecef")
        below.axhline(0, color="#59636e", linewidth=0.8)
        for by, (style, colour) in styles.items():
            rows = table[(table["metabolite"] == name) & (table["by"] == by)].sort_values("tenth")
            for level in LEVELS:
                label = f"by tenths of the {by}" if level == LEVELS[0] else None
                values = 100 * rows[f"covered_{level * 100:.0f}"]
                above.plot(centres, values, style, color=colour, markersize=4, linewidth=1.2, label=label)
            below.plot(centres, rows["mean_error"], style, color=colour, markersize=4, linewidth=1.2)
        if shrunk is not None:
            rows = shrunk[(shrunk["metabolite"] == name) & (shrunk["by"] == "truth")].sort_values("tenth")
            label = "with --shrunk, by tenths of the truth"
            below.plot(centres, rows["mean_error"], "^:", color="#2e7d32", markersize=4, linewidth=1.2, label=label)
        above.set_title(name)
        above.set_ylim(50, 100)
        below.set_xlabel("relative to the largest")
        below.set_xlim(0, 1)
    axes[0, 0].set_ylabel("scans whose interval\nholds the truth (%)")
    axes[1, 0].set_ylabel("mean error\n(estimate less truth)")
    axes[0, 0].legend(loc="lower left", fontsize=8)
    if shrunk is not None:
        axes[1, 0].legend(loc="upper left", fontsize=8)
    figure.suptitle(f"{title}: coverage of the 68 % and 95 % intervals, and mean errors (grey: ±3 points, ±0.01)")
    figure.savefig(path, dpi=110)
