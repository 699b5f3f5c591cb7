"""Conventional fits beside the models: known contents by each tool, and what their frame does with spectra."""

import os
from dataclasses import replace

import numpy as np
import pytest

from fsl_mrs_dl import axes
from fsl_mrs_dl.basis.basis_set import read_basis, shipped_basis
from fsl_mrs_dl.errors import ConfigError, DataError
from fsl_mrs_dl.evaluate.conventional import PPM_RANGE, conventional_method, resample_basis
from fsl_mrs_dl.evaluate.lcmodel import lcmodel_method
from fsl_mrs_dl.evaluate.run import outcome_of
from fsl_mrs_dl.fit.scan import Scan
from fsl_mrs_dl.fslmrs.newton import NewtonFit, newton_version

CONTENTS = {"Cr": 10.0, "GABA": 8.0, "Gln": 4.0, "Glu": 16.0, "NAA": 20.0}


@pytest.fixture(scope="module")
def shipped():
    """The shipped basis set, with creatine in a difference."""
    return read_basis(shipped_basis())


def scan_of(basis, points=2048, dwell_s=5e-4, centre_hz=None):
    """A Scan of CONTENTS with some noise, phase, shift and width, at a spectrometer frequency of its own."""
    centre_hz = centre_hz or basis.centre_hz
    basis = basis.resample(dwell_s * centre_hz / basis.centre_hz, points)
    t = axes.time_axis(points, dwell_s)
    fids = np.einsum("k,ckn->cn", [CONTENTS[name] for name in basis.names], basis.fids)
    fids = fids * np.exp((2j * np.pi * 2 - 3 * np.pi) * t + 0.2j)
    random = np.random.default_rng(1)
    noise = random.normal(size=fids.shape) + 1j * random.normal(size=fids.shape)
    return Scan(fids + 1e-3 * np.abs(fids).max() * noise, basis.conditions, dwell_s, centre_hz, name="one")


def needs_lcmodel():
    """Skip where LCModel cannot be run without fetching it."""
    pytest.importorskip("lcmodel_wrapper", reason="lcmodel-wrapper is not installed (fsl_mrs_dl[lcmodel])")
    if not os.environ.get("LCMODEL_EXEC"):
        pytest.skip("LCMODEL_EXEC does not name LCModel's executable")


def assert_contents(estimates, relative, spectrum):
    """Estimates of a spectrum are the contents, on the scale of the basis set."""
    found = [estimates[spectrum][name] for name in CONTENTS]
    np.testing.assert_allclose(found, list(CONTENTS.values()), rtol=relative)


@pytest.mark.with_fsl_mrs
@pytest.mark.parametrize("grid", [{}, {"points": 1536, "dwell_s": 4e-4, "centre_hz": 123.9e6}])
def test_newton_finds_the_contents(shipped, grid):
    method = conventional_method("newton", NewtonFit(PPM_RANGE), shipped, newton_version(PPM_RANGE))
    outcome = outcome_of(method, scan_of(shipped, **grid))
    assert method.spectra == ("off", "diff") and outcome.failures == {}
    for spectrum in method.spectra:
        assert_contents(outcome.estimates, 0.06, spectrum)
    assert outcome.estimates["off"]["Cr"] == outcome.estimates["diff"]["Cr"]


@pytest.mark.parametrize("grid", [{}, {"points": 1536, "dwell_s": 4e-4, "centre_hz": 123.9e6}])
def test_lcmodel_finds_the_contents(shipped, grid):
    needs_lcmodel()
    method = lcmodel_method(shipped)
    outcome = outcome_of(method, scan_of(shipped, **grid))
    assert method.spectra == ("off", "diff") and outcome.failures == {}
    for spectrum in method.spectra:
        # Its prior of line widths, made for lines in vivo, costs it some of Gln and GABA.
        assert_contents(outcome.estimates, 0.25, spectrum)
        strong = [outcome.estimates[spectrum][name] for name in ("Cr", "NAA")]
        np.testing.assert_allclose(strong, [CONTENTS["Cr"], CONTENTS["NAA"]], rtol=0.07)
    assert outcome.estimates["off"]["Cr"] == outcome.estimates["diff"]["Cr"]


