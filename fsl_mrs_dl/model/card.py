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
    for title, errors in card.get("errors", {}).items():
        lines += [f"## Mean absolute error, {title}", "", "| metabolite | error (relative to the largest) |", "|---|---|"]
        lines += [f"| {name} | {value:.4f} |" for name, value in errors.items()] + [""]
    return "\n".join(lines)
