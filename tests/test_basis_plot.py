"""Pictures of basis sets show every metabolite, each line at its ppm, ppm falling to the right."""

import numpy as np
import pytest

from fsl_mrs_dl.axes import ppm_to_hz, time_axis
from fsl_mrs_dl.basis.basis_set import BasisSet
from fsl_mrs_dl.basis.plot import basis_figures, save_figures

SHIFTS_PPM = np.linspace(1.0, 4.0, 9)


@pytest.fixture
def basis():
    times = time_axis(1024, 5e-4)
    off = np.exp((2j * np.pi * ppm_to_hz(SHIFTS_PPM[:, None], 123.2e6) - 6) * times)
    names = tuple(f"M{number}" for number in range(len(SHIFTS_PPM)))
    return BasisSet(np.array([off, 0.5 * off]), ("edit_off", "edit_on"), names, 5e-4, 123.2e6, 2.0)


def test_every_metabolite_has_a_row_with_its_line(basis):
    figures = basis_figures(basis)
    assert [len(figure.axes) for figure in figures] == [24, 3]
    rows = [figure.axes[start : start + 3] for figure in figures for start in range(0, len(figure.axes), 3)]
    for shift, name, (off, on, difference) in zip(SHIFTS_PPM, basis.names, rows, strict=True):
        assert off.get_ylabel() == name
        assert off.get_xlim()[0] > off.get_xlim()[1]
        heights = [cell.lines[0].get_ydata() for cell in (off, on, difference)]
        np.testing.assert_allclose(heights[2], heights[1] - heights[0], atol=1e-9)
        assert off.lines[0].get_xdata()[np.argmax(heights[0])] == pytest.approx(shift, abs=0.01)


def test_pages_are_png_files(basis, tmp_path):
    paths = save_figures(basis, tmp_path)
    assert [path.name for path in paths] == ["basis_1.png", "basis_2.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