def test_lcmodel_that_ends_without_a_result_has_failed(shipped, tmp_path, monkeypatch):
    pytest.importorskip("lcmodel_wrapper", reason="lcmodel-wrapper is not installed (fsl_mrs_dl[lcmodel])")
    from lcmodel_wrapper import core

    monkeypatch.setattr(core, "_wait_for_file", lambda path, timeout, output: _raise(core.LCModelError(output)))
    fake = tmp_path / "lcmodel"
    fake.write_text("#!/bin/sh\necho 'LCMODL FATAL ERROR'\n")
    fake.chmod(0o755)
    monkeypatch.setenv("LCMODEL_EXEC", str(fake))
    outcome = outcome_of(lcmodel_method(shipped), scan_of(shipped))
    assert outcome.estimates == {} and "FATAL" in outcome.failures["off"] and "edit-off" in outcome.failures["diff"]


def _raise(error):
    raise error


def test_lcmodel_is_missing_without_its_executable(shipped, tmp_path, monkeypatch):
    pytest.importorskip("lcmodel_wrapper", reason="lcmodel-wrapper is not installed (fsl_mrs_dl[lcmodel])")
    monkeypatch.setenv("LCMODEL_EXEC", str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match="no LCModel executable .*nothing"):
        lcmodel_method(shipped)


def test_what_a_difference_does_not_show_is_from_edit_off(shipped):
    seen = {}

    def fit(scan, basis, spectrum):
        seen[spectrum] = (scan.fids, basis.names)
        return dict.fromkeys(basis.names, 1.0 if spectrum == "off" else 2.0)

    scan = scan_of(shipped)
    found = conventional_method("m", fit, shipped, "1").fit(scan)
    assert found == {"off": dict.fromkeys(CONTENTS, 1.0), "diff": dict.fromkeys(CONTENTS, 2.0) | {"Cr": 1.0}}
    assert seen["off"][1] == shipped.names and "Cr" not in seen["diff"][1]
    np.testing.assert_array_equal(seen["diff"][0][0], scan.fids[1] - scan.fids[0])


def test_a_spectrum_that_fails_leaves_the_other(shipped):
    def fit(scan, basis, spectrum):
        if spectrum == failing:
            raise RuntimeError("no fit")
        return dict.fromkeys(basis.names, 1.0 if spectrum != empty else 0.0)

    method, scan = conventional_method("m", fit, shipped, "1"), scan_of(shipped)
    failing, empty = "diff", None
    assert outcome_of(method, scan).failures == {"diff": "RuntimeError: no fit"}
    failing = "off"
    reason = "DataError: Cr would be from edit-off, whose fit failed: no fit"
    assert outcome_of(method, scan).failures == {"off": "RuntimeError: no fit", "diff": reason}
    failing, empty = None, "off"
    assert set(outcome_of(method, scan).failures) == {"off", "diff"}


def test_one_spectrum(shipped):
    basis = read_basis(shipped_basis() / "diff")
    method = conventional_method("m", lambda scan, basis, spectrum: {spectrum: abs(scan.fids).max()}, basis, "1")
    scan = scan_of(shipped)
    assert method.spectra == ("diff",)
    assert method.fit(scan) == {"diff": {"diff": abs(scan.fids[1] - scan.fids[0]).max()}}
    single = conventional_method("m", lambda scan, basis, spectrum: {"Cr": 1.0}, replace(basis, folders=()), "1")
    assert single.fit(scan.single("edit_off")) == {"single": {"Cr": 1.0}}


def test_the_basis_keeps_its_ppm_on_the_grid_of_the_scan(tiny_basis):
    scan = Scan(np.ones((2, 1024)), ("edit_off", "edit_on"), 4e-4, 1.005 * tiny_basis.centre_hz)
    basis = resample_basis(tiny_basis, scan)
    assert (basis.points, basis.dwell_s, basis.centre_hz) == (1024, 4e-4, scan.centre_hz)
    spectrum = np.abs(axes.fid_to_spectrum(basis.fids[0, basis.names.index("Cr")]))
    peak = axes.ppm_axis(1024, 4e-4, scan.centre_hz)[np.argmax(spectrum)]
    assert peak == pytest.approx(3.03, abs=0.01)
    with pytest.raises(DataError, match="7.05 T"):
        resample_basis(tiny_basis, replace(scan, centre_hz=300e6))


def test_an_unedited_scan_fails(shipped):
    method = conventional_method("m", lambda scan, basis, spectrum: {"Cr": 1.0}, shipped, "1")
    outcome = outcome_of(method, scan_of(shipped).single("edit_off"))
    assert set(outcome.failures) == {"off", "diff"} and "one spectrum" in outcome.failures["off"]
