"""The model card: what a model was trained on, with which outcome, and what it is for."""

import hashlib
import platform
from importlib import metadata
from itertools import chain, count

import numpy as np

from ..errors import ConfigError, ModelError

OF_NETWORK = "Of what the network says, before it is corrected for shrinkage."
"""What the errors of a card are of."""

PARTS = ("training", "adapted_to", "corrected_for", "basis", "versions", "errors", "bounds")
"""Parts of a card that hold facts by their names."""


def versions():
    """Versions of what a result depends on."""
    packages = ("torch", "numpy", "scipy", "lightning")
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found


def content_hash(fids):
    """Hash of a scan's content, whatever its file is called or how it is packed.

    Args:
        fids: (condition, point) complex array as read from the file.

    Returns:
        64 hexadecimal digits.
    """
    return hashlib.sha256(np.ascontiguousarray(fids, dtype="<c8").tobytes()).hexdigest()


def check_card(card, where):
    """Refuse a card that lacks the form of one, as that of a stranger's model may.

    Args:
        card: content of a card.json.
        where: what to call it in errors.

    Raises:
        ModelError: it is no JSON object, or a part of it or a table of errors is something else than expected.
    """
    if not isinstance(card, dict):
        raise ModelError(f"{where}: a model card is a JSON object, not {type(card).__name__}.")
    wrong = [name for name in PARTS if not isinstance(card.get(name, {}), dict)]
    for name in ("errors", "bounds"):
        tables = [] if name in wrong else list(card.get(name, {}).values())
        if not all(isinstance(one, dict) and one and set(one) == set(tables[0]) for one in tables):
            wrong.append(name)
        elif not all(isinstance(value, (int, float)) for one in tables for value in one.values()):
            wrong.append(name)
    for name in {"adapted_to", "corrected_for"}.difference(wrong):
        scans = card.get(name, {}).get("scans", {})
        if not isinstance(scans, dict) or not all(isinstance(content, str) for content in scans.values()):
            wrong.append(name)
    wrong += [name for name in ("name", "purpose", "not_for") if not isinstance(card.get(name, ""), str)]
    if wrong:
        raise ModelError(f"{where}: its part {wrong[0]} is not that of a model card; copy the model folder anew.")


def trained_recipe(model):
    """Recipe of the scans that a model was trained on, from its card.

    Args:
        model: TrainedModel.

    Raises:
        ConfigError: the card has none.
    """
    from ..config import from_dict
    from ..synth.priors import Recipe

    recipe = model.card.get("training", {}).get("recipe")
    if not isinstance(recipe, dict):
        raise ConfigError(f"The card of {model.name} has no recipe: name one with --recipe.")
    return from_dict(Recipe, recipe, f"the recipe in the card of {model.name} (or give --recipe)")


def adapted_scans(card, part="adapted_to"):
    """Scans that a model was adapted to: {name: content hash}, empty for a model that was not.

    Args:
        card: of the model.
        part: "adapted_to", what its weights have seen, or "corrected_for", what its estimates are corrected by.
    """
    adapted = card.get(part)
    scans = adapted.get("scans") if isinstance(adapted, dict) else None
    return scans if isinstance(scans, dict) else {}


def known_hashes(card):
    """Set of the content hashes of all scans that a model was adapted to, its weights or its estimates."""
    return {one for part in ("adapted_to", "corrected_for") for one in adapted_scans(card, part).values()}


def with_scans(earlier, scans):
    """Two dictionaries of scans, as of `adapted_scans`, in one: where names repeat, the later one is numbered."""
    found = dict(earlier)
    for name, content in scans.items():
        tried = chain([name], (f"{name} ({number})" for number in count(2)))
        found[next(one for one in tried if found.get(one, content) == content)] = content
    return found


def in_sample(model, scans):
    """Names of the scans that a model was adapted to, whatever their files are called now.

    Args:
        model: TrainedModel.
        scans: {name: (condition, point) FIDs as read from the file}.
    """
    known = known_hashes(model.card)
    return [name for name, fids in scans.items() if content_hash(fids) in known] if known else []


def check_out_of_sample(model, scans):
    """Refuse to evaluate a model on scans that it was adapted to; arguments as of `in_sample`.

    Raises:
        ModelError: it was adapted to one of them.
    """
    seen = in_sample(model, scans)
    if seen:
        raise ModelError(
            f"The model {model.name} was adapted to {len(seen)} of these {len(scans)} scans, such as {seen[0]}: leave "
            "them out, or give --in_sample and say so wherever you show the errors."
        )


def card_text(card):
    """The card as Markdown: a heading a part, a line a fact, a small table for what has parts of its own."""
    lines = [f"# Model card: {card.get('name', 'model')}", "", card.get("purpose", ""), ""]
    if card.get("not_for"):
        lines += [f"**Not for:** {card['not_for']}", ""]
    titles = {"training": "Training", "adapted_to": "Adapted to", "corrected_for": "Corrected for"}
    titles |= {"basis": "Basis set", "versions": "Versions"}
    for key, title in titles.items():
        if card.get(key):
            lines += _part(title, card[key])
    if card.get("errors"):
        lines += ["## Mean absolute errors, relative to the largest concentration of a scan", "", OF_NETWORK, ""]
        lines += [error_table(card), ""]
    return "\n".join(lines)


def _part(title, facts):
    """Lines of one part of the card: plain facts as a list, then a table for each dict."""
    plain = {name: value for name, value in facts.items() if not isinstance(value, dict)}
    lines = [f"## {title}", "", *(f"- {name}: {_text(value)}" for name, value in plain.items()), ""]
    for name, value in facts.items():
        if isinstance(value, dict):
            rows = [f"| {key} | {_text(one)} |" for key, one in value.items() if _says_something(one)]
            lines += [f"### {name[:1].upper()}{name[1:]}", "", "| setting | value |", "|---|---|", *rows, ""]
    return lines


def _says_something(value):
    """Whether a setting is more than empty or 0; card.json has the others too."""
    return any(map(_says_something, value)) if isinstance(value, (list, tuple)) else bool(value)


def _text(value):
    """A value of the card in a cell: pairs and lists as their values, no line breaks and no column marks."""
    if isinstance(value, (list, tuple)):
        shown = [_text(one) for one in value[:8]] + (["..."] if len(value) > 8 else [])
        return ", ".join(shown)
    if isinstance(value, dict):
        return "; ".join(f"{key} {_text(one)}" for key, one in value.items())
    if isinstance(value, float):
        return f"{value:.6g}"
    return " ".join(str(value).split()).replace("|", "\\|")


def error_table(card):
    """Errors of a card as a Markdown table: a row a test set and its least-squares bound, a column a metabolite."""
    errors, bounds = card["errors"], card.get("bounds", {})
    names = list(next(iter(errors.values())))
    rows = [["test set", *names, "mean"]]
    for title, values in errors.items():
        rows.append(_error_row(title, values, names))
        if title in bounds:
            rows.append(_error_row("least-squares bound, the same", bounds[title], names))
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])


def _error_row(title, values, names):
    """Cells of one row, with the mean."""
    return [title, *(f"{values[name]:.4f}" for name in names), f"{sum(values.values()) / len(values):.4f}"]
