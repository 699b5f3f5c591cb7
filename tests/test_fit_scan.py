"""Scans in: every order of dimensions, order of the edit conditions, orientation, and every refusal."""

import gzip
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nifti_mrs.create_nmrs import gen_nifti_mrs
from nifti_mrs.nifti_mrs import NIFTI_MRS

from fsl_mrs_dl import axes
from fsl_mrs_dl.errors import ConfigError, DataError
from fsl_mrs_dl.fit import scan as scan_module
from fsl_mrs_dl.fit.edit_order import header_order, signal_order
from fsl_mrs_dl.fit.scan import Scan, read_edited_pair, read_scan, require_edited, resample_scan, scan_from_nifti

CENTRE_HZ = 123.2e6
DWELL_S = 5e-4
POINTS = 1024
DATA = Path(__file__).parent / "data"


def lines(shifts_and_heights, points=POINTS, dwell_s=DWELL_S, centre_hz=CENTRE_HZ, width_hz=4.0):
    """FID of Lorentzian lines, [(ppm, height), ...]."""
    t = axes.time_axis(points, dwell_s)
    return sum(
        height * np.exp((2j * np.pi * axes.ppm_to_hz(ppm, centre_hz) - np.pi * width_hz) * t)
        for ppm, height in shifts_and_heights
    )


def condition(name, naa=10.0, noise=0.05, seed=0):
    """FID of an edit-off or edit-on spectrum: NAA (suppressed in on), Cr, residual water."""
    rng = np.random.default_rng(seed + (name == "on"))
    height = naa if name == "off" else 0.05 * naa
    noise = noise * (rng.standard_normal(POINTS) + 1j * rng.standard_normal(POINTS))
    return lines([(2.01, height), (3.03, 8.0), (3.91, 5.0), (4.7, 20.0)]) * np.exp(0.7j) + noise


def write(path, data, tags=(None, None, None), header=None, dwell_s=DWELL_S, mhz=CENTRE_HZ / 1e6, nucleus="1H"):
    """NIfTI-MRS file of (point, dim_5, ...) data in memory orientation, header fields added."""
    nifti = gen_nifti_mrs(data[None, None, None], dwell_s, mhz, nucleus, dim_tags=list(tags))
    if header:
        content = json.dumps({**nifti.hdr_ext.to_dict(), **header})
        image = nifti.image.nibImage
        image.header.extensions.clear()
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(44, content.encode()))
        nibabel.save(image, path)
    else:
        nifti.save(str(path))
    return path


def edited(first="on", second="off", **options):
    """(point, 2) data of two conditions."""
    return np.stack([condition(first, **options), condition(second, **options)], -1)


def one_line_error(call, *arguments, kind=DataError, **options):
    """Message of the error that a call raises, checked to be one line."""
    with pytest.raises(kind) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_peaks_of_a_file_stand_at_their_ppm(tmp_path):
    scan = read_scan(write(tmp_path / "a.nii.gz", edited(), ["DIM_EDIT", None, None], {"EchoTime": 0.068}))
    spectrum = np.abs(axes.fid_to_spectrum(scan.fids[0]))
    ppm = axes.ppm_axis(scan.points, scan.dwell_s, scan.centre_hz)
    for low, high, expected in ((1.5, 2.5, 2.01), (2.6, 3.4, 3.03), (3.5, 4.2, 3.91)):
        inside = (ppm > low) & (ppm < high)
        assert ppm[inside][np.argmax(spectrum[inside])] == pytest.approx(expected, abs=0.01)
    assert scan.conditions == ("edit_off", "edit_on")
    assert (scan.dwell_s, scan.centre_hz, scan.nucleus, scan.echo_time_s) == (DWELL_S, CENTRE_HZ, "1H", 0.068)
    assert scan.name == "a" and scan.paths == (tmp_path / "a.nii.gz",) and scan.affine.shape == (4, 4)
    np.testing.assert_allclose(scan.fids, [condition("off"), condition("on")], atol=1e-5)


