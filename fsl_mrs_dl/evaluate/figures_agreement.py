"""Figures of agreement: estimates against the truth, and errors against what the scans are like."""

import numpy as np

from .figures import GREY, PALE, headline, legend, limits, panels, png, series_colours
from .statistics import ALL, trend

PROPERTIES = {
    "truth": "true value (no unit)",
    "linewidth_hz": "linewidth (Hz)",
    "snr": "signal to noise",
    "shift_hz": "shift (Hz)",
}
"""Property of a scan that errors are shown against -> its name with unit."""


def agreement(table, measures):
    """Estimates against the truth with the regression line: a row a method, a column a metabolite.

    Args:
        table: of `normalise.normalise`.
        measures: DataFrame of `statistics.describe`.

    Returns:
        bytes of a PNG file.
    """
    labels, names = (list(dict.fromkeys(table[key])) for key in ("label", "metabolite"))
    colours = series_colours(dict.fromkeys(table["series"]))
    figure, axes = panels(len(labels), len(names), (1.75, 1.6), (1.1, 0.2, 0.85, 0.55), (0.3, 0.5))
    lines = measures[measures["series"] == ALL].set_index(["label", "metabolite"])
    for down, label in enumerate(labels):
        for across, name in enumerate(names):
            axis = axes[down, across]
            part = table[(table["label"] == label) & (table["metabolite"] == name) & table["error"].notna()]
            ends = limits(np.concatenate([part["truth"], part["estimate"]])) if len(part) else (0, 1)
            axis.plot(ends, ends, color=GREY, lw=0.8, ls="--")
            for series, colour in colours.items():
                of_series = part[part["series"] == series]
                axis.plot(of_series["truth"], of_series["estimate"], "o", ms=3.5, color=colour, alpha=0.8, mew=0)
            _regression(axis, lines, (label, name), part["truth"])
            axis.set(xlim=ends, ylim=ends)
            axis.set_title(name if down == 0 else "", fontsize=10)
            if down == len(labels) - 1:
                axis.set_xlabel("true", fontsize=8.5)
        axes[down, 0].set_ylabel(_broken(label) + "\n\nestimated", fontsize=8.5)
    headline(figure, "Estimates against the truth")
    styles = {name: (colour, "") for name, colour in colours.items()}
    legend(figure, styles | {"regression": ("black", "-"), "identity": (GREY, "--")})
    return png(figure)


def _regression(axis, lines, key, truth):
    """Draw the regression line with its equation, where there is one."""
    if key not in lines.index or not np.isfinite(lines.loc[key, "slope"]):
        return
    slope, intercept, r2 = lines.loc[key, ["slope", "intercept", "r2"]]
    ends = np.array([truth.min(), truth.max()])
    axis.plot(ends, intercept + slope * ends, color="black", lw=1.3)
    axis.text(0.03, 0.97, f"{slope:.2f} x {intercept:+.2f}\nR² {r2:.2f}", transform=axis.transAxes, va="top", size=7.5)


def against(table, label):
    """Errors of one method against properties of the scans: a row a property, a column a metabolite.

    Args:
        table: of `normalise.normalise`, with the columns of `PROPERTIES` as far as they are known.
        label: of the method.

    Returns:
        bytes of a PNG file.
    """
    part = table[table["label"] == label]
    names = list(dict.fromkeys(part["metabolite"]))
    shown = [key for key in PROPERTIES if key in part and part[key].notna().any()]
    colours = series_colours(dict.fromkeys(table["series"]))
    figure, axes = panels(len(shown), len(names), (1.75, 1.35), (0.95, 0.2, 1.0, 0.5), (0.35, 0.62), sharey=True)
    for down, key in enumerate(shown):
        for across, name in enumerate(names):
            axis = axes[down, across]
            points = part[(part["metabolite"] == name) & part["error"].notna()]
            axis.axhline(0, color=GREY, lw=0.8)
            for series, colour in colours.items():
                of_series = points[points["series"] == series]
                axis.plot(of_series[key], of_series["error"], "o", ms=3.5, color=colour, alpha=0.8, mew=0)
            _trend_line(axis, points[key].to_numpy(float), points["error"].to_numpy(float))
            axis.grid(axis="y", color=PALE, lw=0.6)
            axis.set_axisbelow(True)
            axis.set_xlabel(PROPERTIES[key], fontsize=8)
            if down == 0:
                axis.annotate(name, (0, 1), (0, 16), xycoords="axes fraction", textcoords="offset points", size=10)
        axes[down, 0].set_ylabel("error", fontsize=8.5)
    headline(figure, f"Errors of {label} (estimated − true)")
    legend(figure, {name: (colour, "") for name, colour in colours.items()} | {"trend": ("black", "-")})
    return png(figure)


def _trend_line(axis, values, errors):
    """Draw the trend of errors, with Spearman's rank correlation above the panel."""
    slope, rank, p = trend(values, errors)
    if not np.isfinite(slope):
        return
    known = np.isfinite(values) & np.isfinite(errors)
    ends = np.array([values[known].min(), values[known].max()])
    axis.plot(ends, errors[known].mean() + slope * (ends - values[known].mean()), color="black", lw=1.3)
    axis.set_title(f"ρ {rank:+.2f}" + (" (p < 0.05)" if p < 0.05 else ""), fontsize=7.5, loc="right", pad=2)


def _broken(label):
    """A label on two lines, to stand beside a row."""
    return label.replace(", ", ",\n", 1)
