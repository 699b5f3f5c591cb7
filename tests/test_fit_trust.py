"""The trust flag: thresholds, what is written and refused."""

import dataclasses
import json

import numpy as np
import pandas
import pytest
from nifti_mrs.create_nmrs import gen_nifti_mrs

from fsl_mrs_dl import axes
from fsl_mrs_dl.basis.basis_set import read_basis, shipped_basis, write_basis
from fsl_mrs_dl.cli.main import main
from fsl_mrs_dl.config import from_dict, to_dict
from fsl_mrs_dl.errors import ConfigError, ModelError, OutputError
from fsl_mrs_dl.evaluate.trust_scans import SWAPPED, TrustScans
from fsl_mrs_dl.evaluate.trust_table import checks_of, learn, roc_area, trust_table
from fsl_mrs_dl.fit.predict import look
from fsl_mrs_dl.fit.trust import RANGES, Judge, _by_range
from fsl_mrs_dl.model.checkpoint import load_model, save_model, shipped_models
from fsl_mrs_dl.model.thresholds import WORDS, CheckScale, Thresholds, joined, write_thresholds

from .conftest import CENTRE_HZ
from .fit_examples import noise_of, scans_of

DWELL_S = 5e-4


@pytest.fixture(scope="module")
def good(tiny_model, tiny_basis):
    return checks_of(tiny_model, tiny_basis, scans_of(tiny_basis, 160, 5))


@pytest.fixture(scope="module")
def spoilt(tiny_model, tiny_basis):
    kinds = {
        "swapped": scans_of(tiny_basis, 40, 6)[:, ::-1],
        "noise": noise_of(40, 7),
        "wide": scans_of(tiny_basis, 40, 8, lorentz_hz=(25.0, 25.0)),
    }
    return {kind: checks_of(tiny_model, tiny_basis, fids) for kind, fids in kinds.items()}


@pytest.fixture(scope="module")
def model(tiny_model, good, spoilt, tmp_path_factory):
    """The tiny model with thresholds, loaded from its folder."""
    folder = tmp_path_factory.mktemp("trust") / "model"
    save_model(tiny_model, folder)
    write_thresholds(folder, learn(load_model(folder), good, spoilt, "tests"))
    return load_model(folder), folder


def test_spoilt_scans_are_told_from_good_ones_that_thresholds_never_saw(model, tiny_basis, spoilt):
    trained, _ = model
    new = checks_of(trained, tiny_basis, scans_of(tiny_basis, 80, 15))
    table = trust_table(trained.trust, new, spoilt).set_index("scans")
    assert table.loc["all spoilt scans", "area"] > 0.97 and table.loc["noise", "out of range"] == 1
    assert table.loc["good scans", "in range"] > 0.8 and table.loc["good scans", "out of range"] < 0.1
    assert (table[["in range", "caution", "out of range"]].sum(axis=1) - 1).abs().max() < 1e-9


def test_levels_and_reasons(model, tiny_basis):
    trained, _ = model
    judged = Judge(trained, tiny_basis, 2000.0)(look(trained, noise_of(2, 9)))
    assert all(trust.out_of_range and trust.reasons and trust.score > 2 for trust in judged)
    assert "out of range (score" in judged[0].text() and any("noise" in reason for reason in judged[0].reasons)
    # Referenced and phased, as prepared scans are.
    at_place = {"shift_hz": (0.0, 0.0), "phase_rad": (0.0, 0.0), "noise_sigma": (0.005, 0.006)}
    fine = Judge(trained, tiny_basis, 2000.0)(look(trained, scans_of(tiny_basis, 20, 2, **at_place)))
    calm = [trust for trust in fine if trust.level == "in range"]
    assert len(calm) >= 10 and not any(trust.reasons or trust.note for trust in calm)


def test_score_grows_with_every_check():
    scores = np.random.default_rng(0).uniform(0, 2, (1, 5))
    for check in range(5):
        higher = scores.copy()
        higher[0, check] += 0.5
        assert joined(higher)[0] > joined(scores)[0]
    assert joined(np.full((1, 3), 1e9))[0] == 99
    assert joined(np.array([[0.0, np.nan]]))[0] == 99


def test_area_under_the_curve():
    assert roc_area([1, 2, 3], [4, 5]) == 1 and roc_area([4, 5], [1, 2, 3]) == 0
    assert roc_area([1, 3], [2, 3]) == pytest.approx((1 + 0 + 1 + 0.5) / 4)


