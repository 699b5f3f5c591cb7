"""Basis sets: every format gives the same line at the same ppm, and bad files are refused by name."""

import json
import math

import numpy as np
import pytest

from fsl_mrs_dl.axes import fid_to_spectrum, ppm_axis, ppm_to_hz, time_axis
from fsl_mrs_dl.basis.basis_set import BasisSet, check_basis, read_basis, shipped_basis, write_basis
from fsl_mrs_dl.errors import BasisError, FslMrsDlError

CENTRE_HZ, DWELL_S, POINTS = 123.2e6, 5e-4, 2048
LINES_PPM = {"Cr": (3.03, 3.03, 3.93), "GABA": (3.01, 2.28, 1.89), "NAA": (2.01,)}


def line(*shifts_ppm, width_hz=2.0):
    """FID (point,) of Lorentzian lines of equal size."""
    times = time_axis(POINTS, DWELL_S)
    lines = [np.exp((2j * np.pi * ppm_to_hz(shift, CENTRE_HZ) - np.pi * width_hz) * times) for shift in shifts_ppm]
    return np.sum(lines, axis=0)


def edited(**changes):
    """A set in which editing takes NAA away and turns two multiplets of GABA round."""
    off = [line(*shifts) for shifts in LINES_PPM.values()]
    on = [0.98 * off[0], line(3.01) * 1.5 - 0.2 * line(2.28, 1.89), 0.05 * off[2]]
    values = dict(fids=[off, on], conditions=("edit_off", "edit_on"), names=tuple(LINES_PPM))
    return BasisSet(**values | dict(dwell_s=DWELL_S, centre_hz=CENTRE_HZ, linewidth_hz=2.0) | changes)


def peak_ppm(basis, name):
    magnitude = np.abs(fid_to_spectrum(basis.fids[0, basis.names.index(name)]))
    return ppm_axis(basis.points, basis.dwell_s, basis.centre_hz)[np.argmax(magnitude)]


def lcmodel_text(fids, badelt=DWELL_S, fmtbas="(6E13.5)", shift=3, glue=" "):
    """Text of a .BASIS file for FIDs {name: (point,)} in memory orientation."""
    text = f" $SEQPAR\n FWHMBA = 0.0162337662,\n HZPPPM = {CENTRE_HZ / 1e6},\n ECHOT = 68.,\n SEQ = 'PRESS'\n $END\n"
    text += f" $BASIS1\n IDBASI = 'made by a test',\n FMTBAS = '{fmtbas}',\n"
    text += f" BADELT = {badelt},\n NDATAB = {POINTS}\n $END\n"
    for name, fid in fids.items():
        spectrum = np.roll(np.fft.fft(fid.conj()), shift)
        numbers = [f"{part:12.5E}" for value in spectrum for part in (value.real, value.imag)]
        rows = [glue.join(numbers[start : start + 6]) for start in range(0, len(numbers), 6)]
        text += " $NMUSED\n METABO_CONTAM = ' ',\n PPMAPP = 0.1 -0.1\n $END\n"
        text += f" $BASIS\n ID = 'x',\n METABO = '{name}',\n CONC = 1.,\n ISHIFT = {shift}\n $END\n"
        text += "\n".join(rows) + "\n"
    return text


@pytest.fixture
def lcmodel_file(tmp_path):
    """Writes a .BASIS file, returns its path."""

    def write(**options):
        path = tmp_path / "tiny.BASIS"
        path.write_text(lcmodel_text({name: line(*shifts) for name, shifts in LINES_PPM.items()}, **options))
        return path

    return write


def test_spectra_and_difference():
    basis = edited()
    assert basis.points == POINTS
    np.testing.assert_array_equal(basis.spectrum("difference"), basis.fids[1] - basis.fids[0])
    np.testing.assert_array_equal(basis.spectrum("edit_on"), basis.fids[1])
    with pytest.raises(BasisError, match="single"):
        basis.spectrum("single")


def test_json_has_the_line_at_its_ppm_and_is_the_conjugate(tmp_path):
    write_basis(edited(), tmp_path)
    basis = read_basis(tmp_path)
    assert basis.names == ("Cr", "GABA", "NAA")
    assert peak_ppm(basis, "NAA") == pytest.approx(2.01, abs=0.005)
    stored = json.loads((tmp_path / "off" / "NAA.json").read_text())["basis"]
    assert stored["basis_centre"] == pytest.approx(123.2)
    values = np.array(stored["basis_re"]) + 1j * np.array(stored["basis_im"])
    frequency = np.angle(values[1] / values[0]) / (2 * np.pi * DWELL_S)
    assert frequency == pytest.approx(-ppm_to_hz(2.01, CENTRE_HZ), abs=0.1)


