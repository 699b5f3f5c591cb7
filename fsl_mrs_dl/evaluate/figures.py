"""What all figures of a study share: colours, panels of a fixed size, PNG files that depend on their data alone."""

import io

import numpy as np

from .statistics import ALL

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Colours that stay apart for colour-blind readers (Okabe and Ito)."""

GREY, PALE = "#6b7280", "#e5e7eb"

TITLES = {"off": "edit-off", "on": "edit-on", "diff": "difference", "single": "spectrum"}
"""Acquisition -> its name in figures."""

_DPI = 100


def panels(rows, columns, size, margins=(0.9, 0.2, 0.55, 0.6), gaps=(0.35, 0.45), **options):
    """A figure of equal panels.

    Args:
        rows, columns: how many.
        size: width and height of a panel (inch).
        margins: left, right, top and bottom of the figure (inch).
        gaps: between panels, across and down (inch).
        **options: of Figure.subplots.

    Returns:
        Figure, and (rows, columns) array of Axes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    left, right, top, bottom = margins
    width = left + right + columns * size[0] + (columns - 1) * gaps[0]
    height = top + bottom + rows * size[1] + (rows - 1) * gaps[1]
    figure = Figure(figsize=(width, height), dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    figure.subplots_adjust(
        left / width, bottom / height, 1 - right / width, 1 - top / height, gaps[0] / size[0], gaps[1] / size[1]
    )
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8, colors=GREY, labelcolor="black")
    return figure, axes


def headline(figure, text):
    """Write a title above all panels, at a fixed distance from the top."""
    place = (0.1 / figure.get_figwidth(), 1 - 0.22 / figure.get_figheight())
    figure.text(*place, text, size=11, weight="bold", va="center", parse_math=False)


def png(figure):
    """The figure as bytes of a PNG file, without date and version: the same data give the same file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def series_colours(series):
    """{series: colour}, for the series in their order."""
    return {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(series)}


def series_of(table):
    """Series of a table in their order; that of all scans only where there is no other."""
    return [name for name in dict.fromkeys(table["series"]) if name != ALL] or [ALL]


def legend(figure, entries, columns=None, **options):
    """A legend of coloured dots or lines below the title of a figure.

    Args:
        figure: Figure.
        entries: {text: (colour, line style, "" for a dot)}.
        columns: entries in a row; all in one where None.
        **options: of Line2D.
    """
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=colour, ls=style or "none", marker="" if style else "o", ms=5, label=text, **options)
        for text, (colour, style) in entries.items()
    ]
    place = (0.02 / figure.get_figwidth(), 1 - 0.3 / figure.get_figheight())
    figure.legend(
        handles=handles, ncols=columns or len(handles), loc="upper left", bbox_to_anchor=place, frameon=False,
        fontsize=8.5,
    )  # fmt: skip


def limits(values, margin=0.06):
    """Range of the finite values with a margin; around 0 where there are none."""
    finite = np.asarray(values, dtype=float)
    finite = finite[np.isfinite(finite)]
    if not finite.size:
        return -1.0, 1.0
    low, high = finite.min(), finite.max()
    pad = margin * (high - low) or 0.5
    return low - pad, high + pad
