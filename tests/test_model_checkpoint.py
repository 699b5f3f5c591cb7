"""Model folders: the same numbers after loading; foreign and broken folders refused."""

import json
import shutil

import pytest
import torch

from fsl_mrs_dl.errors import ModelError, OutputError
from fsl_mrs_dl.model.checkpoint import load_model, save_model


@pytest.fixture
def folder(tiny_model, tmp_path):
    """A saved model."""
    save_model(tiny_model, tmp_path / "tiny")
    return tmp_path / "tiny"


def test_a_saved_model_gives_the_same_numbers(tiny_model, folder):
    loaded = load_model(folder)
    scans = torch.randn(5, tiny_model.config.input.channels, tiny_model.config.input.bins)
    assert torch.equal(loaded.network(scans).fractions, tiny_model.network(scans).fractions)
    assert loaded.config == tiny_model.config and loaded.options == tiny_model.options
    assert loaded.name == "tiny" and len(loaded.weights_sha256) == 64
    assert loaded.card == json.loads(json.dumps(tiny_model.card))
    assert "In vivo" in (folder / "card.md").read_text() or "in vivo" in (folder / "card.md").read_text()


def test_nothing_in_the_folder_is_a_pickle(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "card.md", "config.json", "weights.safetensors"]


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