@pytest.mark.parametrize("glue", [" ", ""])
def test_lcmodel_has_the_line_at_its_ppm(lcmodel_file, glue):
    basis = read_basis(lcmodel_file(glue=glue))
    assert basis.conditions == ("single",)
    assert basis.names == ("Cr", "GABA", "NAA")
    assert basis.linewidth_hz == pytest.approx(2.0, rel=1e-6)
    assert (basis.dwell_s, basis.centre_hz) == (DWELL_S, pytest.approx(CENTRE_HZ))
    np.testing.assert_allclose(basis.fids[0, 2], line(2.01), atol=1e-3)
    assert peak_ppm(basis, "NAA") == pytest.approx(2.01, abs=0.005)
    check_basis(basis)


def test_lcmodel_namelists_of_newer_compilers(lcmodel_file):
    path = lcmodel_file()
    path.write_text(path.read_text().replace("$END", "/").replace("$", "&").replace("E+", "D+"))
    np.testing.assert_allclose(read_basis(path).fids[0, 2], line(2.01), atol=1e-3)


def test_encrypted_lcmodel_is_refused(lcmodel_file):
    with pytest.raises(BasisError, match="encrypted"):
        read_basis(lcmodel_file(badelt=-DWELL_S))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (f"NDATAB = {POINTS}", f"NDATAB = {POINTS * 2}", "promises"),
        (f"NDATAB = {POINTS}", "NDATAB = 1e12", "NDATAB"),
        (f"NDATAB = {POINTS}", "NDATAB = nan", "NDATAB"),
        ("BADELT", "BADDER", "BADELT"),
        ("HZPPPM = 123.2", "HZPPPM = abc", "HZPPPM"),
        ("METABO = 'NAA'", "METABO = 'Cr'", "twice"),
        ("METABO = 'NAA'", "METABO = '../NAA'", "name"),
        ("ISHIFT = 3", "ISHIFT = 99999999", "ISHIFT"),
        ("E+00 ", "E+00 oops ", "numbers"),
        (" $BASIS\n", " $OTHER\n", "metabolites"),
    ],
)
def test_malformed_lcmodel_is_refused_by_name(lcmodel_file, old, new, message):
    path = lcmodel_file()
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(BasisError, match=message) as error:
        read_basis(path)
    assert "tiny.BASIS" in str(error.value)


def test_two_paths_make_an_edited_set(tmp_path):
    write_basis(edited(), tmp_path)
    pair = read_basis([tmp_path / "off", tmp_path / "on"])
    assert pair.fingerprint() == read_basis(tmp_path).fingerprint()
    assert pair.folder("edit_on") == tmp_path / "on"
    assert pair.folder("difference") == tmp_path / "diff"
    assert read_basis([str(tmp_path / "on")]).conditions == ("single",)


def test_metabolites_are_matched_by_name_not_by_file(tmp_path):
    write_basis(edited(), tmp_path)
    (tmp_path / "on" / "NAA.json").rename(tmp_path / "on" / "AAA.json")
    assert read_basis(tmp_path).fingerprint() == edited().fingerprint()


def test_fingerprint_survives_files_order_and_scale(tmp_path):
    basis = edited().rounded()
    write_basis(basis, tmp_path)
    assert read_basis(tmp_path).fingerprint() == basis.fingerprint()
    assert basis.keep(("NAA", "Cr", "GABA")).fingerprint() == basis.fingerprint()
    assert edited(fids=basis.fids * 4).fingerprint() == basis.fingerprint()


@pytest.mark.parametrize(
    "other",
    [
        edited(centre_hz=CENTRE_HZ + 1e5),
        edited(dwell_s=DWELL_S * 1.001),
        edited(names=("Cr", "GABA", "NAAG")),
        edited(nucleus="31P"),
        edited().keep(("Cr", "NAA")),
        edited(fids=edited().fids * [[[1]], [[1.001]]]),
    ],
)
def test_fingerprint_tells_other_sets_apart(other):
    assert other.fingerprint() != edited().fingerprint()