def test_without_thresholds_only_ranges_are_checked(tiny_model, tiny_basis):
    calm = scans_of(tiny_basis, 1, 4, noise_sigma=(0.005, 0.006))
    (fine,) = Judge(tiny_model, tiny_basis, 2000.0)(look(tiny_model, calm))
    assert fine.level == "not checked" and "evaluate --trust" in fine.note
    (bad,) = Judge(tiny_model, tiny_basis, 2000.0)(look(tiny_model, noise_of(1, 2)))
    assert bad.level == "out of range" and bad.reasons
    for recipe in (None, 1, {"noise_sigma": 5}, {"noise_sigma": ["a", "b"]}, {"noise_sigma": [0.1]}):
        stranger = dataclasses.replace(tiny_model, card={"training": {"recipe": recipe}})
        (found,) = Judge(stranger, tiny_basis, 2000.0)(look(tiny_model, calm))
        assert found.level == "not checked"


def test_without_thresholds_noise_is_called_what_thresholds_call_it():
    """Noise beyond the training's is of caution before it is out of range, in scans that are good otherwise."""
    trained, basis = load_model("hybrid_off"), read_basis(shipped_basis() / "off")
    judges = [Judge(one, basis, 2000.0) for one in (trained, dataclasses.replace(trained, trust=None))]
    at_place = {"shift_hz": (0.0, 0.0), "phase_rad": (0.0, 0.0)}
    most = trained.card["training"]["recipe"]["noise_sigma"][1]
    for times, level in ((1, "in range"), (3.5, "caution"), (12, "out of range")):
        sigma = (times * most, times * most)
        seen = look(trained, scans_of(basis, 40, 3, noise_sigma=sigma, **at_place))
        for judge in judges:
            levels = [trust.level.replace("not checked", "in range") for trust in judge(seen)]
            assert levels.count(level) > 20, (times, levels)


@pytest.mark.parametrize("check", ("width", "noise"))
def test_without_thresholds_the_score_tells_the_level(tiny_model, check):
    stranger = dataclasses.replace(tiny_model, card={"training": {"recipe": {"noise_sigma": [0, 1 / np.sqrt(2)]}}})
    caution, out = RANGES[check]
    for value, level, low, high in (
        (0.0, "not checked", 0, 0), (0.99 * caution, "not checked", 0, 1), (1.01 * caution, "caution", 1, 2),
        (1.01 * out, "out of range", 2, 3), (np.nan, "out of range", 99, 99),
    ):  # fmt: skip
        trust = _by_range(stranger, {"width": 0.0, "shift": 0.0, "phase": 0.0, "noise": 0.0, check: value})
        assert trust.level == level and low <= trust.score <= high
        assert trust.striking == ((check,) if level != "not checked" else ())


def test_thresholds_are_kept_whole(model):
    stored = model[0].trust
    assert from_dict(Thresholds, json.loads(json.dumps(to_dict(stored)))) == stored
    assert set(stored.names) <= set(WORDS)
    for scales in (stored.scales[:-1] + stored.scales[:1], (stored.scales[1], *stored.scales[1:])):
        with pytest.raises(ConfigError, match="pattern last"):
            dataclasses.replace(stored, scales=scales)
    with pytest.raises(ConfigError, match="ascend"):
        CheckScale("noise", 2.0, 1.0)
    with pytest.raises(ModelError, match="checks"):
        stored.scores({"noise": np.ones(1)})


def test_a_copy_keeps_the_thresholds_and_other_weights_do_not(model, tmp_path):
    trained, _ = model
    save_model(trained, tmp_path / "copy")
    assert load_model(tmp_path / "copy").trust == trained.trust
    of_others = dataclasses.replace(trained.trust, weights_sha256="0" * 64)
    save_model(dataclasses.replace(trained, trust=of_others), tmp_path / "other")
    assert load_model(tmp_path / "other").trust is None
    write_thresholds(tmp_path / "other", of_others)
    assert load_model(tmp_path / "other").trust is None


@pytest.mark.parametrize("spoil", ["caution", "cut", "empty", "list", "no weights", "scale", "unknown"])
def test_damaged_thresholds_are_refused_when_the_model_is_loaded(model, tmp_path, spoil):
    save_model(model[0], tmp_path / "copy")
    path = tmp_path / "copy" / "trust.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    if spoil == "caution":
        values["caution"] = -1.0
    elif spoil == "scale":
        values["scales"][0]["common"] = "x"
    elif spoil == "unknown":
        values["more"] = 1
    elif spoil == "no weights":
        del values["weights_sha256"]
    text = json.dumps({"list": [values], "empty": {}}.get(spoil, values))
    path.write_text(text[:200] if spoil == "cut" else text, encoding="utf-8")
    with pytest.raises(ModelError, match="trust.json"):
        load_model(tmp_path / "copy")
    assert load_model(tmp_path / "copy", judged=False).trust is None


