"""The picture has every imperfection of a recipe, and each of them changes the scan."""

from dataclasses import fields

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from fsl_mrs_dl.basis.basis_set import read_basis, shipped_basis
from fsl_mrs_dl.synth.dataset import Stream
from fsl_mrs_dl.synth.imperfections import BEFORE, EXAMPLES, imperfections_figure, recipe_with
from fsl_mrs_dl.synth.priors import Recipe


def test_every_imperfection_has_a_picture_and_changes_the_scan(tiny_basis):
    plain = Stream(tiny_basis, BEFORE, 1, None, 1)[0].measured
    for name, values in EXAMPLES:
        after = Stream(tiny_basis, recipe_with(values), 1, None, 1)[0].measured
        assert (after - plain).abs().max() > 0.02 * plain.abs().max(), name
    shown = {field for _, values in EXAMPLES for field in values}
    ranges = {field.name for field in fields(Recipe) if isinstance(getattr(BEFORE, field.name), tuple)}
    # Only how strong the others are, or the shape of noise.
    assert ranges - shown == {"water_hz", "water_tail_width_hz", "lipid_methyl", "mm_width_hz", "noise_betas", "own_mm"}


def test_the_picture_has_three_panels_for_each_and_one_for_a_single_spectrum(tiny_basis, single_basis):
    figure = imperfections_figure(tiny_basis, seed=2)
    assert len(figure.axes) == 3 * len(EXAMPLES)
    before, after = (line.get_ydata() for line in figure.axes[0].lines)
    assert before.max() > 1.5 * after.max() and "lorentz_hz 10" in figure.axes[0].get_title("left")
    off, on, difference = (cell.lines[1].get_ydata() for cell in figure.axes[:3])
    np.testing.assert_allclose(on - off, difference, atol=1e-4)
    assert figure.axes[0].get_xlim()[0] > figure.axes[0].get_xlim()[1]
    figure = imperfections_figure(single_basis, 1, EXAMPLES[:3])
    assert len(figure.axes) == 3


def test_no_curve_runs_through_a_label():
    figure = imperfections_figure(read_basis(shipped_basis()), seed=8)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for cell in figure.axes:
        (label,) = cell.texts
        box = label.get_window_extent(renderer)
        for line in cell.lines:
            x, y = cell.transData.transform(line.get_xydata()).T
            assert not ((x > box.x0) & (x < box.x1) & (y > box.y0) & (y < box.y1)).any(), cell.get_title("left")
