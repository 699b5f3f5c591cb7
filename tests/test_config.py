"""Configurations: to JSON and back, and clear refusals."""

from dataclasses import dataclass

import pytest

from fsl_mrs_dl import config
from fsl_mrs_dl.errors import ConfigError, ModelError


@dataclass(frozen=True)
class Inner:
    width: float = 1.0


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = Inner()
    sizes: tuple[int, ...] = (1, 2)
    band: tuple[float, float] = (0.0, 1.0)
    note: str | None = None


def test_to_json_and_back(tmp_path):
    value = Outer("a", Inner(2.5), (3,), (1.0, 4.5), "x")
    config.save(value, tmp_path / "c.json")
    assert config.from_dict(Outer, config.read_json(tmp_path / "c.json", "a test")) == value


@pytest.mark.parametrize(
    "values, words",
    [
        ({}, "missing option name"),
        ({"name": "a", "colour": 1}, "unknown option 'colour'"),
        ({"name": 3}, "name must be str"),
        ({"name": "a", "sizes": [1.5]}, "sizes must be int"),
        ({"name": "a", "band": [1.0]}, "2 values"),
        ({"name": "a", "inner": {"width": "wide"}}, "inner: width must be float"),
        ([], "JSON object"),
    ],
)
def test_what_does_not_fit_is_named(values, words):
    with pytest.raises(ConfigError, match=words):
        config.from_dict(Outer, values)


def test_ranges_are_finite_and_ascending():
    config.check_range("x", (1.0, 2.0), 1.0, 2.0)
    for pair in ((2.0, 1.0), (0.5, 2.0), (1.0, 2.5), (float("nan"), 2.0), (1.0, float("inf"))):
        with pytest.raises(ConfigError, match="x must be"):
            config.check_range("x", pair, 1.0, 2.0)


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "c.json").write_text("[1, 2, 3]")
    monkeypatch.setattr(config, "MAX_JSON_BYTES", 5)
    with pytest.raises(ModelError, match="not a test .larger"):
        config.read_json(tmp_path / "c.json", "a test", ModelError)


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "c.json").write_text("{")
    with pytest.raises(ModelError, match="not a test"):
        config.read_json(tmp_path / "c.json", "a test", ModelError)
    for content in (b"\xff\xfe\x00", b"[" * 100_000, b"1" * 5000):
        (tmp_path / "c.json").write_bytes(content)
        with pytest.raises(ModelError, match="not a test"):
            config.read_json(tmp_path / "c.json", "a test", ModelError)
    with pytest.raises(ConfigError, match="cannot be read"):
        config.read_json(tmp_path / "none.json", "a test")
