"""Pictures of basis sets: a row per metabolite, a column per spectrum."""

from pathlib import Path

from matplotlib.figure import Figure

from ..axes import fid_to_spectrum, ppm_axis

PPM_LIMITS = (0.2, 4.4)
ROWS_PER_PAGE = 8

TITLES = {"edit_off": "edit-off", "edit_on": "edit-on", "difference": "difference (on - off)", "single": "spectrum"}


def basis_figures(basis):
    """Figures of the real spectra, ppm falling to the right; in a row all spectra have one scale.

    Args:
        basis: BasisSet.

    Returns:
        list of matplotlib Figures, one per page of `ROWS_PER_PAGE` metabolites.
    """
    ppm = ppm_axis(basis.points, basis.dwell_s, basis.centre_hz)
    shown = (ppm >= PPM_LIMITS[0]) & (ppm <= PPM_LIMITS[1])
    columns = list(basis.conditions) + (["difference"] if len(basis.conditions) == 2 else [])
    spectra = {name: fid_to_spectrum(basis.spectrum(name)).real[:, shown] for name in columns}
    return [
        _page(ppm[shown], spectra, basis, range(start, min(start + ROWS_PER_PAGE, len(basis.names))))
        for start in range(0, len(basis.names), ROWS_PER_PAGE)
    ]


def _page(ppm, spectra, basis, rows):
    """One figure: ppm (point,), spectra {name: (metabolite, point)}, rows of metabolites to draw."""
    figure = Figure(figsize=(3.6 * len(spectra) + 0.6, 1.3 * len(rows) + 0.9), layout="constrained")
    axes = figure.subplots(len(rows), len(spectra), sharex=True, sharey="row", squeeze=False)
    for row, index in zip(axes, rows, strict=True):
        for cell, (name, values) in zip(row, spectra.items(), strict=True):
            cell.plot(ppm, values[index], linewidth=0.8, color="black")
            cell.set_yticks([])
            cell.spines[["top", "left", "right"]].set_visible(False)
            if index == rows[0]:
                cell.set_title(TITLES[name], fontsize=10)
        row[0].set_ylabel(basis.names[index], rotation=0, ha="right", va="center")
    axes[0, 0].set_xlim(*reversed(PPM_LIMITS))
    for cell in axes[-1]:
        cell.set_xlabel("chemical shift (ppm)", fontsize=8)
    width = f", lines {basis.linewidth_hz:g} Hz" if basis.linewidth_hz else ""
    header = f"{basis.centre_hz / 1e6:.2f} MHz, {basis.points} points, {1 / basis.dwell_s:g} Hz{width}"
    figure.suptitle(header, fontsize=9)
    return figure


def save_figures(basis, folder):
    """Write the pages of `basis_figures` as basis_1.png, basis_2.png, ... into a folder; returns their paths."""
    paths = []
    for number, figure in enumerate(basis_figures(basis), start=1):
        paths.append(Path(folder) / f"basis_{number}.png")
        figure.savefig(paths[-1], dpi=120)
    return paths