@pytest.mark.parametrize("tags", [("DIM_EDIT", "DIM_DYN", "DIM_COIL"), ("DIM_DYN", "DIM_COIL", "DIM_EDIT")])
def test_any_order_of_dimensions_gives_the_same_mean(tmp_path, tags):
    rng = np.random.default_rng(3)
    transients = edited()[..., None] * (1 + 0.1 * rng.standard_normal(6))
    data = transients[..., None] if tags[0] == "DIM_EDIT" else np.moveaxis(transients, -1, 1)[:, :, None, :]
    scan = read_scan(write(tmp_path / "a.nii.gz", data, tags))
    np.testing.assert_allclose(scan.fids, transients.mean(-1).T[::-1], atol=1e-5)
    assert any("6 transients" in note for note in scan.notes)


def test_objects_read_as_their_files(tmp_path):
    path = write(tmp_path / "a.nii.gz", edited(), ["DIM_EDIT", None, None])
    from_file = read_scan(path)
    for nifti in (NIFTI_MRS(str(path)), nibabel.load(path)):
        scan = scan_from_nifti(nifti)
        np.testing.assert_array_equal(scan.fids, from_file.fids)
        assert (scan.name, scan.notes, scan.dwell_s) == ("a", from_file.notes, from_file.dwell_s)
    assert scan_from_nifti(nibabel.load(path), name="b").name == "b"
    assert "not list" in one_line_error(scan_from_nifti, [])


def test_a_float32_dwell_time_is_read_as_its_decimal(tmp_path):
    tags = ["DIM_EDIT", None, None]
    nifti = gen_nifti_mrs(edited()[None, None, None], 8.33e-4, 123.2, dim_tags=tags, nifti_version=1)
    nifti.save(str(tmp_path / "a.nii.gz"))
    assert read_scan(tmp_path / "a.nii.gz").dwell_s == 8.33e-4


@pytest.mark.parametrize("unit, factor", [("sec", 1.0), ("msec", 1e3), ("usec", 1e6)])
def test_the_time_unit_of_the_header_counts(tmp_path, unit, factor):
    image = nibabel.load(write(tmp_path / "a.nii.gz", edited(), ["DIM_EDIT", None, None]))
    image.header.set_xyzt_units("mm", unit)
    image.header["pixdim"][4] = DWELL_S * factor
    assert scan_from_nifti(image).dwell_s == pytest.approx(DWELL_S, rel=1e-12)


def test_reading_says_nothing(tmp_path, recwarn, capfd):
    header = {"Weird": 3, "EchoTime": 0.068}
    read_scan(write(tmp_path / "a.nii.gz", edited(), ["DIM_EDIT", None, None], header))
    assert not recwarn.list and capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "header, expected",
    [
        ({"dim_5_header": {"EditCondition": ["ON", "OFF"]}}, "on-off"),
        ({"dim_5_header": {"EditCondition": ["edit_off", "EditOn"]}}, "off-on"),
        ({"dim_5_header": {"EditCondition": {"Value": ["Off", "on"], "Description": "d"}}}, "off-on"),
        ({"EditCondition": ["ON", "OFF"]}, "on-off"),
        (
            {
                "dim_5_header": {"EditCondition": ["A", "B"]},
                "EditPulse": {"A": {"PulseOffset": 7.5}, "B": {"PulseOffset": 1.9}},
            },
            "off-on",
        ),
        ({"dim_5_header": {"EditPulse": [{"PulseOffset": 1.88}, {"PulseOffset": 7.4}]}}, "on-off"),
        ({"dim_5_header": {"EditPulse": [7.46, 1.9]}}, "off-on"),
        ({"dim_5_header": {"EditPulse": ["1.9 ppm", "1.5 ppm"]}}, "on-off"),
        ({"dim_5_header": {"EditCondition": ["A", "B"]}}, None),
        ({"dim_5_header": {"EditCondition": ["ON", "ON"]}}, None),
        ({"dim_5_header": {"EditPulse": [-2.75, 2.75]}}, None),
        ({"dim_5_header": {"EditPulse": [4.56, 7.4]}}, None),
        ({"dim_6_header": {"EditCondition": ["ON", "OFF"]}}, None),
        ({"dim_5_header": None}, None),
        ({}, None),
    ],
)
def test_the_header_names_the_order(header, expected):
    assert header_order(header, 5)[0] == expected


