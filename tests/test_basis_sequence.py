"""Sequence descriptions: units at the file edge, spellings, errors, builders."""

import copy
import json

import numpy as np
import pytest

from fsl_mrs_dl.axes import GYROMAGNETIC_HZ_PER_T
from fsl_mrs_dl.basis.builders import megapress, press, steam
from fsl_mrs_dl.basis.pulses import gaussian, ideal
from fsl_mrs_dl.basis.sequence import Block, Sequence, read_sequence, write_sequence
from fsl_mrs_dl.basis.simulate import simulate
from fsl_mrs_dl.basis.spins import SpinSystem
from fsl_mrs_dl.errors import BasisError

GAMMA = GYROMAGNETIC_HZ_PER_T["1H"]

# A description in FSL-MRS's documented fields: two blocks, in other units than the package's own.
FIELDS = {
    "sequenceName": "demo",
    "description": "two pulses",
    "B0": 2.9,
    "Nucleus": "1H",
    "centralShift": 4.65,
    "Rx_Points": 64,
    "Rx_SW": 2000.0,
    "Rx_LW": 2.0,
    "Rx_Phase": 0.5,
    "x": [-25, 25],
    "y": [-10, 10],
    "z": [0, 0],
    "resolution": [5, 3, 1],
    "CoherenceFilter": [None, -1],
    "RFUnits": "uT",
    "GradUnits": "mT",
    "spaceUnits": "mm",
    "RF": [
        {"time": 0.002, "amp": [1.0, 2.0], "phase": [0.0, 0.1], "grad": [3.5, 0, 0], "ampScale": 2.0},
        {"time": 0.004, "frequencyOffset": -246, "phaseOffset": 1.5, "amp": [5.0], "phase": [0.0], "grad": [0, 2, 0]},
    ],
    "delays": [0.005, 0.001],
    "rephaseAreas": [[-5.1e-3, 0, 0], [0, 0, 0]],
}


def test_units_are_converted_when_read():
    sequence = Sequence.from_json(FIELDS)
    first, second = sequence.blocks
    assert first.pulse.amplitude_hz == pytest.approx((2e-6 * GAMMA, 4e-6 * GAMMA))
    assert first.gradient_t_per_m == pytest.approx((3.5e-3, 0, 0))
    assert first.rephase_area_ts_per_m == pytest.approx((-5.1e-6, 0, 0))
    assert (second.frequency_offset_hz, second.phase_offset_rad) == (-246, 1.5)
    assert (first.coherence, second.coherence) == (None, -1)
    assert sequence.positions_m(0) == pytest.approx([-0.025, -0.0125, 0, 0.0125, 0.025])
    assert sequence.duration_s == pytest.approx(0.001 + 0.005 + 0.004 + 0.001)


@pytest.mark.parametrize(("unit", "factor"), [("Hz", 1 / GAMMA), ("T", 1.0), ("mt", 1e-3), ("UT", 1e-6)])
def test_the_same_pulse_in_every_unit(unit, factor):
    fields = copy.deepcopy(FIELDS) | {"RFUnits": unit}
    for rf in fields["RF"]:
        rf["amp"] = [1e-6 * value / factor for value in rf["amp"]]
    assert Sequence.from_json(fields).blocks[0].pulse.amplitude_hz == pytest.approx((2e-6 * GAMMA, 4e-6 * GAMMA))


def test_gradients_in_hz_per_m():
    fields = copy.deepcopy(FIELDS) | {"GradUnits": "Hz"}
    fields["RF"][0]["grad"] = [3.5e-3 * GAMMA, 0, 0]
    assert Sequence.from_json(fields).blocks[0].gradient_t_per_m == pytest.approx((3.5e-3, 0, 0))


def test_defaults_and_other_spellings():
    fields = {key: value for key, value in FIELDS.items() if not key.endswith("Units")}
    for name in ("Points", "SW", "LW", "Phase"):
        fields[f"RX_{name}"] = fields.pop(f"Rx_{name}")
    fields.pop("centralShift")
    fields["CoherenceFilter"] = ["None", -1]
    sequence = Sequence.from_json(fields)
    assert sequence.blocks[0].pulse.amplitude_hz == (2.0, 4.0)
    assert sequence.blocks[0].gradient_t_per_m == (3.5, 0, 0)
    assert sequence.extent_m[0] == (-25, 25)
    assert sequence.centre_ppm == 0.0
    assert sequence.blocks[0].coherence is None


