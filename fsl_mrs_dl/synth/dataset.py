"""An endless stream of training scans, any batch of it reproducible by its number."""

from dataclasses import dataclass, replace

import torch
from torch.profiler import record_function

from ..errors import BasisError, ConfigError
from .draws import Draw, draw
from .noise import alpha_of_sigma, gaussian_noise, generalised_gaussian_noise
from .priors import PUBLISHED, Recipe
from .signal import synthesise

GRID_POINTS = 2048
GRID_DWELL_S = 5e-4
"""The time grid on which scans are simulated and to which real ones are resampled."""

VISIBLE = 0.01
"""Norm of a metabolite's FID relative to the largest one's below which a scan says nothing about it (creatine in a
difference spectrum): it is left out of the scans, and networks learn to report none."""


@dataclass(frozen=True)
class Batch:
    """Simulated scans: measured and clean FIDs (batch, condition, point) complex64, and their parameters."""

    measured: torch.Tensor
    clean: torch.Tensor
    draw: Draw

    def to(self, device):
        """The batch on a torch device."""
        drawn = vars(self.draw).items()
        drawn = {name: one.to(device) if isinstance(one, torch.Tensor) else one for name, one in drawn}
        return Batch(self.measured.to(device), self.clean.to(device), Draw(**drawn))


@dataclass(frozen=True)
class Parts:
    """What simulated scans consist of: clean, nuisance and noise FIDs (batch, condition, point), and parameters."""

    clean: torch.Tensor
    nuisance: torch.Tensor
    noise: torch.Tensor
    draw: Draw

    def batch(self):
        """The scans themselves."""
        return Batch(self.clean + self.nuisance + self.noise, self.clean, self.draw)


class Stream:
    """Training scans of one recipe, made as they are asked for.

    Args:
        basis: BasisSet.
        recipe: Recipe.
        seed: of the stream.
        pool: BasisPool of the same sequence and metabolites, or None.
        batch: scans per batch.

    Raises:
        BasisError: the pool does not belong to the basis set, or the recipe needs one and there is none.
        ConfigError: the recipe asks for lines narrower than the basis set's own.
    """

    def __init__(self, basis, recipe: Recipe, seed=0, pool=None, batch=256):
        if pool is None and recipe.pool_fraction == 1:
            raise BasisError(
                f"Recipe {recipe.name} draws its bases from a pool: give --pool FILE (fsl_mrs_dl simulate --pool makes "
                "one), or take a recipe with one basis set."
            )
        ranges = (recipe, PUBLISHED) if recipe.clean_fraction else (recipe,)
        narrowest_hz = min(one.lorentz_hz[0] for one in ranges)
        if narrowest_hz < basis.linewidth_hz - 1e-6:
            raise ConfigError(
                f"Lines of {narrowest_hz} Hz are asked for, but the basis set's are {basis.linewidth_hz} Hz wide: "
                "raise lorentz_hz or simulate a narrower basis set."
            )
        self.narrowest_baseline_hz = min(one.baseline_width_hz[0] for one in ranges)
        on_grid = basis.resample(GRID_DWELL_S, GRID_POINTS)
        # The basis set itself stands last, where index -1 finds it.
        members = [torch.as_tensor(on_grid.fids, dtype=torch.complex64)[None]]
        if pool is not None:
            _check_pool(pool, basis)
            members.insert(0, torch.as_tensor(pool.fids, dtype=torch.complex64)[..., :GRID_POINTS])
        self.members = torch.cat(members)
        self.names = tuple(basis.names)
        self.linewidth_hz = basis.linewidth_hz
        norms = self.members[-1].norm(dim=(0, 2))
        self.visible = norms > VISIBLE * norms.max()
        self.recipe, self.seed, self.batch = recipe, seed, batch

    def __getitem__(self, index):
        """Batch number `index`."""
        parts = self.parts(index)
        with record_function("sum"):
            return parts.batch()

    def parts(self, index):
        """Batch number `index`, taken apart."""
        members, conditions, metabolites, points = self.members.shape
        with record_function("draw"):
            sizes = (self.batch, metabolites, conditions, members - 1)
            parameters = draw(self.recipe, self.seed, index, *sizes, self.names)
            if not self.visible.all():
                parameters = replace(parameters, concentrations=parameters.concentrations * self.visible)
        with record_function("basis"):
            basis = self.members[parameters.member] if members > 1 else self.members
        clean, nuisance, maximum = synthesise(
            basis, parameters, self.linewidth_hz, GRID_DWELL_S, self.narrowest_baseline_hz
        )
        with record_function("noise"):
            noise = _noise(self.recipe.noise, parameters, clean.shape, maximum)
        return Parts(clean, nuisance, noise, parameters)


def as_narrow(basis, recipe):
    """The basis set with a linewidth that lets it make the narrowest lines asked for.

    A basis set from elsewhere may have wider lines. They cannot be narrowed, so all widths of the recipe then
    count from there: scans get wider by what is left out here, in what is drawn and what is learnt alike.
    """
    narrowest = min(recipe.lorentz_hz[0], PUBLISHED.lorentz_hz[0])
    return replace(basis, linewidth_hz=narrowest) if basis.linewidth_hz > narrowest else basis


def _noise(kind, parameters, shape, maximum):
    """Noise FIDs (batch, condition, point) of scans whose clean FIDs have the given maximum (batch,)."""
    sigma = parameters.noise_sigma * maximum
    if kind == "gg":
        alpha = alpha_of_sigma(sigma, parameters.noise_beta)
        return generalised_gaussian_noise(shape, alpha, parameters.noise_beta, parameters.noise_seed)
    if kind == "none":
        return torch.zeros(shape, dtype=torch.complex64)
    return gaussian_noise(shape, sigma, parameters.noise_seed)


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