@pytest.mark.parametrize("first, second, order", [("on", "off", "on-off"), ("off", "on", "off-on")])
def test_the_order_is_named_or_detected(tmp_path, first, second, order):
    data = edited(first, second)
    labels = {"dim_5_header": {"EditCondition": [first.upper(), second.upper()]}}
    named = read_scan(write(tmp_path / "a.nii.gz", data, ["DIM_EDIT", None, None], labels))
    detected = read_scan(write(tmp_path / "b.nii.gz", data, ["DIM_EDIT", None, None]))
    np.testing.assert_array_equal(named.fids, detected.fids)
    assert named.notes == (f"Edit order {order}, from EditCondition in the header.",)
    assert f"Edit order {order}, detected" in detected.notes[0]


def test_the_header_wins_over_the_signal_with_a_warning(tmp_path):
    labels = {"dim_5_header": {"EditCondition": ["OFF", "ON"]}}
    scan = read_scan(write(tmp_path / "a.nii.gz", edited("on", "off"), ["DIM_EDIT", None, None], labels))
    np.testing.assert_allclose(scan.fids[0], condition("on"), atol=1e-5)
    assert scan.notes[1].startswith("Warning") and "--edit_order on-off" in scan.notes[1]


def test_the_order_can_be_forced(tmp_path):
    path = write(tmp_path / "a.nii.gz", edited("on", "off"), ["DIM_EDIT", None, None])
    np.testing.assert_array_equal(read_scan(path, "off-on").fids, read_scan(path).fids[::-1])
    assert "asked for" in read_scan(path, "on-off").notes[0] and len(read_scan(path, "on-off").notes) == 1
    assert "must be on-off or off-on, not 'up'" in one_line_error(read_scan, path, "up", kind=ConfigError)


def test_an_undecidable_order_is_refused(tmp_path):
    path = write(tmp_path / "a.nii.gz", edited("off", "off"), ["DIM_EDIT", None, None])
    assert "--edit_order on-off or off-on" in one_line_error(read_scan, path)
    assert read_scan(path, "on-off").edited


@pytest.mark.parametrize("width_hz", [2.0, 8.0, 15.0])
@pytest.mark.parametrize("shift_ppm", [-0.25, 0.0, 0.25])
@pytest.mark.parametrize(
    "dwell_s, points, centre_hz", [(5e-4, 2048, 123.2e6), (2e-4, 4096, 127.7e6), (1.67e-4, 4096, 297.2e6)]
)
def test_detection_needs_no_reference_and_bears_water(width_hz, shift_ppm, dwell_s, points, centre_hz):
    rng = np.random.default_rng(5)
    grid = {"points": points, "dwell_s": dwell_s, "centre_hz": centre_hz, "width_hz": width_hz}
    common = [(3.03 + shift_ppm, 0.8), (3.91 + shift_ppm, 0.5), (4.6 + shift_ppm, 5.0)]
    fids = np.stack([lines([(2.01 + shift_ppm, height)] + common, **grid) for height in (1.0, 0.1)])
    peak = np.abs(axes.fid_to_spectrum(lines([(2.01, 1.0)], **grid))).max()
    fids = fids * np.exp(2.5j) + peak / 10 * (rng.standard_normal(fids.shape) + 1j * rng.standard_normal(fids.shape))
    assert signal_order(fids, dwell_s, centre_hz)[0] == "off-on"
    assert signal_order(fids[::-1], dwell_s, centre_hz)[0] == "on-off"


