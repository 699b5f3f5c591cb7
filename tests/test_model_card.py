"""The card as text: facts as lines, settings as tables, errors beside their bounds."""

import numpy as np
import pytest

from fsl_mrs_dl.errors import ModelError
from fsl_mrs_dl.model.card import card_text, check_card, content_hash, error_table

CARD = {
    "name": "mine",
    "purpose": "Gels.",
    "training": {
        "network": "yae",
        "plan": {"batch": 16, "passes": 0},
        "recipe": {"shift_hz": (-1.0, 1.0), "echo": (0.0, 0.0)},
    },
    "errors": {"own": {"Cr": 0.01, "NAA": 0.03}, "other": {"Cr": 0.02, "NAA": 0.02}},
    "bounds": {"own": {"Cr": 0.005, "NAA": 0.007}},
}


def test_errors_stand_above_their_bounds():
    rows = error_table(CARD).splitlines()
    assert rows[2] == "| own | 0.0100 | 0.0300 | 0.0200 |"
    assert rows[3] == "| least-squares bound, the same | 0.0050 | 0.0070 | 0.0060 |"
    assert rows[4] == "| other | 0.0200 | 0.0200 | 0.0200 |" and len(rows) == 5


def test_settings_are_tables_without_what_is_nothing():
    text = card_text(CARD)
    assert "- network: yae" in text and "### Plan" in text and "| batch | 16 |" in text
    assert "| shift_hz | -1, 1 |" in text and "echo" not in text and "passes" not in text and "{" not in text


def test_the_hash_is_of_the_content():
    fids = np.arange(8).reshape(2, 4) * (1 + 1j)
    assert content_hash(fids) == content_hash(fids.astype(np.complex64).copy(order="F"))
    assert content_hash(fids) != content_hash(fids[::-1])


def test_a_card_of_another_form_is_refused():
    check_card(CARD, "card.json")
    check_card({}, "card.json")
    with pytest.raises(ModelError, match="card.json: a model card is a JSON object, not list"):
        check_card([], "card.json")
    numbers = {"Cr": 0.01, "NAA": 0.03}
    tables = (3, {"own": 3}, {"own": {}}, {"own": {"Cr": "x"}}, {"own": numbers, "other": {"Cr": 0.01}})
    scans = [("adapted_to", {"scans": {"a": ["b"]}}), ("corrected_for", {"scans": 3}), ("purpose", 5)]
    for part, values in [("training", 3), ("adapted_to", []), *scans, *(("errors", table) for table in tables)]:
        with pytest.raises(ModelError, match=f"its part {part} is not that of a model card"):
            check_card({**CARD, part: values}, "card.json")
