"""Scans that no result should be trusted of: spoilt copies of simulated ones, for the trust flag and its test.

Every kind is a function of clean scans. Amplitudes are relative to the largest point of the clean FIDs.
"""

import dataclasses
import math

import numpy as np
import torch

from .. import axes
from ..basis.basis_set import EDITED, SUBFOLDERS, BasisSet
from ..basis.builders import megapress, press
from ..basis.pool import sample_pool
from ..basis.simulate import simulate
from ..errors import BasisError
from ..synth.dataset import GRID_DWELL_S, GRID_POINTS, Stream
from ..synth.priors import RECIPES

FOREIGN = ("Ins", "Lac", "PCh", "Tau")
"""Metabolites outside the model that scans hold, of those that the flag searches for."""

UNKNOWN = ("PE", "bHB", "Ser", "Asc")
"""Metabolites outside the model that the flag does not search for, to see what it finds without."""

FOREIGN_BASES = 8
"""Members of the pool that scans with such metabolites are made with."""

FOREIGN_SHARES = (0.3, 1.0)
"""Their concentration, relative to the largest of the model's."""

LIPID_LINES = ((0.9, 0.4), (1.3, 1.0))
"""Methyl and methylene lines of lipids (ppm, relative amplitude)."""

GOOD_EACH = 8

RECIPES_OF_CLEAN = ("phantom", "scanner")

LEFT_OUT = {"clean_fraction": 0.0, "other_on_fraction": 0.0}
"""What good scans leave out of the recipes: published conditions, and edit-on that does not belong to edit-off."""


@dataclasses.dataclass(frozen=True, eq=False)
class TrustScans:
    """Clean and spoilt scans of edit-off and edit-on.

    Attributes:
        clean: (scan, condition, point) complex64.
        spoilt: kind -> array of the same form.
    """

    clean: np.ndarray
    spoilt: dict

    def single(self, spectrum):
        """The scans of one spectrum, "edit_off" or "difference"; kinds that it does not show are left out."""
        kept = [name for name in self.spoilt if name not in UNSEEN[spectrum]]
        spoilt = {name: _single(self.spoilt[name], spectrum) for name in kept}
        return TrustScans(_single(self.clean, spectrum), spoilt)


SWAPPED, WATER = "edit-on and edit-off swapped", "water left in"
OUTSIDE, OTHER_OUTSIDE = "metabolite outside the model", "one that is not searched for"
UNSEEN = {"edit_off": (SWAPPED,), "difference": (SWAPPED, WATER, OUTSIDE, OTHER_OUTSIDE)}
"""Spectrum -> kinds that it does not show alone: edit-on is a whole spectrum too; a difference turns its sign, which is
taken for phase, and loses water and metabolites that are the same in both."""

TESTED_ONLY = (OTHER_OUTSIDE,)
"""Kinds that the flag is only tested with."""


def of_spectrum(basis):
    """ "edit_off" or "difference", which a BasisSet of one spectrum is for by its folder."""
    names = {folder: spectrum for spectrum, folder in SUBFOLDERS.items()}
    return names[basis.folders[0].name]


def _single(fids, spectrum):
    return fids[:, :1] if spectrum == "edit_off" else fids[:, 1:] - fids[:, :1]


def wider_pool(basis, pool):
    """BasisPool of the first `FOREIGN_BASES` members of a pool with metabolites outside the model.

    Args:
        basis: BasisSet whose metabolites come first.
        pool: BasisPool.
    """
    foreign = [name for name in (*FOREIGN, *UNKNOWN) if name not in basis.names]
    return sample_pool(pool.priors, (*basis.names, *foreign), FOREIGN_BASES, pool.seed)