@pytest.mark.parametrize("points, dwell_s", [(POINTS, DWELL_S), (256, 5e-4), (256, 4e-4), (512, 2e-4)])
def test_noise_alone_decides_nothing(points, dwell_s):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        fids = rng.standard_normal((2, points)) + 1j * rng.standard_normal((2, points))
        assert signal_order(fids, dwell_s, CENTRE_HZ)[0] is None
        if points < POINTS:
            continue
        assert not scan_module.is_mirrored(fids, DWELL_S, CENTRE_HZ)


def test_a_mirrored_file_is_turned_round(tmp_path):
    mirrored = read_scan(write(tmp_path / "a.nii.gz", edited().conj(), ["DIM_EDIT", None, None]))
    np.testing.assert_allclose(mirrored.fids, [condition("off"), condition("on")], atol=1e-5)
    assert any("mirrored" in note for note in mirrored.notes)


@pytest.mark.parametrize("water_ppm", [4.35, 4.65, 4.95])
def test_water_does_not_turn_a_scan_round(water_ppm):
    fids = np.stack([lines([(2.01, 1.0), (3.03, 0.7), (water_ppm, 200.0)], width_hz=10)])
    assert not scan_module.is_mirrored(fids, DWELL_S, CENTRE_HZ)


def test_one_spectrum_is_read_and_refused_for_an_edited_fit(tmp_path):
    plain = write(tmp_path / "a.nii.gz", condition("off"))
    kept_tag = write(tmp_path / "b.nii.gz", condition("off")[:, None], ["DIM_EDIT", None, None])
    for path in (plain, kept_tag):
        scan = read_scan(path)
        assert scan.conditions == ("single",) and scan.fids.shape == (1, POINTS)
        message = one_line_error(require_edited, scan)
        assert "DIM_EDIT" in message and "--edit_on" in message
    both = read_scan(write(tmp_path / "c.nii.gz", edited(), ["DIM_EDIT", None, None]))
    assert require_edited(both) is both


def test_two_files_make_an_edited_scan(tmp_path):
    on, off = write(tmp_path / "on.nii.gz", condition("on")), write(tmp_path / "off.nii.gz", condition("off"))
    scan = read_edited_pair(edit_on=on, edit_off=off)
    np.testing.assert_allclose(scan.fids, [condition("off"), condition("on")], atol=1e-5)
    assert scan.paths == (off, on) and scan.edited and not scan.notes
    assert any("exchanged" in note for note in read_edited_pair(edit_on=off, edit_off=on).notes)
    both = write(tmp_path / "both.nii.gz", edited(), ["DIM_EDIT", None, None])
    assert "already holds both" in one_line_error(read_edited_pair, both, off)
    short = write(tmp_path / "short.nii.gz", condition("on")[:512])
    assert "512 points" in one_line_error(read_edited_pair, short, off)


def test_bad_dimensions_are_refused(tmp_path):
    def message(data, *tags):
        return one_line_error(read_scan, write(tmp_path / "a.nii.gz", data, tags + (None,) * (3 - len(tags))))

    coils = message(np.stack([edited()] * 4, -1), "DIM_EDIT", "DIM_COIL")
    assert "4 receive coils" in coils and "fsl_mrs_proc coilcombine" in coils and "fsl_mrs_preproc_edit" in coils
    assert "DIM_EDIT) has 3" in message(np.stack([condition("on")] * 3, -1), "DIM_EDIT")
    assert "DIM_USER_0" in message(np.stack([edited()] * 2, -1), "DIM_EDIT", "DIM_USER_0")
    assert "beside dim_5" in message(np.stack([edited()] * 2, -1), "DIM_EDIT", "DIM_EDIT")


def test_more_than_one_voxel_is_refused(tmp_path):
    data = np.broadcast_to(condition("off"), (2, 3, 1, POINTS))
    gen_nifti_mrs(np.array(data), DWELL_S, 123.2).save(str(tmp_path / "a.nii.gz"))
    message = one_line_error(read_scan, tmp_path / "a.nii.gz")
    assert "2 x 3 x 1 voxels" in message and "--mask" in message


