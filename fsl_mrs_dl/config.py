"""Frozen, self-checking configurations that live as JSON beside what they made."""

import dataclasses
import json
import math
import types
import typing
from pathlib import Path

from .errors import ConfigError

MAX_JSON_BYTES = 256 * 2**20


def to_dict(config):
    """A configuration as plain JSON types."""
    return dataclasses.asdict(config)


def from_dict(cls, values, where="the configuration"):
    """A configuration from plain JSON types.

    Args:
        cls: a dataclass whose fields are numbers, strings, booleans, tuples of these, or dataclasses.
        values: dict with the fields' values; left-out fields take their defaults.
        where: what to call the source in errors.

    Raises:
        ConfigError: an unknown field, a missing one, a value of the wrong type, or one the class refuses.
    """
    if not isinstance(values, dict):
        raise ConfigError(f"{where} must be a JSON object, not {type(values).__name__}.")
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(hints))
    if unknown:
        raise ConfigError(f"{where}: unknown option {unknown[0]!r}; it knows {', '.join(sorted(hints))}.")
    fields = {name: _cast(hints[name], value, f"{where}: {name}") for name, value in values.items()}
    try:
        return cls(**fields)
    except TypeError as exc:
        missing = [
            f.name
            for f in dataclasses.fields(cls)
            if f.name not in fields and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        ]
        raise ConfigError(f"{where}: missing option {', '.join(missing)}.") from exc


def _cast(hint, value, where):
    """A JSON value as the annotated type; ConfigError where it does not fit."""
    if dataclasses.is_dataclass(hint):
        return from_dict(hint, value, where)
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _cast(typing.get_args(hint)[0], value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise ConfigError(f"{where} must be a list, not {value!r}.")
        kinds = typing.get_args(hint)
        kinds = [kinds[0]] * len(value) if kinds[-1] is Ellipsis else kinds
        if len(kinds) != len(value):
            raise ConfigError(f"{where} must have {len(kinds)} values, not {len(value)}.")
        return tuple(_cast(kind, item, where) for kind, item in zip(kinds, value))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError as exc:
            raise ConfigError(f"{where} is a number out of range.") from exc
    if not isinstance(value, hint) or (hint is int and isinstance(value, bool)):
        raise ConfigError(f"{where} must be {hint.__name__}, not {value!r}.")
    return value


def save(config, path):
    """Write a configuration as JSON."""
    Path(path).write_text(json.dumps(to_dict(config), indent=1) + "\n", encoding="utf-8")


def read_json(path, what, error=ConfigError):
    """The content of a JSON file.

    Raises:
        error: the file is missing, larger than `MAX_JSON_BYTES` or not JSON; it says `what` the file should be.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise error(f"{path}: not {what} (larger than {MAX_JSON_BYTES // 2**20} MiB).")
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise error(f"{path}: cannot be read as {what} ({exc.strerror}).") from exc
    except UnicodeDecodeError as exc:
        raise error(f"{path}: not {what} (not JSON: {exc.reason}).") from exc
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        # A ValueError of its own is a number of too many digits, a RecursionError lists within lists without end.
        raise error(f"{path}: not {what} (not JSON: {exc}).") from exc


def check_range(name, pair, low=None, high=None):
    """Refuse a (low, high) pair that is not finite, not ascending or leaves its bounds."""
    if not all(map(math.isfinite, pair)):
        raise ConfigError(f"{name} must be a pair of finite numbers, not {pair}.")
    if pair[0] > pair[1] or (low is not None and pair[0] < low) or (high is not None and pair[1] > high):
        bounds = f" within [{low}, {high}]" if low is not None or high is not None else ""
        raise ConfigError(f"{name} must be an ascending pair{bounds}, not {pair}.")
