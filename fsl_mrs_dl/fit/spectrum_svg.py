"""A spectrum with its fit as SVG text: small, sharp at any size, and drawn in a millisecond."""

import numpy as np

from .. import axes

WIDTH, HEIGHT = 1000, 400
_LEFT, _RIGHT = 14, 986
_RESIDUAL_TOP, _RESIDUAL_BOTTOM = 8, 74
_TOP, _BOTTOM = 84, 356
_TICKS_PPM = np.arange(0.5, 10, 0.5)


def spectrum_svg(fit, label):
    """SVG element of a VoigtFit: residual above; data, fit and baseline below; ppm from right to left.

    The zero-order phase of the fit is taken out, so that lines are upright. Curves have the classes
    data, fit, baseline and residual, to be coloured by the page.

    Args:
        fit: VoigtFit.
        label: what it shows, for screen readers (must be free of markup).
    """
    upright = np.exp(1j * fit.parameters[fit.parameter_names.index("Phi0")])
    window = fit.window
    data, model, baseline = (
        axes.fid_to_spectrum(fid * upright).real[window] for fid in (fit.data, fit.predicted, fit.baseline)
    )
    residual = data - model
    shown = np.concatenate([data, model, baseline])
    per_pixel = max(np.ptp(shown) * 1.06 / (_BOTTOM - _TOP), np.finfo(float).tiny)
    top = shown.max() + 0.03 * np.ptp(shown)
    # The residual has the same scale, unless it would leave its strip.
    half = (_RESIDUAL_BOTTOM - _RESIDUAL_TOP) / 2
    shrink = max(1.0, np.abs(residual).max() / per_pixel / half)
    middle = (_RESIDUAL_TOP + _RESIDUAL_BOTTOM) / 2

    high, low = fit.ppm_limits[1], fit.ppm_limits[0]
    x = _LEFT + (high - fit.ppm[window]) / (high - low) * (_RIGHT - _LEFT)
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}" xmlns="http://www.w3.org/2000/svg">',
        *_frame(low, high, _TOP + top / per_pixel, middle),
        _curve("residual", x, middle - residual / per_pixel / shrink),
        _curve("data", x, _TOP + (top - data) / per_pixel),
        _curve("baseline", x, _TOP + (top - baseline) / per_pixel),
        _curve("fit", x, _TOP + (top - model) / per_pixel),
        f'<text class="tick" text-anchor="end" x="{_RIGHT - 2}" y="{_RESIDUAL_TOP + 10}">residual'
        f"{'' if shrink == 1 else f' (height divided by {shrink:.1f})'}</text>",
        "</svg>",
    ]
    return "\n".join(parts)


def _curve(name, x, y):
    """Polyline of a class."""
    points = " ".join(f"{one:.1f},{other:.1f}" for one, other in zip(x.tolist(), y.tolist()))
    return f'<polyline class="{name}" points="{points}"/>'


def _frame(low, high, zero, residual_zero):
    """Grid, zero lines and axis of the chemical shift."""
    for ppm in _TICKS_PPM[(_TICKS_PPM > low) & (_TICKS_PPM < high)]:
        x = _LEFT + (high - ppm) / (high - low) * (_RIGHT - _LEFT)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_RESIDUAL_TOP}" y2="{_BOTTOM}"/>'
        yield f'<text class="tick middle" x="{x:.1f}" y="{_BOTTOM + 17}">{ppm:.1f}</text>'
    for y in (zero, residual_zero):
        if _RESIDUAL_TOP <= y <= _BOTTOM:
            yield f'<line class="zero" x1="{_LEFT}" x2="{_RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
    yield f'<line class="axis" x1="{_LEFT}" x2="{_RIGHT}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>'
    yield f'<text class="tick middle" x="{WIDTH / 2:.0f}" y="{HEIGHT - 6}">chemical shift (ppm)</text>'
