"""An endless stream of training scans, any batch of it reproducible by its number."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import torch

from ..errors import BasisError, ConfigError
from ..threads import one_thread
from .artefacts import truncated
from .draws import Draw, draw
from .noise import alpha_of_sigma, gaussian_noise, generalised_gaussian_noise
from .priors import PUBLISHED, Recipe
from .signal import synthesise
from .steps import step

GRID_POINTS = 2048
GRID_DWELL_S = 5e-4
"""The time grid on which scans are simulated and to which real ones are resampled."""

SCANS_PER_BLOCK = 64
"""Scans that a processor core makes at once: few enough for its cache, enough for the many small steps of each block
to take little of the time."""


@dataclass(frozen=True)
class Batch:
    """Simulated scans: measured and clean FIDs (batch, condition, point) complex64, and their parameters."""

    measured: torch.Tensor
    clean: torch.Tensor
    draw: Draw

    def to(self, device):
        """The batch on a torch device."""
        if self.measured.device == torch.device(device):
            return self
        return Batch(self.measured.to(device), self.clean.to(device), self.draw.to(device))


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
        device: torch device on which scans are made and left, the CPU where None. Parameters are drawn on the CPU
            and are the same on every device; the noise of a GPU is another than that of a CPU.

    Raises:
        BasisError: the pool does not belong to the basis set, or the recipe needs one and there is none.
        ConfigError: the recipe asks for lines narrower than the basis set's own.
    """

    def __init__(self, basis, recipe: Recipe, seed=0, pool=None, batch=256, device=None):
        if pool is None and recipe.pool_fraction == 1:
            raise BasisError(
                f"Recipe {recipe.name} draws its bases from a pool: give --pool FILE (fsl_mrs_dl simulate --pool makes "
                "one), or take a recipe with one basis set."
            )
        ranges = (recipe, PUBLISHED) if recipe.has_plain_scans else (recipe,)
        narrowest_hz = min(one.lorentz_hz[0] for one in ranges)
        if narrowest_hz < basis.linewidth_hz - 1e-6:
            raise ConfigError(
                f"Lines of {narrowest_hz} Hz are asked for, but the basis set's are {basis.linewidth_hz} Hz wide: "
                "raise lorentz_hz or simulate a narrower basis set."
            )
        on_grid = basis.resample(GRID_DWELL_S, GRID_POINTS)
        # The basis set itself stands last, where index -1 finds it.
        members = [torch.as_tensor(on_grid.fids, dtype=torch.complex64)[None]]
        if pool is not None:
            _check_pool(pool, basis)
            members.insert(0, torch.as_tensor(pool.fids, dtype=torch.complex64)[..., :GRID_POINTS])
        self.device = torch.device("cpu" if device is None else device)
        self.members = torch.cat(members).to(self.device)
        # Geometric mean over the metabolites: how strongly a scanner sees all of them in edit-off.
        self.sizes = self.members[:, 0].norm(dim=-1).clamp_min(1e-9).log().mean(-1).exp()
        self.names = tuple(basis.names)
        self.linewidth_hz, self.centre_hz = basis.linewidth_hz, basis.centre_hz
        self.visible = torch.tensor([name in on_grid.shown for name in self.names])
        self.recipe, self.seed, self.batch = recipe, seed, batch

    def __getitem__(self, index):
        """Batch number `index`."""
        drawn, (measured, clean) = self.draw(index), self._empty(2)

        def keep(rows, parts):
            with step("sum"):
                clean[rows] = parts.clean
                torch.add(parts.clean, parts.nuisance, out=measured[rows]).add_(parts.noise)

        return Batch(measured, clean, self._in_blocks(drawn, keep))

    def parts(self, index):
        """Batch number `index`, taken apart."""
        drawn, whole = self.draw(index), self._empty(3)

        def keep(rows, parts):
            for kept, part in zip(whole, (parts.clean, parts.nuisance, parts.noise), strict=True):
                kept[rows] = part

        return Parts(*whole, self._in_blocks(drawn, keep))

    def draw(self, index):
        """Parameters of batch number `index`, on the CPU."""
        members, conditions, metabolites, _ = self.members.shape
        with step("draw"):
            sizes = (self.batch, metabolites, conditions, members - 1)
            drawn = draw(self.recipe, self.seed, index, *sizes, self.names, self.visible)
            return replace(drawn, concentrations=drawn.concentrations * self.visible)

    def _empty(self, number):
        """Room for FIDs of a batch, `number` times."""
        _, conditions, _, points = self.members.shape
        shape = (self.batch, conditions, points)
        return [torch.empty(shape, dtype=torch.complex64, device=self.device) for _ in range(number)]

    def _in_blocks(self, drawn, keep):
        """Make scans block by block, and give each to keep(rows, Parts); returns the parameters on the device.

        Blocks that fit the cache of a processor core are made several times faster than a whole batch. Every core
        makes its own, so that no number depends on how many cores there are. A GPU makes the whole batch at once.
        """
        on_cpu = self.device.type == "cpu"
        size = SCANS_PER_BLOCK if on_cpu else self.batch
        moved = drawn if on_cpu else drawn.to(self.device)
        inference = torch.is_inference_mode_enabled()

        def make(start, parameters, beta):
            # The mode belongs to a thread.
            with torch.inference_mode(inference):
                keep(slice(start, start + size), self._make(parameters, beta))

        blocks = (range(0, self.batch, size), moved.split(size), drawn.noise_beta.split(size))
        threads = torch.get_num_threads() if on_cpu else 1
        if threads == 1:
            for block in zip(*blocks, strict=True):
                make(*block)
        else:
            with one_thread(), ThreadPoolExecutor(threads) as workers:
                # A list, for errors to be raised here.
                list(workers.map(make, *blocks))
        return moved

    def bases(self, parameters):
        """Bases (scan or 1, condition, metabolite, point) of scans of drawn parameters."""
        if len(self.members) == 1:
            return self.members
        bases = self.members[parameters.member]
        if self.recipe.other_on_fraction and bases.shape[1] == 2:
            which = parameters.on_member
            gain = self.sizes[parameters.member][:, None] / self.sizes[which]
            place = torch.arange(which.shape[1], device=which.device)
            bases[:, 1] = gain[..., None] * self.members[which, 1, place]
        return bases

    def _make(self, parameters, beta):
        """Scans of parameters on the device; `beta`, the shapes of their noise, are on the CPU."""
        with step("basis"):
            basis = self.bases(parameters)
        clean, nuisance, maximum = synthesise(
            basis, parameters, self.recipe, self.linewidth_hz, GRID_DWELL_S, self.centre_hz
        )
        with step("noise"):
            noise = _noise(self.recipe.noise, parameters, beta, clean.shape, maximum)
        if self.recipe.uses("truncation"):
            with step("truncation"):
                nuisance, noise = truncated(parameters.truncation, clean, nuisance, noise)
        return Parts(clean, nuisance, noise, parameters)


def as_narrow(basis, recipe):
    """The basis set with a linewidth that lets it make the narrowest lines asked for.

    A basis set from elsewhere may have wider lines. They cannot be narrowed, so all widths of the recipe then
    count from there: scans get wider by what is left out here, in what is drawn and what is learnt alike.
    """
    narrowest = min(recipe.lorentz_hz[0], PUBLISHED.lorentz_hz[0])
    return replace(basis, linewidth_hz=narrowest) if basis.linewidth_hz > narrowest else basis


def _noise(kind, parameters, beta, shape, maximum):
    """Noise FIDs (batch, condition, point) of scans whose clean FIDs have the given maximum (batch,)."""
    sigma = parameters.noise_sigma * maximum
    if kind == "gg":
        alpha = alpha_of_sigma(sigma, parameters.noise_beta)
        return generalised_gaussian_noise(shape, alpha, beta, parameters.noise_seed)
    if kind == "none":
        return torch.zeros(shape, dtype=torch.complex64, device=maximum.device)
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
