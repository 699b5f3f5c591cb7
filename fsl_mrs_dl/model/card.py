"""The model card: what a model was trained on, with which outcome, and what it is for."""

import platform
from importlib import metadata


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


def card_text(card):
    """The card as Markdown: a heading a part, a line a fact, a table of errors."""
    lines = [f"# Model card: {card.get('name', 'model')}", "", card.get("purpose", ""), ""]
    if card.get("not_for"):
        lines += [f"**Not for:** {card['not_for']}", ""]
    for title, key in (("Training", "training"), ("Basis set", "basis"), ("Versions", "versions")):
        if card.get(key):
            lines += [f"## {title}", ""] + [f"- {name}: {value}" for name, value in card[key].items()] + [""]
    if card.get("errors"):
        lines += ["## Mean absolute errors, relative to the largest concentration of a scan", "", error_table(card), ""]
    return "\n".join(lines)


def error_table(card):
    """Errors of a card as a Markdown table: a row a test set, a column a metabolite."""
    errors = card["errors"]
    names = list(next(iter(errors.values())))
    rows = [["test set", *names, "mean"]]
    for title, values in errors.items():
        mean = sum(values.values()) / len(values)
        rows.append([title, *(f"{values[name]:.4f}" for name in names), f"{mean:.4f}"])
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])
