"""An endless stream of training scans, any batch of it reproducible by its number."""

from dataclasses import dataclass

import torch

from ..errors import BasisError
from .noise import gaussian_noise
from .priors import Draw, Recipe, draw
from .signal import synthesise

GRID_POINTS = 2048
GRID_DWELL_S = 5e-4
"""The time grid on which scans are simulated and to which real ones are resampled."""


@dataclass(frozen=True)
class Batch:
    """Simulated scans: measured and clean FIDs (batch, condition, point) complex64, and their parameters."""

    measured: torch.Tensor
    clean: torch.Tensor
    draw: Draw


class Stream:
    """Training scans of one recipe, made as they are asked for.

    Args:
        basis: BasisSet.
        recipe: Recipe.
        seed: of the stream.
        pool: BasisPool of the same sequence and metabolites, or None.
        batch: scans per batch.

    Raises:
        BasisError: the pool does not belong to the basis set.
    """

    def __init__(self, basis, recipe: Recipe, seed=0, pool=None, batch=256):
        on_grid = basis.resample(GRID_DWELL_S, GRID_POINTS)
        # The basis set itself stands last, where index -1 finds it.
        members = [torch.as_tensor(on_grid.fids, dtype=torch.complex64)[None]]
        if pool is not None:
            _check_pool(pool, basis)
            members.insert(0, torch.as_tensor(pool.fids, dtype=torch.complex64)[..., :GRID_POINTS])
        self.members = torch.cat(members)
        self.linewidth_hz = basis.linewidth_hz
        self.recipe, self.seed, self.batch = recipe, seed, batch

    def __getitem__(self, index):
        """Batch number `index`."""
        members, conditions, metabolites, points = self.members.shape
        parameters = draw(self.recipe, self.seed, index, self.batch, metabolites, conditions, members - 1)
        basis = self.members[parameters.member] if members > 1 else self.members
        clean, nuisance, maximum = synthesise(basis, parameters, self.linewidth_hz, GRID_DWELL_S)
        noise = gaussian_noise(clean.shape, parameters.noise_sigma * maximum, parameters.noise_seed)
        return Batch(clean + nuisance + noise, clean, parameters)


def _check_pool(pool, basis):
    """Refuse a pool that is not on the training grid, or not of the basis set's kind."""
    kind = (tuple(pool.names), tuple(pool.conditions), round(pool.linewidth_hz, 6))
    wanted = (tuple(basis.names), tuple(basis.conditions), round(basis.linewidth_hz, 6))
    if kind != wanted:
        raise BasisError(
            f"The pool has metabolites, conditions and linewidth {kind}, the basis set {wanted}: make the pool with "
            "the sequence, metabolites and linewidth of the basis set."
        )
    if abs(pool.dwell_s / GRID_DWELL_S - 1) > 1e-6 or pool.fids.shape[-1] < GRID_POINTS:
        raise BasisError(
            f"The pool has {pool.fids.shape[-1]} points of {pool.dwell_s} s; training takes {GRID_POINTS} of "
            f"{GRID_DWELL_S} s: make it with --bandwidth {1 / GRID_DWELL_S:.0f} --points {GRID_POINTS}."
        )
    if abs(pool.centre_hz / basis.centre_hz - 1) > 0.01:
        raise BasisError(
            f"The pool is for {pool.centre_hz * 1e-6:.2f} MHz, the basis set for {basis.centre_hz * 1e-6:.2f} MHz: "
            "make the pool at the basis set's field strength."
        )
