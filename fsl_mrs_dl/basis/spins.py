"""Spin systems of metabolites, and the operators of spins 1/2.

A metabolite is a tuple of `SpinSystem` parts; `components` breaks them into the smallest pieces that can
be simulated one by one: spins that no coupling joins evolve on their own, and a coupled hetero-nucleus,
which no pulse touches, keeps its state, so that each of its two states only shifts the protons by half
the coupling. States of n spins are numbered with the first spin as the most significant bit, 0 = up.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path

import numpy as np

from ..config import read_json
from ..errors import BasisError

HETERO_SHIFTS_PPM = (40.0, 100.0)
"""Shifts that mark a coupled hetero-nucleus (31P, 14N) in the table of spin systems (ppm)."""

SPIN_TABLES = ("shipped", "govindaraju", "room_temperature")
"""Published tables: spin_systems.json, then those of spin_variants.json, where their sources stand."""


@dataclass(frozen=True)
class SpinSystem:
    """One part of a metabolite.

    Attributes:
        name: name of the part.
        shifts_ppm: chemical shift of every spin (ppm); one of `HETERO_SHIFTS_PPM` for a hetero-nucleus.
        j_hz: scalar couplings (Hz), square, used above the diagonal.
        scale: how many such groups the metabolite has.
    """

    name: str
    shifts_ppm: tuple
    j_hz: tuple
    scale: float = 1.0

    def __post_init__(self):
        object.__setattr__(self, "shifts_ppm", tuple(float(shift) for shift in self.shifts_ppm))
        object.__setattr__(self, "j_hz", tuple(tuple(float(j) for j in row) for row in self.j_hz))
        spins = len(self.shifts_ppm)
        if spins == 0 or len(self.j_hz) != spins or any(len(row) != spins for row in self.j_hz):
            raise BasisError(
                f"Spin system {self.name}: {spins} shifts need a {spins} x {spins} table of couplings, "
                f"not rows of {[len(row) for row in self.j_hz]}; correct the table."
            )
        if not np.all(np.isfinite(self.shifts_ppm)) or not np.all(np.isfinite(self.j_hz)) or not self.scale > 0:
            raise BasisError(f"Spin system {self.name}: shifts, couplings and a scale above 0 must be finite numbers.")

    @property
    def hetero(self):
        """Which spins are hetero-nuclei, tuple of bool."""
        return tuple(shift in HETERO_SHIFTS_PPM for shift in self.shifts_ppm)


@dataclass(frozen=True)
class Component:
    """Protons joined by couplings, to be simulated on their own.

    Attributes:
        shifts_ppm: (spin,) chemical shifts (ppm).
        offsets_hz: (spin,) field-independent offsets from hetero-nuclei (Hz).
        j_hz: (spin, spin) couplings (Hz), symmetric, as nested tuples.
        weight: how many such components the metabolite holds.
    """

    shifts_ppm: tuple
    offsets_hz: tuple
    j_hz: tuple
    weight: float


def load_systems(path=None):
    """Spin systems by metabolite name.

    Args:
        path: JSON file laid out as the shipped spin_systems.json (the default).

    Returns:
        dict of name -> tuple of SpinSystem.

    Raises:
        BasisError: the file is not such a table.
    """
    source = Path(path) if path is not None else Path(__file__).parent / "spin_systems.json"
    return _systems(read_json(source, "a table of spin systems", BasisError), source)


def variant_systems(table):
    """The shipped spin systems with those of another published table in their place.

    Args:
        table: one of `SPIN_TABLES`; the first is the shipped table as it is.

    Returns:
        dict of name -> tuple of SpinSystem.
    """
    shipped = load_systems()
    if table == SPIN_TABLES[0]:
        return shipped
    source = Path(__file__).parent / "spin_variants.json"
    tables = read_json(source, "tables of spin systems", BasisError)["tables"]
    if table not in tables:
        raise BasisError(f"A table of spin systems is one of {', '.join(SPIN_TABLES)}, not {table}.")
    return shipped | _systems(tables[table], source)


def _systems(content, source):
    """Spin systems by name of the JSON content of a table."""
    try:
        table = content["metabolites"]
        return {
            name: tuple(
                SpinSystem(part["name"], part["shifts_ppm"], part["j_hz"], float(part["scale_factor"]))
                for part in parts
            )
            for name, parts in table.items()
        }
    except BasisError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise BasisError(
            f"{source} is not a table of spin systems ({type(exc).__name__}: {exc}); it needs "
            "metabolites -> list of parts with name, shifts_ppm, j_hz and scale_factor."
        ) from exc


def find_systems(names, systems=None):
    """Spin systems of some metabolites.

    Args:
        names: metabolite names.
        systems: dict of name -> tuple of SpinSystem; the shipped table when None.

    Raises:
        BasisError: a name is unknown.
    """
    systems = load_systems() if systems is None else systems
    unknown = [name for name in names if name not in systems]
    if unknown:
        raise BasisError(f"No spin system for {', '.join(unknown)}; known are {', '.join(sorted(systems))}.")
    return {name: systems[name] for name in names}


def components(parts):
    """Break a metabolite into components; identical ones are merged into one with their summed weight.

    Args:
        parts: SpinSystems of one metabolite.

    Returns:
        tuple of Component, in the order of the table.
    """
    merged = {}
    for part in parts:
        j_hz = np.triu(np.array(part.j_hz), 1)
        j_hz = j_hz + j_hz.T
        hetero = np.array(part.hetero)
        protons = np.flatnonzero(~hetero)
        couplings = j_hz[np.ix_(protons, np.flatnonzero(hetero))]
        shifts = np.array(part.shifts_ppm)[protons]
        j_protons = j_hz[np.ix_(protons, protons)]
        for group in _connected(j_protons):
            felt = couplings[group][:, np.any(couplings[group] != 0, axis=0)]
            states = list(product((0.5, -0.5), repeat=felt.shape[1]))
            for state in states:
                key = (
                    tuple(shifts[group].tolist()),
                    tuple((felt @ np.array(state)).tolist()),
                    tuple(map(tuple, j_protons[np.ix_(group, group)].tolist())),
                )
                merged[key] = merged.get(key, 0.0) + part.scale / len(states)
    return tuple(Component(*key, weight) for key, weight in merged.items())


def _connected(j_hz):
    """Groups of spins (arrays of indices) that couplings join, in the order of their first spin."""
    linked = np.linalg.matrix_power((j_hz != 0) + np.eye(len(j_hz)), len(j_hz)) > 0
    first = [int(np.flatnonzero(row)[0]) for row in linked]
    return [np.flatnonzero(linked[index]) for index in sorted(set(first))]


@lru_cache(maxsize=None)
def iz_values(spins):
    """Iz of every spin in every state, (spin, state) of +-1/2, not to be written to."""
    states = np.arange(2**spins)
    bits = (states[None, :] >> np.arange(spins - 1, -1, -1)[:, None]) & 1
    return 0.5 - bits


@lru_cache(maxsize=None)
def coherence_orders(spins):
    """Coherence order of every element of a density matrix, (state, state): its row's total Iz less its column's."""
    total = iz_values(spins).sum(0)
    return (total[:, None] - total[None, :]).round().astype(int)


@lru_cache(maxsize=None)
def exchange_operators(spins):
    """I_i . I_j of every pair of spins, (pair, state, state), pairs in the order of numpy.triu_indices.

    With P the exchange of two spins, I_i . I_j = P / 2 - 1 / 4.
    """
    states = np.arange(2**spins)
    operators = []
    for one, two in zip(*np.triu_indices(spins, 1), strict=True):
        places = spins - 1 - one, spins - 1 - two
        differ = ((states >> places[0]) ^ (states >> places[1])) & 1
        swapped = states ^ (differ << places[0]) ^ (differ << places[1])
        exchange = np.zeros((len(states), len(states)))
        exchange[swapped, states] = 0.5
        operators.append(exchange - 0.25 * np.eye(len(states)))
    return np.array(operators).reshape(-1, len(states), len(states))


@lru_cache(maxsize=None)
def raising_operator(spins):
    """Total I+, (state, state): the detector of coherence order -1."""
    states = np.arange(2**spins)
    operator = np.zeros((len(states), len(states)))
    for place in range(spins):
        down = states[(states >> place) & 1 == 1]
        operator[down ^ (1 << place), down] = 1
    return operator
