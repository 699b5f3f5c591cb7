import numpy as np
import pytest
from .fit_examples import example_basis, example_prediction, example_scan

from fsl_mrs_dl import axes
from fsl_mrs_dl.fit.basis_grid import on_grid, read_alike


def scan_of(bandwidth_hz, points):
    return example_scan(example_basis(), example_prediction(), points=points, dwell_s=1 / bandwidth_hz)


@pytest.mark.parametrize(
    ("bandwidth_hz", "points", "alike"),
    [
        (2000, 4096, True),
        (2000 * (1 + 5e-8), 2048, True),  # a dwell time kept in single precision
        (4000, 2048, True),
        (1250, 1024, True),
        (3000.7, 2048, False),  # FSL-MRS would take another bandwidth
        (2000, 4097, False),  # longer than the basis
    ],
)
def test_grids_that_fsl_mrs_reaches(bandwidth_hz, points, alike):
    assert read_alike(example_basis(), scan_of(bandwidth_hz, points)) is alike


def test_same_dwell_time_only_cuts():
    basis = example_basis()
    np.testing.assert_array_equal(on_grid(basis, scan_of(2000, 1500)).fids, basis.fids[..., :1500])


@pytest.mark.parametrize("bandwidth_hz", [1250, 3000.7, 4000])
def test_lines_stay_where_and_as_high_as_they_are(bandwidth_hz):
    scan = scan_of(bandwidth_hz, 2048)
    basis = on_grid(example_basis(), scan)
    assert (basis.points, basis.dwell_s) == (scan.points, scan.dwell_s)
    expected = axes.fid_to_spectrum(example_basis(16384, 1 / bandwidth_hz).fids[..., :2048])
    ppm = axes.ppm_axis(2048, 1 / bandwidth_hz, basis.centre_hz)
    fitted = (ppm > 0.2) & (ppm < 4.2)
    difference = np.abs(axes.fid_to_spectrum(basis.fids) - expected)[..., fitted]
    assert difference.max() < 0.005 * np.abs(expected).max()


@pytest.mark.with_fsl_mrs
@pytest.mark.parametrize("bandwidth_hz", [1250, 2000, 4000])
def test_host_resamples_alike(bandwidth_hz):
    misc = pytest.importorskip("fsl_mrs.utils.misc", reason="needs an importable FSL-MRS", exc_type=ImportError)
    basis = example_basis()
    theirs = misc.ts_to_ts_ft(basis.fids[0].T, basis.dwell_s, 1 / bandwidth_hz, 1024).T
    np.testing.assert_allclose(on_grid(basis, scan_of(bandwidth_hz, 1024)).fids[0], theirs, atol=1e-12)
