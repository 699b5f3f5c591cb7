"""A picture of one scan under each imperfection that a recipe can have."""

from dataclasses import replace

import matplotlib.figure

from .. import axes
from .dataset import GRID_DWELL_S, GRID_POINTS, Stream
from .preview import TITLES
from .priors import Recipe

BEFORE = Recipe("before", lorentz_hz=(3.0, 3.0), noise="none")
"""What every imperfection is added to: lines of 3 Hz and nothing else."""

EXAMPLES = (
    ("Lorentzian width", {"lorentz_hz": 10}),
    ("Gaussian width", {"gauss_hz": 8}),
    ("width of each metabolite", {"metabolite_lorentz_hz": (0, 6), "metabolite_gauss_hz": (0, 8)}),
    ("asymmetric B0", {"satellite": 0.5, "satellite_hz": 8}),
    ("shift", {"shift_hz": 12}),
    ("shift of each metabolite", {"metabolite_shift_hz": (-6, 6)}),
    ("zero-order phase", {"phase_rad": 0.6}),
    ("first-order phase", {"delay_s": 1e-3}),
    ("eddy currents", {"eddy_rad": 1.2, "eddy_time_s": 0.05}),
    ("edit-on against edit-off", {"edit_shift_hz": 1.0, "edit_phase_rad": 0.1, "edit_gain": 0.97}),
    ("edit efficiency", {"edit_efficiency": 0.7}),
    ("edit efficiency of each metabolite", {"metabolite_efficiency": (0.6, 1.4)}),
    ("drift over the transients", {"transients": 16, "drift_hz": 10}),
    ("jitter of the transients", {"transients": 16, "jitter_hz": 2, "jitter_rad": 0.6}),
    ("residual water", {"water": 2, "water_width_hz": 20}),
    ("residual water with a tail", {"water": 2, "water_tail": 0.5, "water_tail_components": 4,
                                    "water_tail_hz": (-40, 40)}),
    ("broad Gaussian baseline", {"baseline": 0.5, "baseline_width_hz": (60, 200), "baseline_components": 3}),
    ("spline baseline", {"spline": (0, 0.8), "spline_knots": 12}),
    ("macromolecules", {"mm_09": 0.3, "mm_30": 0.2, "mm_edited": 0.8}),
    ("lipids", {"lipid": (0.1, 0.3), "lipid_width_hz": 25}),
    ("spurious echo", {"echo": 0.15, "echo_time_s": 0.2, "echo_width_s": 0.05, "echo_hz": -330}),
    ("cut and filled with zeros", {"truncation": 0.9}),
    ("wrong first point", {"first_point": 4}),
    ("Gaussian noise", {"noise": "adc", "noise_sigma": 0.03}),
    ("generalised Gaussian noise", {"noise": "gg", "noise_beta": 0.8, "noise_sigma": 0.03}),
)  # fmt: skip
"""What each imperfection is called, and values that show it well: a number, or the range that it is drawn from."""

SHOWN_PPM = (0.4, 4.8)

ROW_INCHES, COLUMN_INCHES = 1.35, 2.2


def imperfections_figure(basis, seed=1, examples=EXAMPLES):
    """Real spectra of one scan, before and after each imperfection.

    Args:
        basis: BasisSet.
        seed: of the scan.
        examples: (name, {field of a recipe: value}) of each.

    Returns:
        matplotlib figure: two imperfections a row, each with edit-off, edit-on and their difference.
    """
    columns = len(_spectra(basis, BEFORE, seed))
    rows = -(-len(examples) // 2)
    size = (2 * columns * COLUMN_INCHES, rows * ROW_INCHES + 0.8)
    figure = matplotlib.figure.Figure(figsize=size)
    # An empty column keeps the two halves apart.
    grid = figure.add_gridspec(
        rows, 2 * columns + 1, width_ratios=[1] * columns + [0.1] + [1] * columns, left=0.01, right=0.99,
        bottom=0.6 / size[1], top=1 - 0.6 / size[1], hspace=0.55, wspace=0.05,
    )  # fmt: skip
    ppm = axes.ppm_axis(GRID_POINTS, GRID_DWELL_S, basis.centre_hz)
    shown = (ppm >= SHOWN_PPM[0]) & (ppm <= SHOWN_PPM[1])
    before = _spectra(basis, BEFORE, seed)
    for place, (name, values) in enumerate(examples):
        row, half = divmod(place, 2)
        cells = [figure.add_subplot(grid[row, half * (columns + 1) + column]) for column in range(columns)]
        after = _spectra(basis, recipe_with(values), seed)
        for cell, title in zip(cells, before, strict=True):
            _draw(cell, ppm[shown], before[title][shown], after[title][shown])
            _label(cell, title, before[title])
        cells[0].set_title(f"{name}: {_said(values)}", fontsize=7.5, loc="left")
        if place + 2 >= len(examples):
            for cell in cells:
                cell.set_xlabel("chemical shift (ppm)", fontsize=7)
    lines, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="upper center", ncols=2, fontsize=8, frameon=False)
    return figure


def recipe_with(values):
    """`BEFORE` with an imperfection: each field at a number, or drawn from a range."""
    ranges = {}
    for name, value in values.items():
        if isinstance(getattr(BEFORE, name), tuple):
            low, high = value if isinstance(value, tuple) else (value, value)
            value = (float(low), float(high))
        ranges[name] = value
    return replace(BEFORE, **ranges)


def _spectra(basis, recipe, seed):
    """Real spectra (point,) of the first scan by their titles, with the difference where there are two."""
    fids = Stream(basis, recipe, seed, batch=1)[0].measured[0]
    named = {TITLES[condition]: fid for condition, fid in zip(basis.conditions, fids, strict=True)}
    if len(fids) == 2:
        named["difference"] = fids[1] - fids[0]
    return {title: axes.fid_to_spectrum(fid).real.numpy() for title, fid in named.items()}


def _draw(cell, ppm, before, after):
    """One panel, on the scale of what was before; what is higher is cut off."""
    span = float(before.max() - before.min()) or 1.0
    cell.plot(ppm, before, linewidth=1.0, color="0.65", label="before")
    cell.plot(ppm, after, linewidth=0.7, color="tab:blue", label="after")
    cell.set(xlim=SHOWN_PPM[::-1], ylim=(before.min() - 0.3 * span, before.max() + 0.2 * span), yticks=[])
    cell.tick_params(labelsize=6)


def _label(cell, title, before):
    """The panel's title in the corner that stays free: away from water, and on the side to which the peaks point."""
    up = before.max() > -before.min()
    place = {"y": 0.95, "va": "top"} if up else {"y": 0.05, "va": "bottom"}
    cell.text(0.98, s=title, transform=cell.transAxes, fontsize=6, color="grey", ha="right", **place)


def _said(values):
    """Fields and values as a text."""
    return ", ".join(
        f"{name} {value[0]:g} to {value[1]:g}" if isinstance(value, tuple) else f"{name} {value}"
        for name, value in values.items()
    )
