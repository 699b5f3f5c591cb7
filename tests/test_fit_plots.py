import numpy as np
import pytest
from .fit_examples import MODEL, example_basis, example_prediction, example_scan
from matplotlib.image import imread

from fsl_mrs_dl.fit.plots import FIGURE_PIXELS, fit_summary
from fsl_mrs_dl.fit.result import make_result


def picture(path, fit, title=""):
    fit_summary(fit, path, title)
    return imread(path)[..., :3]


def fits(noise):
    basis, prediction = example_basis(), example_prediction()
    return make_result(example_scan(basis, prediction, noise), basis, prediction, MODEL).fits


def test_picture_has_the_size_of_fsl_mrs(tmp_path):
    assert picture(tmp_path / "a.png", fits(0.3)["off"]).shape == (*FIGURE_PIXELS[::-1], 3)


def test_highest_peak_is_red_at_the_place_of_naa(tmp_path):
    image = picture(tmp_path / "a.png", fits(0.0)["off"])
    red = (image[..., 0] > 0.7) & (image[..., 1] < 0.3) & (image[..., 2] < 0.4)
    red[:, 750:] = False  # the legend
    row, column = np.argwhere(red)[0]
    left, width = 0.045 * 900, 0.925 * 900
    # The example stands 4 Hz, 0.03 ppm, above the basis; the phase moves the maximum a little.
    assert 4.2 - (column - left) / width * 4.0 == pytest.approx(2.045, abs=0.02)


def test_pictures_do_not_depend_on_what_was_drawn_before(tmp_path):
    made = fits(0.3)
    first = picture(tmp_path / "a.png", made["off"], "one")
    picture(tmp_path / "b.png", made["diff"], "other")
    np.testing.assert_array_equal(first, picture(tmp_path / "c.png", made["off"], "one"))


def test_names_are_shown_as_they_are(tmp_path):
    """A pair of dollars would else be read as mathematics, and may not even parse."""
    assert picture(tmp_path / "a.png", fits(0.3)["off"], r"scan_$\frac$ of <me>").shape == (1000, 900, 3)
