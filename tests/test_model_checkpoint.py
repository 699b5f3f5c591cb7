"""Model folders: the same numbers after loading; foreign and broken folders refused."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from fsl_mrs_dl.errors import ModelError, OutputError
from fsl_mrs_dl.model import checkpoint
from fsl_mrs_dl.model.checkpoint import load_model, save_model


@pytest.fixture
def folder(tiny_model, tmp_path):
    """A saved model."""
    save_model(tiny_model, tmp_path / "tiny")
    return tmp_path / "tiny"


def test_who_reads_the_card_reads_the_weights(folder):
    modes = {(folder / name).stat().st_mode for name in ("card.json", "config.json", "weights.safetensors")}
    assert len(modes) == 1


def test_a_saved_model_gives_the_same_numbers(tiny_model, folder):
    loaded = load_model(folder)
    scans = torch.randn(5, tiny_model.config.input.channels, tiny_model.config.input.bins)
    assert torch.equal(loaded.network(scans).fractions, tiny_model.network(scans).fractions)
    assert loaded.config == tiny_model.config and loaded.options == tiny_model.options
    assert loaded.name == "tiny" and len(loaded.weights_sha256) == 64
    assert loaded.card == json.loads(json.dumps(tiny_model.card))
    assert "In vivo" in (folder / "card.md").read_text() or "in vivo" in (folder / "card.md").read_text()


def test_nothing_in_the_folder_is_a_pickle(folder):
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["calibration.json", "card.json", "card.md", "config.json", "weights.safetensors"]


def test_an_existing_folder_stays(tiny_model, folder):
    with pytest.raises(OutputError, match="--overwrite"):
        save_model(tiny_model, folder)
    save_model(tiny_model, folder, overwrite=True)


def spoil_weights(folder):
    (folder / "weights.safetensors").write_bytes(b"\x80\x04pickle")


def cut_weights(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def other_size(folder):
    values = json.loads((folder / "config.json").read_text())
    values["options"]["encoder"] = [32, 16]
    (folder / "config.json").write_text(json.dumps(values))


def unknown_option(folder):
    values = json.loads((folder / "config.json").read_text())
    values["options"]["depth"] = 9
    (folder / "config.json").write_text(json.dumps(values))


def changed(**values):
    """A spoiler that sets values of config.json, named by their path as a__b__c."""

    def spoil(folder):
        content = json.loads((folder / "config.json").read_text())
        for name, value in values.items():
            *parents, last = name.split("__")
            place = content
            for parent in parents:
                place = place[parent]
            place[last] = value
        (folder / "config.json").write_text(json.dumps(content))

    return spoil


def nan_weights(folder):
    path = folder / "weights.safetensors"
    weights = load_file(path)
    next(iter(weights.values())).flatten()[0] = float("nan")
    save_file(weights, path)


@pytest.mark.parametrize(
    "spoil, words",
    [
        (changed(model__input__points=10**13), "points must be at most"),
        (changed(model__input__points=2**20, model__input__ppm=[-50, 50]), "at most 65536 points"),
        (changed(model__input__centre_hz=float("inf")), "finite"),
        (changed(model__input__centre_hz=10**400), "out of range"),
        (changed(options__encoder=[10**9]), "encoder must be at least 1 and at most"),
        (changed(options__encoder=[8] * 1000), "at most 64 layers"),
        (changed(options__encoder=[2**16, 2**16]), "weights, at most"),
        (changed(options__quantifier=0), "quantifier must be at least 1"),
        (changed(options__reconstruction_weight=float("nan")), "reconstruction_weight"),
        (changed(model__network="cnn", options={"filters": [10**9], "kernels": [3], "strides": [1]}), "filters"),
        (changed(model__line__half_range=[1, 1, 0, 1]), "half_range"),
        (changed(model__line__half_range=[1, 1, float("inf"), 1]), "half_range"),
        (changed(model__line__centre=[1, 1, float("nan"), 1]), "centre"),
        (changed(model__conditions=["edit_on", "edit_off"]), "conditions must be"),
        (changed(model__conditions=["single"]), "1 conditions are named"),
        (changed(model__metabolites=[]), "metabolites must be"),
        (changed(model__metabolites=["Cr", "GABA", "Cr"]), "metabolites must be"),
        (changed(model__metabolites=["Cr", "GABA", " "]), "metabolites must be"),
        (changed(model__basis_linewidth_hz=float("nan")), "basis_linewidth_hz"),
        (lambda folder: (folder / "card.json").write_text("[1]"), "card is a JSON object"),
        (lambda folder: (folder / "card.json").write_text("[" * 100_000), "model card"),
        (nan_weights, "NaN"),
    ],
)
def test_foreign_folders_are_refused(folder, spoil, words):
    spoil(folder)
    with pytest.raises(ModelError, match=words) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_a_network_without_room_is_refused(folder, monkeypatch):
    def fail(config, options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory\nmore")

    monkeypatch.setattr(checkpoint, "build_network", fail)
    with pytest.raises(ModelError, match="cannot be built here .*allocate memory.*[.]$"):
        load_model(folder)


@pytest.mark.parametrize(
    "spoil, words",
    [
        (spoil_weights, "safetensors"),
        (cut_weights, "safetensors"),
        (other_size, "do not fit"),
        (unknown_option, "unknown option 'depth'"),
        (lambda folder: (folder / "config.json").write_text('{"a": 1}'), "not a model"),
        (lambda folder: (folder / "config.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "safetensors"),
        (lambda folder: (folder / "card.json").unlink(), "model card"),
        (lambda folder: shutil.rmtree(folder), "no model"),
    ],
)
def test_broken_folders_are_refused(folder, spoil, words):
    spoil(folder)
    with pytest.raises(ModelError, match=words):
        load_model(folder)
