"""Pools of varied basis sets: many simulated scanners and samples to train on, kept in one HDF5 file."""

import os
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from ..axes import GYROMAGNETIC_HZ_PER_T
from ..errors import BasisError, ConfigError
from .basis_set import EDITED, SINGLE, BasisSet
from .builders import singlet
from .pool_members import member_sequences, member_systems
from .pool_priors import CHOICES, PoolPriors, draw_members
from .relaxation import broaden_by_t2
from .simulate import simulate_members
from .spins import SPIN_TABLES, find_systems, variant_systems

FORMAT = "fsl_mrs_dl basis pool 1"
UPRIGHT = "upright singlet"
"""Name of the line that gives a member its receiver phase."""


@dataclass(frozen=True, eq=False)
class BasisPool:
    """Bases of the same metabolites on the same time grid.

    Attributes:
        fids: (member, condition, metabolite, point) complex64, memory orientation (see `axes`).
        names: metabolites.
        conditions: ("edit_off", "edit_on").
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency (Hz).
        linewidth_hz: Lorentzian linewidth of every line (Hz).
        parameters: dict of name -> array with the member as first axis, what was drawn.
        priors: PoolPriors they were drawn from.
        seed: seed of the draw.

    Raises:
        BasisError: shapes or values do not fit.
    """

    fids: np.ndarray
    names: tuple
    conditions: tuple
    dwell_s: float
    centre_hz: float
    linewidth_hz: float
    parameters: dict
    priors: PoolPriors
    seed: int

    def __post_init__(self):
        object.__setattr__(self, "fids", np.asarray(self.fids, dtype=np.complex64))
        object.__setattr__(self, "names", tuple(self.names))
        object.__setattr__(self, "conditions", tuple(self.conditions))
        expected = (len(self.conditions), len(self.names))
        if self.fids.ndim != 4 or self.fids.shape[1:3] != expected or 0 in self.fids.shape:
            raise BasisError(
                f"FIDs of a pool have the shape (member, condition, metabolite, point), here (members, {expected[0]}, "
                f"{expected[1]}, points), not {self.fids.shape}."
            )
        if not np.all(np.isfinite(self.fids)):
            raise BasisError("FIDs of a pool hold values that are not finite numbers; make the pool again.")
        if not (0 < self.dwell_s < np.inf and 0 < self.centre_hz < np.inf and 0 <= self.linewidth_hz < np.inf):
            raise BasisError(
                f"A pool needs positive dwell time and centre, not {self.dwell_s} s and {self.centre_hz} Hz, and a "
                f"linewidth of 0 or more, not {self.linewidth_hz} Hz."
            )
        wrong = [name for name, values in self.parameters.items() if len(values) != len(self.fids)]
        if wrong:
            raise BasisError(f"Each parameter of a pool has one entry a member ({len(self.fids)}), unlike {wrong[0]}.")

    @property
    def points(self):
        """Number of points of every FID."""
        return self.fids.shape[-1]

    def __len__(self):
        return len(self.fids)

    def member(self, index):
        """One member as a BasisSet."""
        return BasisSet(
            self.fids[index], self.conditions, self.names, self.dwell_s, self.centre_hz, self.linewidth_hz
        )

    def single(self, spectrum):
        """The pool of one spectrum, "edit_off", "edit_on" or "difference" (on - off), of every member.

        Raises:
            BasisError: the members do not have it.
        """
        fids = np.stack([self.member(index).spectrum(spectrum) for index in range(len(self))])[:, None]
        return replace(self, fids=fids, conditions=SINGLE)


def sample_pool(priors, names, number, seed, progress=None, device="cpu"):
    """Draw and simulate a pool.

    Args:
        priors: PoolPriors.
        names: metabolites.
        number: members.
        seed: seed of the draw; the same seed gives the same pool.
        progress: called as progress(done, total) as metabolites of members are finished.
        device: torch device of the simulation.

    Returns:
        BasisPool.

    Raises:
        BasisError: an unknown metabolite, or no member.
    """
    if number < 1:
        raise BasisError(f"A pool needs at least 1 member, not {number}.")
    tables = {table: find_systems(names, variant_systems(table)) for table in SPIN_TABLES}
    drawn = draw_members(priors, tables, number, seed)
    return BasisPool(
        fids=simulate_drawn(priors, drawn, tables, names, progress, device),
        names=names,
        conditions=EDITED,
        dwell_s=1 / priors.bandwidth_hz,
        centre_hz=priors.b0_t * GYROMAGNETIC_HZ_PER_T["1H"],
        linewidth_hz=priors.linewidth_hz,
        parameters=drawn,
        priors=priors,
        seed=seed,
    )


