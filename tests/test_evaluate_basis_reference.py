"""The comparison with reference spectra, on a reference that the package makes itself."""

import json

import numpy as np
import pytest

from fsl_mrs_dl.basis.pulses import gaussian, hann_sinc
from fsl_mrs_dl.errors import DataError
from fsl_mrs_dl.evaluate import basis_reference
from fsl_mrs_dl.evaluate.basis_reference import VARIANTS, compare, simulate_variant


def table(pulse, **more):
    """A pulse as pulses.json holds it."""
    return {
        "amplitude": list(np.array(pulse.amplitude_hz) / pulse.peak_hz),
        "phase_rad": [0.0] * pulse.points,
        "duration_s": pulse.duration_s,
        "turns": pulse.peak_hz * pulse.duration_s,
    } | more


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A small reference folder made with the phase cycle."""
    monkeypatch.setattr(basis_reference, "POINTS", 256)
    monkeypatch.setattr(basis_reference, "VARIANTS", VARIANTS[:1])
    pulses = {
        "editing": table(gaussian(0.02, points=20)),
        "refocusing_100": table(hann_sinc(0.005, points=20), time_bandwidth=4.0),
    }
    (tmp_path / "pulses.json").write_text(json.dumps(pulses))
    fids = simulate_variant(VARIANTS[0], pulses, True)
    for index, name in enumerate(basis_reference.NAMES):
        path = tmp_path / f"{name}_ideal_refocusing.npz"
        np.savez(path, fid_off=3j * fids[0, index], fid_on=fids[1, index])
    return tmp_path


def test_a_reference_of_its_own_agrees(folder):
    rows = compare(folder)
    assert len(rows) == 4
    for _, _, selection, _, off, on in rows.itertuples():
        tolerance = 1e-9 if selection == "phase cycle" else 1e-3
        assert (off, on) == pytest.approx((1, 1), abs=tolerance)


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(DataError, match="is not a reference folder") as caught:
        compare(tmp_path)
    assert "\n" not in str(caught.value)