def trust_scans(basis, pool, wider, number, seed):
    """Clean scans of recipes phantom and scanner, and spoilt ones of every kind.

    Args:
        basis: edited BasisSet.
        pool: BasisPool from which all bases are drawn; training must not have used its members.
        wider: BasisPool of `wider_pool`.
        number: of scans of each kind; of clean ones there are `GOOD_EACH` times as many.
        seed: of everything random.

    Returns:
        TrustScans.
    """
    if basis.conditions != EDITED:
        raise BasisError("Scans for the trust flag need an edited basis set: give one of edit-off and edit-on.")
    random = np.random.default_rng(seed)
    clean = good_scans(basis, pool, GOOD_EACH * number, seed)
    other = good_scans(basis, pool, number, seed + 1)
    t = axes.time_axis(GRID_POINTS, GRID_DWELL_S)
    spoilt = {
        "lipid contamination": other + _lipids(other, basis.centre_hz, t, random),
        "spurious echo": other + _echo(other, t, random),
        WATER: other + _water(other, t, random),
        SWAPPED: other[:, ::-1].copy(),
        "wrong field": _wrong_field(other, random),
        "pure noise": _noise(other, random),
        "wrong TE": good_scans(_other_basis(basis, "te"), None, number, seed + 2),
        "wrong sequence": good_scans(_other_basis(basis, "press"), None, number, seed + 3),
        # None of them tidy: half of those have the published lines.
        "lines of 20 Hz": good_scans(basis, pool, number, seed + 4, lorentz_hz=(20.0, 20.0), tidy_fraction=0.0),
        OUTSIDE: foreign_scans(basis, wider, FOREIGN, number, seed + 5),
        OTHER_OUTSIDE: foreign_scans(basis, wider, UNKNOWN, number, seed + 6),
    }
    return TrustScans(clean, spoilt)


def good_scans(basis, pool, number, seed, **changes):
    """Scans as they should be, half of recipe phantom and half of scanner.

    Args:
        basis: edited BasisSet.
        pool: BasisPool that all of them are drawn from; of the basis set itself where None.
        number: of scans.
        seed: of everything random.
        changes: fields of the recipes that are to be others.

    Returns:
        (scan, condition, point) complex64.
    """
    kept = []
    for index, name in enumerate(RECIPES_OF_CLEAN):
        fraction = 0.0 if pool is None else 1.0
        recipe = dataclasses.replace(RECIPES[name], pool_fraction=fraction, **LEFT_OUT | changes)
        half = number // 2 if index else number - number // 2
        kept.append(Stream(basis, recipe, seed, pool, half)[index].measured.numpy())
    return np.concatenate(kept)


def _largest(fids):
    return np.abs(fids).max((1, 2))[:, None, None]


def _lines(hz, width_hz, t):
    """(scan, 1, point) Lorentzian lines; hz and width_hz (scan,)."""
    return np.exp((2j * np.pi * hz - np.pi * width_hz)[:, None, None] * t)


def _phases(random, shape):
    return np.exp(2j * np.pi * random.uniform(size=shape))


def _lipids(fids, centre_hz, t, random):
    """Lines at 0.9 and 1.3 ppm, 15 to 40 Hz wide, of 0.2 to 2 times the FID's maximum, other in every condition."""
    count, conditions = fids.shape[:2]
    width_hz, amount = random.uniform(15, 40, count), random.uniform(0.2, 2, (count, conditions, 1))
    lines = 0
    for ppm, height in LIPID_LINES:
        lines = lines + height * _lines(np.full(count, axes.ppm_to_hz(ppm, centre_hz)), width_hz, t)
    return (_largest(fids) * amount * _phases(random, (count, 1, 1)) * lines).astype(np.complex64)


def _echo(fids, t, random):
    """A burst of 0.2 to 1 times the FID's maximum, 10 to 60 ms wide, at 50 to 300 ms, between 0.75 and 4.65 ppm."""
    count, conditions = fids.shape[:2]
    hz, place = random.uniform(-480, 0, count), random.uniform(0.05, 0.3, (count, 1, 1))
    width = random.uniform(0.01, 0.06, (count, 1, 1))
    burst = np.exp(-4 * math.log(2) * ((t - place) / width) ** 2) * _lines(hz, np.zeros(count), t)
    height = random.uniform(0.2, 1, (count, conditions, 1)) * _phases(random, (count, conditions, 1))
    return (_largest(fids) * height * burst).astype(np.complex64)


