"""fit_summary.png: one spectrum with its fit, baseline and residual, as FSL-MRS lays it out."""

import threading
from functools import lru_cache

import numpy as np

from .. import axes

FIGURE_PIXELS = (900, 1000)
_DPI = 100
_FIGURE_LOCK = threading.Lock()  # one figure is filled again and again: building its axes takes longest
_COLOURS = {"data": "#4d4d4d", "fit": "#c8102e", "baseline": "#1f5fa8", "residual": "#4d4d4d"}


def fit_summary(fit, path, title=""):
    """Draw the real part of data, model, baseline and residual over the fitted range.

    Args:
        fit: VoigtFit.
        path: PNG file to write, 900 x 1000 pixels.
        title: text above the spectra.
    """
    window = fit.window
    curves = {
        name: axes.fid_to_spectrum(fid).real[window]
        for name, fid in (("data", fit.data), ("fit", fit.predicted), ("baseline", fit.baseline))
    }
    curves["residual"] = curves["data"] - curves["fit"]
    shown = np.concatenate([curves["data"], curves["fit"]])
    margin = 0.08 * (np.ptp(shown) or 1.0)
    # The residual has the scale of the spectra (panel heights 1 to 5), unless it is larger than its panel.
    half = max(0.5 / 5 * (np.ptp(shown) + 2 * margin), 1.15 * np.abs(curves["residual"]).max()) or 1.0
    with _FIGURE_LOCK:
        figure, artists = _build_figure()
        for name, curve in curves.items():
            artists[name].set_data(fit.ppm[window], curve)
        artists["spectra"].set(xlim=fit.ppm_limits[::-1], ylim=(shown.min() - margin, shown.max() + margin))
        artists["residuals"].set(xlim=fit.ppm_limits[::-1], ylim=(-half, half))
        artists["title"].set_text(title)
        figure.canvas.print_png(path, pil_kwargs={"compress_level": 3})


@lru_cache(maxsize=1)
def _build_figure():
    """Figure with two panels, and a dictionary of the artists to fill."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=[pixels / _DPI for pixels in FIGURE_PIXELS], dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    residuals = figure.add_axes((0.045, 0.80, 0.925, 0.145))
    spectra = figure.add_axes((0.045, 0.065, 0.925, 0.725))
    artists = {"residuals": residuals, "spectra": spectra}
    lines = (("data", 0.8, 0.9), ("fit", 1.5, 1.0), ("baseline", 1.2, 0.9))
    for name, width, alpha in lines:
        (artists[name],) = spectra.plot([], [], lw=width, color=_COLOURS[name], alpha=alpha, label=name)
    (artists["residual"],) = residuals.plot([], [], lw=0.8, color=_COLOURS["residual"])
    ticks = np.arange(0.5, 10, 0.5)
    for axis in (residuals, spectra):
        axis.set_xticks(ticks)
        axis.set_yticks([])
        axis.axhline(0, lw=0.6, color="#999999", ls=":")
        axis.grid(axis="x", lw=0.5, color="#dddddd")
        axis.spines[["top", "right", "left"]].set_visible(False)
    residuals.tick_params(labelbottom=False, length=0)
    residuals.spines["bottom"].set_visible(False)
    residuals.text(0.005, 0.97, "residual", transform=residuals.transAxes, va="top", color=_COLOURS["residual"])
    spectra.set_xlabel("Chemical shift (ppm)")
    spectra.legend(loc="upper right", frameon=False)
    artists["title"] = figure.text(0.045, 0.962, "", fontsize=11, weight="bold", parse_math=False)
    return figure, artists
