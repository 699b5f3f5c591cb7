"""Files that hold for the weights of a model alone: read where they belong to them, refused in one line else."""

import json
from dataclasses import dataclass

import pytest

from fsl_mrs_dl.errors import ConfigError, ModelError
from fsl_mrs_dl.model.for_weights import WAY_OUT, read_for_weights


@dataclass(frozen=True)
class Toy:
    """A number above 0 of some weights."""

    number: float
    weights_sha256: str = ""

    def __post_init__(self):
        if self.number <= 0:
            raise ConfigError("number must be above 0.")


def test_what_belongs_to_the_weights_is_read(tmp_path):
    (tmp_path / "toy.json").write_text('{"number": 2, "weights_sha256": "ab"}', encoding="utf-8")
    assert read_for_weights(Toy, tmp_path / "toy.json", "toy", "ab") == Toy(2.0, "ab")


@pytest.mark.parametrize(
    "values, message",
    [
        ({"number": 2, "weights_sha256": "cd"}, "of other weights .cd."),
        ({"number": 2}, "of other weights"),
        ({"number": 0, "weights_sha256": "ab"}, "above 0"),
        ({"weights_sha256": "ab"}, "missing option number"),
        ([], "toy must be a JSON object"),
    ],
)
def test_all_else_is_refused_with_the_way_out(values, message, tmp_path):
    (tmp_path / "toy.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(ModelError, match=message) as error:
        read_for_weights(Toy, tmp_path / "toy.json", "toy", "ab")
    assert "toy.json" in str(error.value) and str(error.value).endswith(WAY_OUT)


def test_a_file_that_is_no_json_is_named(tmp_path):
    (tmp_path / "toy.json").write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match="toy.json: not a model's toy"):
        read_for_weights(Toy, tmp_path / "toy.json", "toy", "ab")