def test_fingerprint_is_the_same_on_every_machine():
    fids = np.arange(1, 65).reshape(2, 2, 16) * (1 - 0.25j)
    basis = BasisSet(fids, ("edit_off", "edit_on"), ("a", "b"), 5e-4, 123.2e6, 1.0)
    assert basis.fingerprint() == "60aeb1412d98bdb814d67de501147ccdd6c3c0e14fcf8efadc64541f0ec5f2fb"


def test_rounded_values_make_short_files_that_read_back_exactly(tmp_path):
    basis = edited().rounded(7)
    np.testing.assert_allclose(basis.fids, edited().fids, rtol=0, atol=1e-6)
    write_basis(basis, tmp_path)
    np.testing.assert_array_equal(read_basis(tmp_path).fids, basis.fids)
    assert all(path.stat().st_size < 32 * POINTS for path in tmp_path.glob("*/*.json"))


def test_resample_keeps_lines_in_place_and_needs_a_long_enough_basis():
    wide = edited().resample(2.5e-4, 4096)
    assert (wide.points, wide.dwell_s) == (4096, 2.5e-4)
    assert peak_ppm(wide, "NAA") == pytest.approx(2.01, abs=0.005)
    short = edited(fids=edited().fids[..., :128])
    with pytest.raises(BasisError, match="more points"):
        short.resample(DWELL_S, 2048)


def test_keep_names_what_is_missing():
    assert edited().keep(("NAA", "Cr")).names == ("NAA", "Cr")
    with pytest.raises(BasisError, match="no Glu; it has Cr, GABA, NAA"):
        edited().keep(("NAA", "Glu"))


@pytest.mark.parametrize(
    "changes",
    [
        {"names": ("Cr", "Cr", "NAA")},
        {"names": ("Cr", "GABA")},
        {"names": ("Cr", "GABA", "a/b")},
        {"conditions": ("edit_on", "edit_off")},
        {"dwell_s": 0},
        {"centre_hz": math.nan},
        {"linewidth_hz": -1},
        {"fids": edited().fids * math.nan},
        {"fids": edited().fids[..., :3]},
        {"folders": (None,)},
    ],
)
def test_impossible_sets_are_refused(changes):
    with pytest.raises(BasisError):
        edited(**changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda file: file["basis"].pop("basis_centre"), "lacks basis_centre"),
        (lambda file: file.pop("basis"), "no"),
        (lambda file: file["basis"].update(basis_name="../x"), "name"),
        (lambda file: file["basis"].update(basis_name="Cr"), "both hold Cr"),
        (lambda file: file["basis"].update(basis_name=3), "name"),
        (lambda file: file["basis"].update(basis_dwell=0), "basis_dwell"),
        (lambda file: file["basis"].update(basis_dwell="5e-4"), "basis_dwell"),
        (lambda file: file["basis"].update(basis_dwell=1e-3), "one dwell_s"),
        (lambda file: file["basis"].update(basis_centre=298.0), "one centre_hz"),
        (lambda file: file["basis"].update(basis_nucleus="31P"), "one nucleus"),
        (lambda file: file["basis"].update(basis_nucleus=["1H"]), "nucleus"),
        (lambda file: file["basis"]["basis_re"].__setitem__(5, math.nan), "NaN"),
        (lambda file: file["basis"]["basis_re"].__setitem__(5, "1"), "numbers"),
        (lambda file: file["basis"]["basis_re"].__setitem__(5, 10**400), "range"),
        (lambda file: file["basis"]["basis_re"].pop(), "equally long"),
        (lambda file: file["basis"].update(basis_re=[0.0], basis_im=[1.0]), "points"),
        (lambda file: file["basis"].update(basis_re=[1.0] * 99, basis_im=[1.0] * 99), "one length"),
        (lambda file: file["basis"].update(basis_re=[0.0] * POINTS, basis_im=[0.0] * POINTS), "are 0"),
    ],
)
def test_malformed_json_is_refused_by_name(tmp_path, change, message):
    write_basis(edited(), tmp_path)
    path = tmp_path / "on" / "NAA.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(BasisError, match=message) as error:
        read_basis(tmp_path)
    assert "NAA.json" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100000, b"\xff\xfe\x00", b"[1]", b"null"])
def test_files_that_are_no_basis_are_refused(tmp_path, content):
    (tmp_path / "NAA.json").write_bytes(content)
    with pytest.raises(BasisError, match="NAA.json"):
        read_basis(tmp_path)