def test_thresholds_that_cannot_be_written_leave_the_old_ones(model, tmp_path, monkeypatch):
    save_model(model[0], tmp_path / "copy")
    path = tmp_path / "copy" / "trust.json"
    before = path.read_text(encoding="utf-8")

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OutputError, match="no space left"):
        write_thresholds(tmp_path / "copy", dataclasses.replace(model[0].trust, source="others"))
    assert path.read_text(encoding="utf-8") == before and len(list(path.parent.glob("*trust*"))) == 1


def test_shipped_models_have_thresholds_of_their_weights():
    for name in shipped_models():
        assert load_model(name).trust is not None, f"{name}: run fsl_mrs_dl evaluate --trust"


def test_single_spectra_of_scans():
    fids = np.arange(12.0).reshape(2, 2, 3)
    scans = TrustScans(fids, {SWAPPED: fids, "pure noise": fids})
    assert (scans.single("difference").clean == 3).all() and set(scans.single("edit_off").spoilt) == {"pure noise"}


def write_scan(path, fids):
    data = np.moveaxis(fids, 0, -1)[None, None, None]
    gen_nifti_mrs(data, DWELL_S, CENTRE_HZ * 1e-6, dim_tags=["DIM_EDIT", None, None]).save(path)


@pytest.fixture
def files(model, tiny_basis, tmp_path):
    """Words of a command on a good and a spoilt scan."""
    write_basis(tiny_basis, tmp_path / "basis")
    t = axes.time_axis(2048, DWELL_S)
    good = scans_of(tiny_basis, 1, 2, noise_sigma=(0.005, 0.006), lorentz_hz=(4.0, 4.0))[0].astype(complex)
    lipid = 3 * np.abs(good).max() * np.exp((2j * np.pi * axes.ppm_to_hz(1.3, CENTRE_HZ) - np.pi * 20) * t)
    write_scan(tmp_path / "good.nii.gz", good)
    write_scan(tmp_path / "fat.nii.gz", good + lipid)
    scans = [str(tmp_path / f"{name}.nii.gz") for name in ("good", "fat")]
    words = ["--model", str(model[1]), "--basis", str(tmp_path / "basis"), "--edit_order", "off-on"]
    return scans, [*words, "--output", str(tmp_path / "out")], tmp_path / "out"


def test_the_flag_is_in_every_table_the_report_and_the_message(files, capsys):
    scans, words, output = files
    assert main(["--data", *scans, *words, "--report"]) == 0
    table = pandas.read_csv(output / "group.csv").groupby("scan").first()
    assert table.loc["fat", "trust"] == "out of range" and "lipids" in table.loc["fat", "trust_reasons"]
    assert table.loc["good", "trust_score"] < table.loc["fat", "trust_score"]
    quality = pandas.read_csv(output / "fat" / "off" / "qc.csv", index_col=0)
    assert list(quality.columns) == ["SNR", "FWHM", "Trust score", "Trust"]
    assert set(quality["Trust"]) == {"out of range"} and np.isfinite(quality[["SNR", "FWHM"]]).all(axis=None)
    page = (output / "fat" / "report.html").read_text(encoding="utf-8")
    assert "Trust: out of range" in page and "as of lipids" in page
    said = capsys.readouterr().out
    assert "trust: out of range" in said and "Look at the trust flag of" in said and "fat" in said
    # With several scans the first reason and how many more there are; all of them, line by line, on demand.
    reasons = table.loc["fat", "trust_reasons"].split("; ")
    assert len(reasons) > 1 and f"): {reasons[0]} (and {len(reasons) - 1} more: group.csv, --verbose)\n" in said
    assert main(["--data", *scans, *words, "--verbose", "--overwrite"]) == 0
    assert "\n    ".join((")", *reasons)) + "\n" in capsys.readouterr().out


def test_strict_refuses_scans_that_are_out_of_range(files, capsys):
    scans, words, output = files
    assert main(["--data", *scans, *words, "--strict"]) == 1
    assert "--strict refuses" in capsys.readouterr().err
    assert (output / "good").exists() and not (output / "fat").exists()
    assert main(["--data", scans[1], *words, "--strict", "--overwrite"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