@pytest.mark.parametrize(
    "change, said",
    [
        ({"ResonantNucleus": ["31P"]}, "ResonantNucleus is 31P"),
        ({"ResonantNucleus": None}, "ResonantNucleus is None"),
        ({"ResonantNucleus": {"a": 1}}, "ResonantNucleus is {"),
        ({"ResonantNucleus": [["1H"]]}, "ResonantNucleus is ["),
        ({"SpectrometerFrequency": [123.2e6]}, "must be in MHz"),
        ({"SpectrometerFrequency": []}, "must be in MHz"),
        ({"SpectrometerFrequency": None}, "must be in MHz"),
    ],
)
def test_bad_header_values_are_refused(tmp_path, change, said):
    path = write(tmp_path / "a.nii.gz", edited(), ["DIM_EDIT", None, None], change)
    assert said in one_line_error(read_scan, path)


@pytest.mark.parametrize("dwell_s", [0.0, 1.0, 0.5, 1e-7])
def test_an_implausible_dwell_time_is_refused(tmp_path, dwell_s):
    path = write(tmp_path / "a.nii.gz", edited(), ["DIM_EDIT", None, None])
    image = nibabel.load(path)
    image.header["pixdim"][4] = dwell_s
    nibabel.save(image, tmp_path / "b.nii.gz")
    assert "dwell time" in one_line_error(read_scan, tmp_path / "b.nii.gz")


@pytest.mark.parametrize("echo_time", [35000.0, "long"])
def test_an_implausible_echo_time_is_left_out_with_a_note(tmp_path, echo_time):
    path = write(tmp_path / "a.nii.gz", edited(), ["DIM_EDIT", None, None], {"EchoTime": echo_time})
    scan = read_scan(path)
    assert scan.echo_time_s is None and "EchoTime" in scan.notes[0]


@pytest.mark.parametrize(
    "spoil, said",
    [
        (lambda data: data[:100], "truncated"),
        (lambda data: np.where(np.arange(POINTS)[:, None] == 7, np.nan, data), "2 of 2048 values are NaN"),
        (lambda data: data + np.where(np.arange(POINTS)[:, None] == 7, np.inf, 0), "infinite"),
        (lambda data: 0 * data, "every value is zero"),
        (lambda data: data * np.array([1, 0]), "second edit condition is zero"),
    ],
)
def test_unusable_data_are_refused(tmp_path, spoil, said):
    path = write(tmp_path / "a.nii.gz", spoil(edited()), ["DIM_EDIT", None, None])
    assert said in one_line_error(read_scan, path)


def test_missing_broken_and_foreign_files_are_refused(tmp_path):
    assert "no file" in one_line_error(read_scan, tmp_path / "none.nii.gz")
    assert "is a folder" in one_line_error(read_scan, tmp_path)
    whole = write(tmp_path / "a.nii.gz", edited(), ["DIM_EDIT", None, None]).read_bytes()
    for size in (0, 20, 300, 3000, len(whole) - 500):
        (tmp_path / "cut.nii.gz").write_bytes(whole[:size])
        one_line_error(read_scan, tmp_path / "cut.nii.gz")
    (tmp_path / "cut.nii").write_bytes(gzip.decompress(whole)[:-500])
    assert "truncated" in one_line_error(read_scan, tmp_path / "cut.nii")
    for name in ("text.nii.gz", "text.nii", "text.RAW"):
        (tmp_path / name).write_text("not a scan\n" * 100)
        assert "spec2nii" in one_line_error(read_scan, tmp_path / name)


