"""FSL-MRS's simulator on our sequence descriptions; a stand-in is only used for what surrounds it."""

import importlib.util

import numpy as np
import pytest

from fsl_mrs_dl.axes import REFERENCE_PPM, fid_to_spectrum, ppm_axis
from fsl_mrs_dl.basis.builders import press
from fsl_mrs_dl.basis.simulate import simulate
from fsl_mrs_dl.basis.spins import load_systems
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.errors import ConfigError
from fsl_mrs_dl.fslmrs import simulator


def has_simulator():
    return bool(importlib.util.find_spec("fsl_mrs") and importlib.util.find_spec("fsl_mrs.denmatsim.simseq"))


@pytest.mark.with_fsl_mrs
@pytest.mark.skipif(not has_simulator(), reason="FSL-MRS's simulator fsl_mrs.denmatsim is not importable")
def test_both_engines_give_the_same_spectra():
    sequence = press(te_s=0.03, positions=4, points=1024)
    names = ["Cr", "Lac", "NAA"]
    theirs, ours = simulator.simulate([sequence], names)[0], simulate([sequence], names)[0]
    common = np.vdot(ours, theirs) / np.vdot(ours, ours)
    assert common.real > 0 and abs(common.imag) < 0.05 * common.real
    assert np.linalg.norm(theirs - common * ours) < 0.05 * np.linalg.norm(theirs)


@pytest.mark.skipif(has_simulator(), reason="FSL-MRS's simulator is there")
def test_without_the_simulator_one_line(tmp_path, capsys):
    with pytest.raises(ConfigError, match="conda install"):
        simulator.require_simulator()
    output = tmp_path / "basis"
    assert main(["simulate", "--sequence", "press", "--engine", "fsl", "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1 and "--engine torch" in error and not output.exists()


def test_hetero_nuclei_are_given_as_shifts():
    """The 14N of choline splits its protons into shifted copies; none of them stands at 40 or 100 ppm."""
    systems = simulator.spin_systems(load_systems()["GPC"], 123.2e6)
    assert max(max(system["shifts"]) for system in systems) < 6
    spins = sum(system["scaleFactor"] * len(system["shifts"]) for system in systems)
    assert spins == pytest.approx(18)
    for system in systems:
        j = np.array(system["j"])
        assert j.shape == (len(system["shifts"]),) * 2 and not np.tril(j).any()


def test_fids_are_added_up_and_turned_round(monkeypatch):
    """What surrounds the simulator: weights, orientation, and a description that calls do not change."""
    seen = []

    def simseq(system, description):
        seen.append(description.pop("B0"))
        t = np.arange(description["Rx_Points"]) / description["Rx_SW"]
        hertz = (np.array(system["shifts"]) - REFERENCE_PPM) * centre_hz * 1e-6
        return np.exp(-2j * np.pi * hertz[:, None] * t - 10 * t).sum(0), {}, None

    sequence = press(te_s=0.03, positions=2, points=1024)
    centre_hz = sequence.centre_hz
    monkeypatch.setattr(simulator, "require_simulator", lambda: simseq)
    fids = simulator.simulate([sequence], ["Cr"])
    ppm = ppm_axis(1024, sequence.dwell_s, centre_hz)
    spectrum = fid_to_spectrum(fids)[0, 0].real
    assert ppm[spectrum.argmax()] == pytest.approx(3.03, abs=0.02) and set(seen) == {sequence.b0_t}
    assert fids[0, 0, 0].real == pytest.approx(6, abs=0.1)  # protons, the one at 6.65 ppm too