def test_written_sequences_read_back_the_same(tmp_path):
    for sequence in (*megapress(positions=4), press(), steam(), Sequence.from_json(FIELDS)):
        path = tmp_path / "sequence.json"
        write_sequence(sequence, path)
        again = read_sequence(path)
        assert again.to_json() == sequence.to_json()
        path.write_text(json.dumps({"seq": sequence.to_json(), "basis": {}}))
        assert read_sequence(path).to_json() == sequence.to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"B0": None}, "B0|float"),
        ({"delays": [0.1]}, "delays needs one entry for each of the 2 RF blocks, not 1"),
        ({"RFUnits": "kT"}, "RFUnits kT is not known"),
        ({"Nucleus": "31P"}, "31P is not simulated"),
        ({"resolution": [0, 1, 1]}, "resolution is 3 numbers"),
        ({"x": [0]}, "x needs 2 finite numbers"),
        ({"delays": [0.1, -0.1]}, "cannot be negative"),
        ({"Rx_SW": 0}, "Rx_SW"),
        ({"Rx_LW": -1}, "Rx_LW"),
        ({"Rx_Points": 256.9}, "Rx_Points must be a whole number, not 256.9"),
        ({"Rx_Points": float("inf")}, "Rx_Points must be a whole number"),
        ({"CoherenceFilter": [None, -1.6]}, "coherence order .* must be a whole number, not -1.6"),
        ({"resolution": [5, 2.5, 1]}, "resolution must be a whole number, not 2.5"),
        ({"RF": ["pulse", "pulse"]}, "RF must be a list of objects"),
        ({"RF": 2}, "RF must be a list of objects"),
        ({"B0": 10**400}, "too large"),
    ],
)
def test_wrong_fields_are_refused(change, message):
    with pytest.raises(BasisError, match=message):
        Sequence.from_json(FIELDS | change, "file.json")


@pytest.mark.parametrize("field", ["B0", "RF", "Rx_Points", "CoherenceFilter", "x"])
def test_missing_fields_are_named(field):
    fields = {key: value for key, value in FIELDS.items() if key != field}
    with pytest.raises(BasisError, match=f"file.json has no field .*{field[3:]}"):
        Sequence.from_json(fields, "file.json")


def test_a_phase_cycle_survives_json():
    fields = FIELDS | {"PhaseCycle": [[], [[0.0, 0.5], [1.5, -0.5]]]}
    sequence = Sequence.from_json(fields)
    assert [block.cycle for block in sequence.blocks] == [(), ((0.0, 0.5), (1.5, -0.5))]
    assert Sequence.from_json(sequence.to_json()).blocks[1].cycle == ((0.0, 0.5), (1.5, -0.5))
    with pytest.raises(BasisError, match="phase cycle's step needs 2"):
        Sequence.from_json(FIELDS | {"PhaseCycle": [[], [[0.0]]]})


def test_the_band_of_a_pulse_survives_json():
    fields = copy.deepcopy(FIELDS)
    fields["RF"][1] |= {"time": 1e-9, "band": 60.0}
    sequence = Sequence.from_json(fields)
    assert [block.pulse.band_hz for block in sequence.blocks] == [np.inf, 60.0]
    assert Sequence.from_json(sequence.to_json()).blocks[1].pulse.band_hz == 60.0
    assert "band" not in sequence.to_json()["RF"][0]
    for wrong in ({"time": 0.004}, {"band": 0.0}, {"band": float("nan")}):
        changed = copy.deepcopy(fields)
        changed["RF"][1] |= wrong
        with pytest.raises(BasisError, match="Only an instantaneous pulse .* has a band"):
            Sequence.from_json(changed)
    fields["RF"][1]["band"] = None
    assert Sequence.from_json(fields).blocks[1].pulse.band_hz == np.inf
    fields["RF"][1]["band"] = "60"
    with pytest.raises(BasisError, match="band must be a number .Hz., not '60'"):
        Sequence.from_json(fields)
    fields["RF"][1] |= {"band": 60.0, "file": "pulse.pta"}
    with pytest.raises(BasisError, match="A pulse in a file is a real one and has no band"):
        Sequence.from_json(fields)


def with_file(tmp_path, **rf):
    """Path of a description whose second pulse stands in a file of its own."""
    fields = copy.deepcopy(FIELDS)
    fields["RF"][1] = {"time": 0.004, "grad": [0, 2, 0], **rf}
    path = tmp_path / "sequence.json"
    path.write_text(json.dumps(fields))
    return path