def simulate_drawn(priors, drawn, tables, names, progress=None, device="cpu"):
    """FIDs of members as drawn, (member, condition, metabolite, point) complex128.

    Args:
        priors, drawn, tables: as of `pool_priors.draw_members`.
        names: metabolites.
        progress, device: as of `sample_pool`.
    """
    number = len(drawn["b1_scale"])
    parts = [member_sequences(priors, drawn, index) for index in range(number)]
    upright = {UPRIGHT: singlet(priors.slice_ppm)}
    systems = [member_systems(tables, drawn, index) | upright for index in range(number)]
    members = [pair for pairs in parts for pair in pairs]
    repeated = [table for table, pairs in zip(systems, parts, strict=True) for _ in pairs]
    told = None
    if progress is not None:
        told = lambda done, total: progress(done * number * len(names) // total, number * len(names))  # noqa: E731
    fids = simulate_members(members, [*names, UPRIGHT], repeated, device, told)
    fids = fids.reshape(number, -1, *fids.shape[1:]).mean(1)
    # One receiver phase a member, with which a singlet at the middle of the slices starts upright in edit-off.
    first = fids[:, 0, -1, 0]
    fids = fids[:, :, :-1] * np.exp(-1j * np.angle(first))[:, None, None, None]
    t2_s = np.stack([drawn[f"t2_s/{name}"] for name in names], 1)
    t2_s[drawn["relaxation"] == CHOICES["relaxation"].index("none")] = np.inf
    return broaden_by_t2(fids, t2_s, 1 / priors.bandwidth_hz)


def write_pool(pool, path):
    """Write a pool to an HDF5 file; the file must not exist.

    Raises:
        BasisError: the file exists or cannot be written.
    """
    try:
        with h5py.File(path, "x") as file:
            file.attrs["format"] = FORMAT
            file.attrs["names"] = list(pool.names)
            file.attrs["conditions"] = list(pool.conditions)
            file.attrs["priors"] = pool.priors.to_json()
            for field in ("dwell_s", "centre_hz", "linewidth_hz", "seed"):
                file.attrs[field] = getattr(pool, field)
            file["fids"] = pool.fids
            for name, values in pool.parameters.items():
                file[f"parameters/{name}"] = values
    except OSError as exc:
        raise BasisError(f"Cannot write the pool {path}: {exc}; choose a new file in a writable folder.") from exc


def pool_name(path):
    """Name of a pool's file in words: its folder's and its own, as files of pools are mostly called the same."""
    return "/".join(Path(os.path.abspath(path)).parts[1:][-2:])


def read_pool(path):
    """Read a pool of `write_pool`.

    Raises:
        BasisError: the file is missing, is not a pool or is damaged.
    """
    if not Path(path).is_file():
        raise BasisError(f"There is no pool {path}; sample one first.")
    try:
        with h5py.File(path, "r") as file:
            if file.attrs.get("format") != FORMAT:
                raise BasisError(f"{path} is not a '{FORMAT}' file but {file.attrs.get('format')}; sample a new pool.")
            parameters = {}
            file["parameters"].visititems(
                lambda name, item: parameters.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
            return BasisPool(
                fids=file["fids"][()],
                names=tuple(str(name) for name in file.attrs["names"]),
                conditions=tuple(str(name) for name in file.attrs["conditions"]),
                dwell_s=float(file.attrs["dwell_s"]),
                centre_hz=float(file.attrs["centre_hz"]),
                linewidth_hz=float(file.attrs["linewidth_hz"]),
                parameters=parameters,
                priors=PoolPriors.from_json(file.attrs["priors"]),
                seed=int(file.attrs["seed"]),
            )
    except BasisError as exc:
        raise BasisError(f"{path}: {exc}") from exc
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError) as exc:
        raise BasisError(f"The pool {path} is damaged ({exc}); sample it again.") from exc


def pool_of_options(path, spectrum):
    """The pool of --pool and --pool_spectrum, None where neither is given.

    Raises:
        ConfigError: a spectrum is given, but no pool.
        BasisError: as of `read_pool` and `BasisPool.single`.
    """
    if path:
        pool = read_pool(path)
        return pool.single(spectrum) if spectrum else pool
    if spectrum:
        raise ConfigError(
            "--pool_spectrum would not be used without --pool FILE: give that too, or leave --pool_spectrum out."
        )
    return None
