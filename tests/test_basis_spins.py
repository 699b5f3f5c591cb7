"""Spin systems: the shipped table, components, operators."""

import json

import numpy as np
import pytest

from fsl_mrs_dl.basis.spins import (
    SpinSystem,
    coherence_orders,
    components,
    exchange_operators,
    find_systems,
    iz_values,
    load_systems,
    raising_operator,
)
from fsl_mrs_dl.errors import BasisError

WANTED = "Ala Asc Asp Cr GABA GPC GSH Gln Glu Ins Lac NAA NAAG PCh PCr PE Scyllo Tau".split()


def test_shipped_table_has_the_wanted_metabolites_and_their_protons():
    systems = load_systems()
    assert set(WANTED) <= set(systems)
    protons = {
        name: sum(part.scale * (len(part.shifts_ppm) - sum(part.hetero)) for part in parts)
        for name, parts in systems.items()
    }
    assert protons["GABA"] == 6
    assert protons["NAA"] == 7
    assert protons["GPC"] == 18
    for name, parts in systems.items():
        weights = sum(len(component.shifts_ppm) * component.weight for component in components(parts))
        assert weights == pytest.approx(protons[name]), name


def test_uncoupled_equal_protons_become_one_spin():
    found = components(load_systems()["Cr"])
    assert [(component.shifts_ppm, component.weight) for component in found] == [
        ((6.649,), 1.0),
        ((3.913,), 2.0),
        ((3.027,), 3.0),
    ]


def test_coupled_groups_are_kept_together():
    part = SpinSystem("x", (1.0, 2.0, 3.0, 4.0), ((0, 0, 5, 0), (0, 0, 0, 0), (0, 0, 0, 7), (0, 0, 0, 0)))
    assert [component.shifts_ppm for component in components([part])] == [(1.0, 3.0, 4.0), (2.0,)]


def test_hetero_nucleus_splits_protons_into_two_halves():
    part = SpinSystem("x", (3.0, 3.0, 100.0), ((0, 0, 4.0), (0, 0, 4.0), (0, 0, 0)))
    found = components([part])
    assert [(component.offsets_hz, component.weight) for component in found] == [((2.0,), 1.0), ((-2.0,), 1.0)]


def test_operators_are_those_of_spins():
    ix, iy, iz = np.array([[0, 1], [1, 0]]) / 2, np.array([[0, -1j], [1j, 0]]) / 2, np.diag([0.5, -0.5])
    eye = np.eye(2)
    expected = sum(np.kron(np.kron(op, eye), op) for op in (ix, iy, iz))
    assert np.allclose(exchange_operators(3)[1], expected)
    total_x = sum(np.kron(np.kron(a, b), c) for a, b, c in ((ix, eye, eye), (eye, ix, eye), (eye, eye, ix)))
    plus = raising_operator(3)
    assert np.allclose((plus + plus.T) / 2, total_x)
    assert np.allclose(np.diag(iz_values(3)[1]), np.kron(np.kron(eye, iz), eye))
    assert np.all(coherence_orders(3)[plus != 0] == 1)


def test_unknown_metabolite_names_what_is_known():
    with pytest.raises(BasisError, match="No spin system for Xyz; known are Ace"):
        find_systems(["Cr", "Xyz"])


def test_bad_tables_are_refused(tmp_path):
    with pytest.raises(BasisError, match="2 shifts need a 2 x 2 table"):
        SpinSystem("x", (1.0, 2.0), ((0.0,),))
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"metabolites": {"A": [{"name": "A"}]}}))
    with pytest.raises(BasisError, match="not a table of spin systems"):
        load_systems(path)
    with pytest.raises(BasisError, match="cannot be read as a table of spin systems"):
        load_systems(tmp_path / "none.json")
    part = {"name": "A", "shifts_ppm": [1.0], "j_hz": [[0.0]], "scale_factor": "many"}
    tables = [[1, 2], {"metabolites": [1]}, {"metabolites": {"A": 3}}, {"metabolites": {"A": [part]}}]
    contents = [json.dumps(table).encode() for table in tables]
    for content in (*contents, b"\xff\xfe\x00", b"[" * 100_000, b"7"):
        path.write_bytes(content)
        with pytest.raises(BasisError, match="not a table of spin systems"):
            load_systems(path)