def test_a_pulse_in_a_file_is_read_from_beside_the_description(tmp_path):
    (tmp_path / "demo.pta").write_text("PULSENAME: demo\n1.0 0.0 ; (0)\n2.0 0.0 ; (1)\n1.0 0.0 ; (2)\n")
    (tmp_path / "demo.txt").write_text("1 0\n2 0\n1 0\n")
    turned = read_sequence(with_file(tmp_path, file="demo.pta", flipAngle=np.pi)).blocks[1].pulse
    assert 2 * np.pi * sum(turned.amplitude_hz) * 0.004 / 3 == pytest.approx(np.pi)
    for peak in ({"file": "demo.pta"}, {"file": "demo.txt", "phaseUnit": "deg"}):
        pulse = read_sequence(with_file(tmp_path, peak=3.0, ampScale=2.0, **peak)).blocks[1].pulse
        assert pulse.amplitude_hz == pytest.approx(np.array([3e-6, 6e-6, 3e-6]) * GAMMA)


@pytest.mark.parametrize(
    ("rf", "message"),
    [
        ({"file": "../demo.pta", "flipAngle": 3.0}, "named without folder"),
        ({"file": "none.pta", "flipAngle": 3.0}, "Cannot read the pulse"),
        ({"file": "demo.pta"}, "either a flip angle or a peak"),
    ],
)
def test_files_of_pulses_are_checked(tmp_path, rf, message):
    path = with_file(tmp_path, **rf)
    with pytest.raises(BasisError, match=f"sequence.json: .*{message}"):
        read_sequence(path)
    with pytest.raises(BasisError, match="named without folder"):
        Sequence.from_json(json.loads(path.read_text()))


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(BasisError, match="cannot be read as a sequence description"):
        read_sequence(tmp_path / "none.json")
    for content in (b"{", b"[" * 100_000, b"\xff\xfe\x00"):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(BasisError, match="not JSON"):
            read_sequence(tmp_path / "bad.json")
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(BasisError, match="not a sequence description"):
        read_sequence(tmp_path / "list.json")


def test_megapress_times_frequencies_and_filter():
    off, on = megapress(te_s=0.068, b0_t=2.894)
    centre_mhz = 2.894 * GAMMA * 1e-6
    assert off.duration_s == pytest.approx(0.068)
    starts = np.cumsum([0, *(block.pulse.duration_s + block.delay_s for block in off.blocks)])[:-1]
    centres = starts + [block.pulse.duration_s / 2 for block in off.blocks]
    assert centres - centres[0] == pytest.approx([0, 0.005, 0.022, 0.039, 0.056])
    assert on.blocks[2].frequency_offset_hz == pytest.approx((1.9 - 4.65) * centre_mhz)
    assert off.blocks[2].frequency_offset_hz == pytest.approx((7.4 - 4.65) * centre_mhz)
    assert [block.coherence for block in on.blocks] == [-1, 1, 1, -1, -1]
    assert on.receiver_phase_rad == off.receiver_phase_rad
    assert (off.name, on.name) == ("edit_off", "edit_on")


@pytest.mark.parametrize("build", [lambda: megapress()[0], press, steam, lambda: press(refocusing=ideal(np.pi))])
def test_a_singlet_on_the_slice_frequency_is_upright(build):
    singlet = {"s": (SpinSystem("s", (3.0,), ((0.0,),)),)}
    first = simulate([build()], ["s"], singlet)[0, 0, 0]
    assert first.imag == pytest.approx(0, abs=1e-9)
    assert 0.09 < first.real <= 1 + 1e-9


def test_pulses_that_do_not_fit_are_refused():
    with pytest.raises(BasisError, match="overlap by"):
        megapress(te_s=0.050)
    with pytest.raises(BasisError, match="overlap by"):
        press(te_s=0.004)
    with pytest.raises(BasisError, match="thickness above 0"):
        press(slice_thickness_m=0)


def test_phase_steps_need_one_phase_a_block():
    sequence = press()
    stepped = sequence.with_phase_offsets((0, 1, 2))
    assert stepped.blocks[2].phase_offset_rad == sequence.blocks[2].phase_offset_rad + 2
    with pytest.raises(BasisError, match="needs 3 phases"):
        sequence.with_phase_offsets((0, 1))


def test_blocks_check_themselves():
    with pytest.raises(BasisError, match="whole number"):
        Block(gaussian(0.01), 0.0, coherence=0.5)
    with pytest.raises(BasisError, match="gradient_t_per_m needs 3"):
        Block(gaussian(0.01), 0.0, gradient_t_per_m=(1.0,))