def test_a_plain_image_is_refused(tmp_path):
    nibabel.save(nibabel.Nifti1Image(np.ones((4, 4, 4), np.float32), np.eye(4)), tmp_path / "t1.nii.gz")
    assert "not NIfTI-MRS" in one_line_error(read_scan, tmp_path / "t1.nii.gz")
    image = nibabel.load(write(tmp_path / "a.nii.gz", edited(), ["DIM_EDIT", None, None]))
    image.header.extensions.clear()
    assert "no MRS header extension" in one_line_error(scan_from_nifti, image)
    for content in (b"no json", b"\xff\xfe\x00", b"[" * 100_000):
        image.header.extensions.clear()
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(44, content))
        assert "not JSON" in one_line_error(scan_from_nifti, image)
    real = nibabel.Nifti1Image(np.ones((1, 1, 1, 512), np.float32), np.eye(4))
    real.header["intent_name"] = b"mrs_v0_9"
    real.header["pixdim"][4] = DWELL_S
    content = json.dumps({"SpectrometerFrequency": [123.2], "ResonantNucleus": ["1H"]}).encode()
    real.header.extensions.append(nibabel.nifti1.Nifti1Extension(44, content))
    assert "complex" in one_line_error(scan_from_nifti, real)


@pytest.mark.parametrize(
    "dwell_s, points, centre_hz", [(2e-4, 4096, 123.26e6), (4e-4, 1024, 122.8e6), (5e-4, 2048, 123.2e6)]
)
def test_resampling_a_scan_keeps_ppm_and_the_conditions(dwell_s, points, centre_hz):
    fids = [lines([(ppm, 1.0)], points, dwell_s, centre_hz) for ppm in (2.01, 3.91)]
    scan = resample_scan(Scan(fids, ("edit_off", "edit_on"), dwell_s, centre_hz), DWELL_S, 2048, CENTRE_HZ)
    assert (scan.points, scan.dwell_s, scan.centre_hz) == (2048, DWELL_S, CENTRE_HZ)
    for fid, expected in zip(scan.fids, (2.01, 3.91)):
        wide = np.fft.fftshift(np.fft.fft(fid, 2**16))
        fine = axes.ppm_axis(2**16, DWELL_S, CENTRE_HZ)
        assert fine[np.argmax(np.abs(wide))] == pytest.approx(expected, abs=5e-4)


def test_another_field_strength_is_refused():
    scan = Scan([lines([(2.01, 1.0)])], ("single",), DWELL_S, 297.2e6, name="seven")
    message = one_line_error(resample_scan, scan, DWELL_S, POINTS, CENTRE_HZ)
    for said in ("seven", "6.98 T", "297.2 MHz", "2.89 T", "123.2 MHz"):
        assert said in message


def test_a_scan_checks_itself():
    fid = lines([(2.01, 1.0)])
    for arguments in (
        ([fid], ("edit_off", "edit_on"), DWELL_S, CENTRE_HZ),
        ([fid, fid], ("edit_on", "edit_off"), DWELL_S, CENTRE_HZ),
        ([fid * np.nan], ("single",), DWELL_S, CENTRE_HZ),
        ([fid * 0], ("single",), DWELL_S, CENTRE_HZ),
        ([fid], ("single",), 0.0, CENTRE_HZ),
    ):
        one_line_error(Scan, *arguments)
    assert Scan([fid], ("single",), DWELL_S, CENTRE_HZ).with_notes("a").with_notes("b").notes == ("a", "b")


@pytest.mark.parametrize("name, basis_of_order", [("D1_08", "header"), ("D2_04", "detected")])
def test_the_example_scans_are_read(name, basis_of_order):
    scan = require_edited(read_scan(DATA / f"{name}.nii.gz"))
    assert scan.fids.shape == (2, 2048) and scan.echo_time_s == 0.068 and scan.dwell_s == 5e-4
    assert "on-off" in scan.notes[0] and basis_of_order in scan.notes[0]


def test_the_same_spectrum_twice_is_refused(tmp_path):
    rng = np.random.default_rng(1)
    fid = (rng.standard_normal(2048) + 1j * rng.standard_normal(2048))[None, None, None]
    gen_nifti_mrs(fid, 5e-4, 123.2).save(tmp_path / "one.nii.gz")
    with pytest.raises(DataError, match="the same spectrum"):
        read_edited_pair(tmp_path / "one.nii.gz", tmp_path / "one.nii.gz")
