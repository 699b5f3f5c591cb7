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
        pool: (member, condition, metabolite, point) complex FIDs on the training grid, or None.
        batch: scans per batch.
    """

    def __init__(self, basis, recipe: Recipe, seed=0, pool=None, batch=256):
        on_grid = basis.resample(GRID_DWELL_S, GRID_POINTS)
        own = torch.as_tensor(on_grid.fids, dtype=torch.complex64)[None]
        if pool is not None and pool.shape[1:] != own.shape[1:]:
            raise BasisError(
                f"The pool's members have the shape {tuple(pool.shape[1:])}, the basis set has {tuple(own.shape[1:])}: "
                "make the pool from the same sequence and metabolites."
            )
        # The basis set itself stands last, where index -1 finds it.
        self.members = own if pool is None else torch.cat([torch.as_tensor(pool, dtype=torch.complex64), own])
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
