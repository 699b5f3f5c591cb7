"""Pictures of training scans and what they consist of."""

import matplotlib.figure
import torch

from .. import axes
from .dataset import GRID_DWELL_S, GRID_POINTS

SHOWN_PPM = (0.0, 5.5)

COLOURS = {"scan": "black", "metabolites": "tab:blue", "nuisance": "tab:orange", "noise": "tab:green"}

TITLES = {"edit_off": "edit-off", "edit_on": "edit-on", "single": "spectrum"}


def first_scans(stream, number):
    """The first scans of a stream, one by one.

    Args:
        stream: dataset.Stream.
        number: how many.

    Yields:
        index of the scan, its FIDs {"scan", "metabolites", "nuisance", "noise": (condition, point)}
        complex64, and its parameters {name: tensor of the scan}.
    """
    for index in range(number):
        batch, row = divmod(index, stream.batch)
        if row == 0:
            parts = stream.parts(batch)
            whole = parts.batch().measured
        fids = (whole[row], parts.clean[row], parts.nuisance[row], parts.noise[row])
        drawn = {name: values[row] for name, values in vars(parts.draw).items() if torch.is_tensor(values)}
        yield index, dict(zip(COLOURS, fids)), drawn


def preview_figure(stream, basis, number):
    """Real spectra of the first scans of a stream: the whole, and each component below it.

    Args:
        stream: dataset.Stream.
        basis: BasisSet that it was made with.
        number: scans to draw, a row each.

    Returns:
        matplotlib figure.
    """
    conditions = basis.conditions
    figure = matplotlib.figure.Figure(figsize=(5 * len(conditions) + 1, 2.6 * number + 0.6), layout="constrained")
    panels = figure.subplots(number, len(conditions), squeeze=False)
    ppm = axes.ppm_axis(GRID_POINTS, GRID_DWELL_S, basis.centre_hz)
    shown = (ppm >= SHOWN_PPM[0]) & (ppm <= SHOWN_PPM[1])
    for index, fids, drawn in first_scans(stream, number):
        for column, condition in enumerate(conditions):
            spectra = {name: axes.fid_to_spectrum(fid[column]).real.numpy()[shown] for name, fid in fids.items()}
            _draw(panels[index, column], ppm[shown], spectra)
            panels[index, column].set_title(f"scan {index}, {TITLES[condition]}{_said(drawn)}", fontsize=8)
    for panel in panels[-1]:
        panel.set_xlabel("chemical shift (ppm)")
    lines, labels = panels[0, 0].get_legend_handles_labels()
    title = f"recipe {stream.recipe.name}, seed {stream.seed}"
    figure.legend(lines, labels, title=title, loc="outside upper center", ncols=len(labels), fontsize=8, frameon=False)
    return figure


def _draw(panel, ppm, spectra):
    """The components one below the other, on one scale; residual water is cut off."""
    height = 1.1 * float(abs(spectra["metabolites"]).max()) or 1.0
    for place, (name, values) in enumerate(spectra.items()):
        panel.plot(ppm, values / height - place, linewidth=0.7, color=COLOURS[name], label=name, clip_on=True)
    panel.set(xlim=SHOWN_PPM[::-1], ylim=(-len(spectra) + 0.2, 1.3), yticks=[])


def _said(drawn):
    """The parameters that a look at the picture wants, in words."""
    member = int(drawn["member"])
    basis = "" if member < 0 else f", basis {member} of the pool"
    if (drawn["on_member"] != member).any():
        basis += ", edit-on of others"
    return (
        f": {float(drawn['lorentz_hz']):.1f} Hz Lorentz, {float(drawn['gauss_hz']):.1f} Hz Gauss, "
        f"noise {float(drawn['noise_sigma']):.3f}{basis}"
    )