def test_what_fsl_mrs_sim_leaves_out_or_adds_is_accepted(tmp_path):
    write_basis(edited(), tmp_path)
    for path in (tmp_path / "off").glob("*.json"):
        content = json.loads(path.read_text())
        del content["basis"]["basis_nucleus"]
        content["basis"]["basis_width"] = None
        content.update(seq={"Nucleus": "1H", "B0": 2.894}, spinSys={}, outputDensityMatrix={"re": [], "im": []})
        path.write_text(json.dumps(content, indent="\t"))
    basis = read_basis(tmp_path / "off")
    assert (basis.nucleus, basis.linewidth_hz) == ("1H", 0.0)


def test_missing_and_incomplete_folders_are_refused(tmp_path):
    with pytest.raises(BasisError, match="does not exist"):
        read_basis(tmp_path / "nothing")
    with pytest.raises(BasisError, match="has 0"):
        read_basis(tmp_path)
    (tmp_path / "off").mkdir()
    with pytest.raises(BasisError, match="only off"):
        read_basis(tmp_path)
    (tmp_path / "basis.txt").write_text("x")
    with pytest.raises(BasisError, match="basis_tools"):
        read_basis(tmp_path / "basis.txt")
    with pytest.raises(BasisError, match="not 3"):
        read_basis([tmp_path] * 3)


@pytest.mark.parametrize(
    ("factor", "found"), [(0.5, r"\(on - off\) / 2"), (-1, "off - on"), (-0.5, r"\(off - on\) / 2"), (3, "else")]
)
def test_another_difference_is_refused_and_named(tmp_path, factor, found):
    basis = edited()
    write_basis(basis, tmp_path)
    wrong = BasisSet(factor * basis.spectrum("difference")[None], ("single",), basis.names, DWELL_S, CENTRE_HZ, 2.0)
    write_basis(wrong, tmp_path / "diff")
    with pytest.raises(BasisError, match=found):
        read_basis(tmp_path)


def test_conditions_with_other_metabolites_are_refused(tmp_path):
    write_basis(edited(), tmp_path)
    (tmp_path / "on" / "NAA.json").unlink()
    with pytest.raises(BasisError, match="NAA only in one"):
        read_basis(tmp_path)


def test_check_accepts_a_good_set_in_any_length_and_bandwidth():
    check_basis(edited())
    check_basis(edited().resample(2.5e-4, 4096))
    check_basis(edited().resample(8e-4, 1024))
    check_basis(edited().keep(("Cr",)).resample(DWELL_S, 1024))


def test_check_takes_a_strong_line_that_is_not_the_highest():
    """As displaced slices at few positions make it: the CH2 of creatine above its CH3."""
    times = time_axis(POINTS, DWELL_S)

    def creatine(ch3_ppm, ch3):
        lines = [(ch3_ppm, ch3), (3.91, 1.0)]
        turns = [height * np.exp(2j * np.pi * ppm_to_hz(ppm, CENTRE_HZ) * times) for ppm, height in lines]
        fids = (sum(turns) * np.exp(-np.pi * 2.0 * times))[None, None]
        return BasisSet(fids, ("single",), ("Cr",), DWELL_S, CENTRE_HZ, 2.0)

    check_basis(creatine(3.03, 0.8))
    for wrong in (creatine(3.13, 0.8), creatine(3.03, 0.1)):
        with pytest.raises(BasisError, match="check its frequency reference"):
            check_basis(wrong)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fids": edited().fids.conj()}, "conjugate"),
        ({"fids": edited().fids[::-1]}, "swapped"),
        ({"fids": edited().fids[[0, 0]]}, "same"),
        ({"names": ("NAA", "GABA", "Cr")}, "NAA in a basis has a strong line at 2.01 ppm; .* highest stands at 3.03"),
        ({"names": ("GABA", "Cr", "NAA")}, "GABA|Cr"),
        ({"names": ("Ala", "Asp", "GABA"), "fids": edited().fids * np.exp(500j * time_axis(POINTS, DWELL_S))}, "GABA"),
        ({"centre_hz": 123.2}, "MHz"),
        ({"centre_hz": 123.2e12}, "MHz"),
        ({"nucleus": "31P"}, "31P"),
        ({"dwell_s": 1e-3}, "bandwidth"),
        ({"fids": edited().fids[..., :200]}, "points"),
    ],
)
def test_check_refuses_and_says_why(changes, message):
    with pytest.raises(BasisError, match=message):
        check_basis(edited(**changes))


def test_unknown_shipped_basis_lists_what_there_is():
    with pytest.raises(FslMrsDlError, match="no shipped basis 'nothing'"):
        shipped_basis("nothing")
