"""Figures of errors: which of two methods is better where, and how large the errors of every method are."""

import numpy as np

from .figures import COLOURS, GREY, PALE, headline, legend, panels, png, series_of
from .statistics import ALL, MEAN

_BLUE, _ORANGE = "#0072B2", "#E69F00"
_MOST = 2.0  # distance at which the colour of a cell is full


def heatmap(comparisons, first):
    """Comparison of one method with those after it: a panel a pair, a cell a series and metabolite.

    The colour says whose errors are smaller, its depth how far apart the distributions of errors are. A cell has the
    distance (framed where it is marked), and where the difference is significant the better one's arrow and the
    difference of the mean absolute errors, with a star where that holds in the whole study.

    Args:
        comparisons: DataFrame of `statistics.compare`.
        first: label of the method.

    Returns:
        bytes of a PNG file.
    """
    chosen = comparisons[comparisons["first"] == first]
    others = list(dict.fromkeys(chosen["second"]))
    series, names = (list(dict.fromkeys(chosen[key])) for key in ("series", "metabolite"))
    columns = min(len(others), 2)
    rows = -(-len(others) // columns)
    size = (0.82 * len(names), 0.5 * len(series))
    margins = (0.75, 0.25, 1.0, 0.35)
    figure, axes = panels(rows, columns, size, margins, (0.85, 0.62))
    for axis, other in zip(axes.flat, others):
        _cells(axis, chosen[chosen["second"] == other], series, names)
        axis.set_title(f"▼ {first}   against   ▲ {other}", fontsize=9, loc="left", parse_math=False)
    for axis in axes.flat[len(others) :]:
        axis.set_visible(False)
    headline(figure, f"Pairs of methods: {first}")
    figure.text(
        0.1 / figure.get_figwidth(), 1 - 0.36 / figure.get_figheight(),
        "blue ▼: the first is better, orange ▲: the second\n"
        "number: distance of the errors; below: significant difference of the MAE",
        size=8, color=GREY, va="top",
    )  # fmt: skip
    return png(figure)


def _cells(axis, rows, series, names):
    """Draw the cells of one pair of methods."""
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.patches import Rectangle

    shades = LinearSegmentedColormap.from_list("pair", [_BLUE, "#ffffff", _ORANGE])
    place = {(row.series, row.metabolite): row for row in rows.itertuples()}
    for down, group in enumerate(series):
        for across, name in enumerate(names):
            row = place[group, name]
            depth = min(row.distance, _MOST) / _MOST if np.isfinite(row.mae_difference) else 0.0
            colour = shades(0.5 + 0.4 * depth * np.sign(row.mae_difference)) if depth else "#ffffff"
            axis.add_patch(Rectangle((across, down), 1, 1, facecolor=colour, edgecolor=PALE, lw=0.8))
            if row.marked:
                axis.add_patch(Rectangle((across + 0.04, down + 0.06), 0.92, 0.88, fill=False, edgecolor="black", lw=1))
            text = f"{row.distance:.2f}" if np.isfinite(row.mae_difference) else "–"
            if row.better:
                text += f"\n{'▼' if row.better == 'first' else '▲'} {abs(row.mae_difference):.3f}"
                text += "*" if row.better_in_study else ""
            axis.text(across + 0.5, down + 0.5, text, ha="center", va="center", fontsize=8, linespacing=1.15)
    axis.set(xlim=(0, len(names)), ylim=(len(series), 0))
    axis.set_xticks(np.arange(len(names)) + 0.5, names)
    axis.set_yticks(np.arange(len(series)) + 0.5, series)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def boxes(table, measures, simulated=None):
    """Box plots of the absolute errors of every method, with their mean and its interval.

    Args:
        table: of `normalise.normalise`.
        measures: DataFrame of `statistics.describe`.
        simulated: {method: {metabolite: mean absolute error on simulated scans}}, drawn as reference lines, or None.

    Returns:
        bytes of a PNG file.
    """
    names = [name for name in dict.fromkeys(measures["metabolite"]) if name != MEAN]
    labels = list(dict.fromkeys(measures["label"]))
    methods = table.drop_duplicates("label").set_index("label")["method"]
    series = series_of(measures)
    left = 0.35 + 0.075 * max(map(len, labels))
    size = (2.0, 0.28 * len(labels) + 0.1)
    figure, axes = panels(len(series), len(names), size, (left, 0.25, 0.9, 0.6), (0.2, 0.55), sharex="col", sharey=True)
    errors = {key: part["error"].abs().dropna() for key, part in table.groupby(["label", "series", "metabolite"])}
    errors |= {(*key, ""): part["error"].abs().dropna() for key, part in table.groupby(["label", "metabolite"])}
    means = measures.set_index(["label", "series", "metabolite"])
    for down, group in enumerate(series):
        for across, name in enumerate(names):
            axis = axes[down, across]
            keys = [(label, name, "") if group == ALL else (label, group, name) for label in labels]
            _panel(axis, [errors.get(key, ()) for key in keys])
            for at, label in enumerate(labels):
                row = means.loc[label, group, name] if (label, group, name) in means.index else None
                if row is not None and np.isfinite(row["mae"]):
                    axis.plot([row["mae_low"], row["mae_high"]], [at, at], color=COLOURS[1], lw=2)
                    axis.plot(row["mae"], at, "D", color=COLOURS[1], ms=4)
                reference = (simulated or {}).get(methods[label], {}).get(name)
                if reference is not None:
                    axis.plot([reference] * 2, [at - 0.45, at + 0.45], color=COLOURS[2], lw=2)
            axis.set_title(f"{name}, {group}" if group != ALL else name, fontsize=9, loc="left")
            axis.set_yticks(range(len(labels)), labels)
            axis.set_ylim(len(labels) - 0.4, -0.6)
            axis.grid(axis="x", color=PALE)
            axis.set_axisbelow(True)
    for axis in axes[-1]:
        axis.set_xlim(left=0)
        axis.set_xlabel("absolute error", fontsize=8.5)
    headline(figure, "Errors of every method")
    entries = {"mean with 95 % interval": (COLOURS[1], "-")}
    if simulated:
        entries["mean on simulated scans"] = (COLOURS[2], "-")
    legend(figure, entries)
    return png(figure)


def _panel(axis, values):
    """Horizontal boxes of absolute errors; the whiskers end at the 5th and 95th percentile."""
    axis.boxplot(
        [np.asarray(one) for one in values], positions=range(len(values)), orientation="horizontal", widths=0.6,
        whis=(5, 95), manage_ticks=False, medianprops={"color": "black"}, patch_artist=True,
        boxprops={"facecolor": "#dbe7f3", "edgecolor": GREY}, whiskerprops={"color": GREY}, capprops={"color": GREY},
        flierprops={"marker": ".", "markersize": 4, "markeredgecolor": GREY, "markerfacecolor": GREY},
    )  # fmt: skip