def _water(fids, t, random):
    """Unsuppressed water: 30 to 1000 times the FID's maximum, 5 to 20 Hz wide."""
    count = len(fids)
    height = 30 * (1000 / 30) ** random.uniform(size=(count, 1, 1))
    lines = _lines(random.uniform(-8, 8, count), random.uniform(5, 20, count), t)
    return (_largest(fids) * height * _phases(random, (count, 1, 1)) * lines).astype(np.complex64)


def _wrong_field(fids, random):
    """Scans of another field strength that is not in the header: every frequency off by 5 to 25 %."""
    factors = 1 + random.uniform(0.05, 0.25, len(fids)) * random.choice((-1, 1), len(fids))
    dwells_s = GRID_DWELL_S * factors
    scaled = [axes.resample(fid, dwell_s, GRID_DWELL_S, GRID_POINTS) for fid, dwell_s in zip(fids, dwells_s)]
    return np.asarray(scaled, dtype=np.complex64)


def _noise(fids, random):
    """Nothing but noise."""
    return (random.normal(size=(*fids.shape, 2)) @ np.array([1, 1j])).astype(np.complex64)


def _setup(basis):
    return {
        "b0_t": basis.centre_hz / axes.GYROMAGNETIC_HZ_PER_T[basis.nucleus],
        "linewidth_hz": basis.linewidth_hz, "points": GRID_POINTS, "bandwidth_hz": 1 / GRID_DWELL_S, "positions": 4,
    }  # fmt: skip


def _basis_of(basis, sequences, names):
    return BasisSet(simulate(sequences, names), EDITED, names, GRID_DWELL_S, basis.centre_hz, basis.linewidth_hz)


def _other_basis(basis, kind):
    """The basis set's metabolites by MEGA-PRESS of TE 110 ms, or by PRESS of TE 30 ms in both conditions."""
    setup = _setup(basis)
    sequences = megapress(te_s=0.110, **setup) if kind == "te" else [press(te_s=0.030, **setup)] * 2
    return _basis_of(basis, sequences, basis.names)


def foreign_scans(basis, made, foreign, number, seed, shares=FOREIGN_SHARES):
    """Scans like `good_scans` that hold one more metabolite.

    Args:
        basis: edited BasisSet of the model's metabolites.
        made: BasisPool of `wider_pool`.
        foreign: names of such metabolites; each is in as many scans.
        number: of scans.
        seed: of everything random.
        shares: the least and the most of it, relative to the largest concentration of the model's.

    Returns:
        (scan, condition, point) complex64; fewer than `number` where too few of those drawn have such a share.
    """
    foreign = [name for name in foreign if name not in basis.names]
    kept = []
    for index, name in enumerate(foreign):
        chosen = [made.names.index(one) for one in (*basis.names, name)]
        wider = dataclasses.replace(made, names=(*basis.names, name), fids=made.fids[:, :, chosen])
        for half, recipe_name in enumerate(RECIPES_OF_CLEAN):
            place = 2 * index + half
            wanted = number // (2 * len(foreign)) + (place < number % (2 * len(foreign)))
            recipe = dataclasses.replace(RECIPES[recipe_name], pool_fraction=1.0, **LEFT_OUT)
            batch = Stream(wider.member(0), recipe, seed, wider, max(8 * wanted, 32))[place]
            share = batch.draw.concentrations[:, -1] / batch.draw.concentrations[:, :-1].amax(1)
            enough = torch.nonzero((share > shares[0]) & (share <= shares[1]))[:, 0][:wanted]
            kept.append(batch.measured[enough].numpy())
    return np.concatenate(kept)
