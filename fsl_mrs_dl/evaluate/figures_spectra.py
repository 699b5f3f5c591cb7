"""Figures of spectra: fits of every scan, and what lies between the simulation and the scans."""

import numpy as np

from .figures import COLOURS, GREY, PALE, TITLES, headline, legend, panels, png, series_colours, series_of
from .rebuild import STEPS
from .sim_to_real import MEASURED, NOISE_BAND, REPRESENTATIONS

_STYLES = ("-", "--", ":", "-.")
_LEGEND_COLUMNS = 5
_STEP_TICKS = [STEPS[0], *(f"+ {step}" for step in STEPS[1:])]


def overlays(shown, label):
    """Scans with the spectra of a method's estimates: best first on the left, worst first on the right.

    Args:
        shown: list of (name, mean absolute error, acquisition, ppm, data, model, baseline), spectra (band,) complex,
            best and worst in turn.
        label: of the method.

    Returns:
        bytes of a PNG file.
    """
    rows = -(-len(shown) // 2)
    figure, axes = panels(rows, 2, (5.2, 1.55), (0.25, 0.25, 0.95, 0.55), (0.3, 0.32), sharex=True)
    for axis, (name, mae, acquisition, ppm, data, model, baseline) in zip(axes.flat, shown):
        data, model, baseline = data.real, model.real, baseline.real
        low, high = min(data.min(), model.min()), max(data.max(), model.max())
        height = high - low
        residual = data - model
        axis.plot(ppm, data, color="#374151", lw=0.9)
        axis.plot(ppm, model, color=COLOURS[1], lw=1.0)
        axis.plot(ppm, baseline, color=COLOURS[0], lw=0.9)
        axis.plot(ppm, residual - residual.max() + low - 0.05 * height, color=GREY, lw=0.7)
        axis.set(xlim=(ppm[-1], ppm[0]), yticks=[])
        axis.spines["left"].set_visible(False)
        title = f"{name}: {TITLES[acquisition]}, error {mae:.3f}"
        axis.set_title(title, fontsize=8.5, loc="left", pad=2, parse_math=False)
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("chemical shift (ppm)", fontsize=8.5)
    headline(figure, f"Scans as {label} sees them")
    top = figure.get_figheight()
    for axis, text in zip(axes[0], ("best first", "worst first")):
        figure.text(axis.get_position().x0, 1 - 0.68 / top, text, size=10)
    entries = {"scan": ("#374151", "-"), "estimate": (COLOURS[1], "-"), "baseline": (COLOURS[0], "-")}
    legend(figure, entries | {"residual": (GREY, "-")})
    return png(figure)


def differences(rebuilt, step):
    """Scans less rebuilt spectra: a row an acquisition, a column a representation, with noise bands.

    Args:
        rebuilt: list of Rebuilt.
        step: of `STEPS`.

    Returns:
        bytes of a PNG file.
    """
    acquisitions = list(rebuilt[0].data)
    colours = series_colours(dict.fromkeys(one.series for one in rebuilt))
    columns = len(REPRESENTATIONS)
    figure, axes = panels(
        len(acquisitions), columns, (4.0, 2.1), (0.75, 0.2, 0.95, 0.5), (0.25, 0.4), sharex=True, sharey="row"
    )
    scale = {one.id: np.abs(one.data[acquisitions[0]]).max() / 100 for one in rebuilt}
    for down, acquisition in enumerate(acquisitions):
        for across, (name, part) in enumerate(REPRESENTATIONS.items()):
            axis = axes[down, across]
            for series, colour in colours.items():
                members = [one for one in rebuilt if one.series == series and acquisition in one.data]
                curves = [(part(m.data[acquisition]) - part(m.steps[step][acquisition])) / scale[m.id] for m in members]
                band = NOISE_BAND * np.mean([m.noise[acquisition] / scale[m.id] for m in members])
                axis.axhspan(-band, band, color=colour, alpha=0.15, lw=0)
                for member, curve in zip(members, curves):
                    axis.plot(member.ppm, curve, color=colour, lw=0.4, alpha=0.3)
                axis.plot(members[0].ppm, np.mean(curves, 0), color=colour, lw=1.4)
            axis.axhline(0, color=GREY, lw=0.6)
            axis.set_xlim(rebuilt[0].ppm[-1], rebuilt[0].ppm[0])
            axis.set_title(f"{TITLES[acquisition]}, {name}", fontsize=9, loc="left")
            if down == len(acquisitions) - 1:
                axis.set_xlabel("chemical shift (ppm)", fontsize=8.5)
        axes[down, 0].set_ylabel(f"difference (% of highest\nof {TITLES[acquisitions[0]]})", fontsize=8)
    headline(figure, f"Scan less rebuilt spectrum, with everything up to: {step}")
    entries = {f"{name}, mean (thin: scans)": (colour, "-") for name, colour in colours.items()}
    legend(figure, entries | {f"noise, ± {NOISE_BAND:g} SD": (PALE, "-")}, lw=2)
    return png(figure)


def gap(table):
    """Residual of the simulation step by step: a panel an acquisition, a line a series, noise as a dashed line.

    Args:
        table: DataFrame of `sim_to_real.gap_table`.

    Returns:
        bytes of a PNG file.
    """
    acquisitions = list(dict.fromkeys(table["acquisition"]))
    series = series_of(table)
    colours = series_colours(series)
    figure, axes = panels(1, len(acquisitions), (3.6, 2.9), (0.8, 0.25, 0.95, 0.95), (0.3, 0.3), sharey=True)
    for axis, acquisition in zip(axes[0], acquisitions):
        for name, colour in colours.items():
            part = table[(table["acquisition"] == acquisition) & (table["series"] == name)].set_index("step")
            axis.plot(range(len(STEPS)), part.loc[list(STEPS), "residual"], "o-", color=colour, ms=5)
            axis.axhline(part["noise"].iloc[0], color=colour, ls="--", lw=1)
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axis.set_xticks(range(len(STEPS)), _STEP_TICKS, rotation=40, ha="right")
        axis.set_title(TITLES[acquisition], fontsize=10, loc="left")
        axis.grid(axis="y", color=PALE)
    axes[0, 0].set_ylabel("residual energy (% of the data's)", fontsize=8.5)
    headline(figure, "What explains the gap")
    legend(figure, {name: (colour, "-") for name, colour in colours.items()} | {"noise": (GREY, "--")})
    return png(figure)


def models_on_steps(table):
    """Errors of methods on rebuilt spectra and on the scans: a panel a series, a line a method.

    Args:
        table: DataFrame of `sim_to_real.model_table`.

    Returns:
        bytes of a PNG file.
    """
    series = series_of(table)
    labels = list(dict.fromkeys(table["label"]))
    steps = [*STEPS, MEASURED]
    rows = -(-len(labels) // _LEGEND_COLUMNS)
    figure, axes = panels(1, len(series), (4.6, 2.9), (0.8, 0.25, 0.75 + 0.2 * rows, 1.1), (0.3, 0.3), sharey=True)
    styles = {
        label: (COLOURS[index % len(COLOURS)], _STYLES[index // len(COLOURS) % len(_STYLES)])
        for index, label in enumerate(labels)
    }
    for axis, name in zip(axes[0], series):
        for label, (colour, style) in styles.items():
            part = table[(table["series"] == name) & (table["label"] == label)].set_index("step").reindex(steps)
            axis.plot(range(len(STEPS)), part["mae"].iloc[:-1], marker="o", ms=4, color=colour, ls=style)
            axis.plot(len(STEPS), part["mae"].iloc[-1], marker="D", ms=6, color=colour)
        axis.set_xticks(range(len(steps)), [*_STEP_TICKS, MEASURED], rotation=40, ha="right")
        axis.set_title(name, fontsize=10, loc="left")
        axis.set_ylim(bottom=0)
        axis.grid(axis="y", color=PALE)
    axes[0, 0].set_ylabel("mean absolute error", fontsize=8.5)
    headline(figure, "Errors on rebuilt spectra")
    legend(figure, styles, _LEGEND_COLUMNS)
    return png(figure)
