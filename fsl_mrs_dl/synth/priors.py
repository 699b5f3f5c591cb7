"""What a training scan may look like: recipes, and drawing parameters from them.

A recipe is a set of ranges. `draw` turns a recipe, a seed and a batch index into the parameters of a
batch of scans; `signal.synthesise` applies them. Nothing random happens anywhere else.
"""

import math
from dataclasses import dataclass, fields, replace

import torch

from ..config import check_range, from_dict, read_json
from ..errors import ConfigError

NOISE_KINDS = ("adc", "gg", "none")
"""Kinds of noise, see `Recipe`."""


@dataclass(frozen=True)
class Recipe:
    """Ranges of the parameters of simulated scans; every pair is the range of a uniform distribution.

    Attributes:
        name: what to call it.
        purpose: which scans a network trained on it is for, in words.
        not_for: which it is not for.
        lorentz_hz: Lorentzian full width at half maximum, the basis set's own width included (Hz).
        gauss_hz: Gaussian full width at half maximum (Hz).
        metabolite_lorentz_hz: further Lorentzian width of each metabolite (Hz).
        shift_hz: frequency of the scan relative to the basis set, positive to higher ppm (Hz).
        metabolite_shift_hz: further shift of each metabolite (Hz).
        phase_rad: zero-order phase (rad).
        satellite: height of a copy of every line relative to it: asymmetric B0 (no unit).
        satellite_hz: place of that copy relative to the line (Hz).
        eddy_rad: eddy-current phase at time 0 (rad).
        eddy_time_s: its decay time (s).
        edit_shift_hz: further shift of edit-on relative to edit-off, from drift (Hz).
        edit_phase_rad: further phase of edit-on relative to edit-off (rad).
        edit_gain: edit-on amplitude relative to what the basis set says (no unit).
        water: amplitude of residual water relative to the FID's maximum.
        water_hz: its frequency relative to the receiver reference (Hz).
        water_width_hz: its Lorentzian width (Hz).
        baseline: amplitude at time 0 of each broad Gaussian component relative to the FID's maximum.
        baseline_width_hz: Gaussian width of these components (Hz).
        baseline_components: how many of them a scan has.
        noise_sigma: standard deviation of real and imaginary noise relative to the FID's maximum.
        pool_fraction: share of scans drawn from a pool of bases instead of the basis set itself.
        clean_fraction: share of scans that have the `published` conditions instead of these.
        noise: "adc" (Gaussian in the time domain), "gg" (generalised Gaussian in the frequency domain) or "none".
        noise_beta: shape of generalised Gaussian noise: 2 is Gaussian, 1 Laplace.
        noise_betas: shapes to choose from instead, such as draws of a posterior.
    """

    name: str
    purpose: str = ""
    not_for: str = ""
    lorentz_hz: tuple[float, float] = (2.0, 2.0)
    gauss_hz: tuple[float, float] = (0.0, 0.0)
    metabolite_lorentz_hz: tuple[float, float] = (0.0, 0.0)
    shift_hz: tuple[float, float] = (0.0, 0.0)
    metabolite_shift_hz: tuple[float, float] = (0.0, 0.0)
    phase_rad: tuple[float, float] = (0.0, 0.0)
    satellite: tuple[float, float] = (0.0, 0.0)
    satellite_hz: tuple[float, float] = (0.0, 0.0)
    eddy_rad: tuple[float, float] = (0.0, 0.0)
    eddy_time_s: tuple[float, float] = (0.1, 0.1)
    edit_shift_hz: tuple[float, float] = (0.0, 0.0)
    edit_phase_rad: tuple[float, float] = (0.0, 0.0)
    edit_gain: tuple[float, float] = (1.0, 1.0)
    water: tuple[float, float] = (0.0, 0.0)
    water_hz: tuple[float, float] = (0.0, 0.0)
    water_width_hz: tuple[float, float] = (10.0, 10.0)
    baseline: tuple[float, float] = (0.0, 0.0)
    baseline_width_hz: tuple[float, float] = (60.0, 60.0)
    baseline_components: int = 0
    noise_sigma: tuple[float, float] = (0.0, 0.03)
    pool_fraction: float = 0.0
    clean_fraction: float = 0.0
    noise: str = "adc"
    noise_beta: tuple[float, float] = (1.0, 3.0)
    noise_betas: tuple[float, ...] = ()

    def __post_init__(self):
        signed = ("shift_hz", "metabolite_shift_hz", "phase_rad", "satellite_hz", "eddy_rad", "edit_shift_hz")
        signed += ("edit_phase_rad", "water_hz")
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and field.name != "noise_betas":
                check_range(f"Recipe {self.name}: {field.name}", value, low=None if field.name in signed else 0.0)
        # Times and widths that something is divided by, or that would never decay.
        for name in ("eddy_time_s", "water_width_hz", "baseline_width_hz"):
            if getattr(self, name)[0] <= 0:
                raise ConfigError(f"Recipe {self.name}: {name} must be above 0, not {getattr(self, name)}.")
        for name in ("pool_fraction", "clean_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"Recipe {self.name}: {name} must be in [0, 1], not {getattr(self, name)}.")
        if self.baseline_components < 0:
            raise ConfigError(f"Recipe {self.name}: baseline_components must not be negative.")
        if self.noise not in NOISE_KINDS:
            raise ConfigError(f"Recipe {self.name}: noise must be {', '.join(NOISE_KINDS)}, not {self.noise!r}.")
        if not all(0 < beta < math.inf for beta in (*self.noise_beta, *self.noise_betas)):
            raise ConfigError(f"Recipe {self.name}: shapes of noise (beta) must be positive numbers.")


PUBLISHED = Recipe(
    "published",
    purpose="Simulated spectra with lines of 2 Hz and Gaussian noise, as in the published study.",
    not_for="Scans: nothing varies here but concentrations and noise.",
)
"""The published training conditions: lines of 2 Hz, Gaussian noise of up to 0.03 (arXiv 2602.20289)."""

PHANTOM = Recipe(
    "phantom",
    purpose="Solutions and gels of the basis set's metabolites, acquired with its sequence at its field strength.",
    not_for="In vivo spectra: there are no macromolecules, lipids or other metabolites in the training data.",
    lorentz_hz=(1.0, 9.0),
    gauss_hz=(0.0, 6.0),
    metabolite_lorentz_hz=(0.0, 1.0),
    shift_hz=(-4.0, 4.0),
    metabolite_shift_hz=(-1.0, 1.0),
    phase_rad=(-0.4, 0.4),
    satellite=(0.0, 0.4),
    satellite_hz=(-6.0, 6.0),
    eddy_rad=(-0.5, 0.5),
    eddy_time_s=(0.01, 0.2),
    edit_shift_hz=(-1.0, 1.0),
    edit_phase_rad=(-0.1, 0.1),
    edit_gain=(0.97, 1.03),
    water=(0.0, 3.0),
    water_hz=(-8.0, 8.0),
    water_width_hz=(3.0, 25.0),
    baseline=(0.0, 0.05),
    baseline_width_hz=(40.0, 200.0),
    baseline_components=3,
    pool_fraction=0.8,
    clean_fraction=0.2,
)
"""Solutions and gels on a scanner: everything but the metabolites' number varies."""

STUDY = tuple(
    replace(PHANTOM, name=f"{bases}-{noise}", pool_fraction=fraction, noise=noise)
    for bases, fraction in (("single", 0.0), ("multi", 1.0))
    for noise in ("adc", "gg")
)
"""The published study's four kinds of training data, with the variations of `PHANTOM`: one basis set or a pool of
them, Gaussian or generalised Gaussian noise. Scans with the published conditions always have the one basis set and
Gaussian noise."""

RECIPES = {recipe.name: recipe for recipe in (PUBLISHED, PHANTOM, *STUDY)}
"""The recipes that come with the package, by name."""


def recipe_named(name_or_file):
    """A shipped recipe by its name, or one from a JSON file.

    Raises:
        ConfigError: there is no such recipe, or the file is not one.
    """
    if name_or_file in RECIPES:
        return RECIPES[name_or_file]
    if not str(name_or_file).endswith(".json"):
        raise ConfigError(f"There is no recipe {name_or_file!r}: give one of {', '.join(RECIPES)}, or a .json file.")
    return from_dict(Recipe, read_json(name_or_file, "a recipe"), name_or_file)


@dataclass(frozen=True)
class Draw:
    """Parameters of a batch of scans: what `Recipe` names, each a tensor with the batch first.

    Shapes: (batch, metabolite) for concentrations, metabolite_lorentz_hz and metabolite_shift_hz;
    (batch, condition) for water and its phase and width, and for noise_sigma; (batch, condition,
    component) for the baseline; (batch,) for the rest. `member` is -1 for the basis set itself, else
    the index in the pool. `noise_seed` seeds the batch's noise; `noise_beta` is its shape, 2 where it is Gaussian.
    """

    concentrations: torch.Tensor
    member: torch.Tensor
    lorentz_hz: torch.Tensor
    gauss_hz: torch.Tensor
    metabolite_lorentz_hz: torch.Tensor
    shift_hz: torch.Tensor
    metabolite_shift_hz: torch.Tensor
    phase_rad: torch.Tensor
    satellite: torch.Tensor
    satellite_hz: torch.Tensor
    eddy_rad: torch.Tensor
    eddy_time_s: torch.Tensor
    edit_shift_hz: torch.Tensor
    edit_phase_rad: torch.Tensor
    edit_gain: torch.Tensor
    water: torch.Tensor
    water_hz: torch.Tensor
    water_width_hz: torch.Tensor
    water_phase_rad: torch.Tensor
    baseline: torch.Tensor
    baseline_hz: torch.Tensor
    baseline_width_hz: torch.Tensor
    baseline_phase_rad: torch.Tensor
    noise_sigma: torch.Tensor
    noise_beta: torch.Tensor
    noise_seed: int


BASELINE_BAND_HZ = (-480.0, 0.0)
"""Where broad baseline components may stand: 0.75 to 4.65 ppm at 123 MHz (Hz from the reference)."""


def draw(recipe, seed, index, batch, metabolites, conditions, members=0):
    """Parameters of one batch of a stream of scans.

    The same arguments give the same parameters, whichever batches were drawn before. Concentrations are
    a scrambled Sobol sequence in [0, 1] that runs through the batches.

    Args:
        recipe: ranges.
        seed: of the whole stream.
        index: number of the batch in the stream.
        batch, metabolites, conditions: sizes.
        members: size of the pool of bases; 0 when there is none.

    Returns:
        Draw.
    """
    engine = torch.quasirandom.SobolEngine(metabolites, scramble=True, seed=seed)
    concentrations = engine.fast_forward(index * batch).draw(batch)
    generator = torch.Generator().manual_seed((seed * 1_000_003 + index) % (2**63))
    clean = torch.rand(batch, generator=generator) < recipe.clean_fraction

    def uniform(name, *shape):
        low, high = getattr(recipe, name)
        clean_low, clean_high = getattr(PUBLISHED, name)
        unit = torch.rand(batch, *shape, generator=generator)
        flag = clean.reshape(batch, *[1] * len(shape))
        return torch.where(flag, clean_low + (clean_high - clean_low) * unit, low + (high - low) * unit)

    def angle(*shape):
        return 2 * torch.pi * torch.rand(batch, *shape, generator=generator)

    drawn = dict(
        concentrations=concentrations,
        member=_draw_members(recipe, clean, members, generator),
        noise_seed=int(torch.randint(2**62, (), generator=generator)),
        **{name: uniform(name) for name in _PER_SCAN},
        **{name: uniform(name, metabolites) for name in ("metabolite_lorentz_hz", "metabolite_shift_hz")},
        **{name: uniform(name, conditions) for name in ("water", "water_width_hz")},
        **{name: uniform(name, conditions, recipe.baseline_components) for name in ("baseline", "baseline_width_hz")},
        water_phase_rad=angle(conditions),
        baseline_hz=BASELINE_BAND_HZ[0]
        + (BASELINE_BAND_HZ[1] - BASELINE_BAND_HZ[0])
        * torch.rand(batch, conditions, recipe.baseline_components, generator=generator),
        baseline_phase_rad=angle(conditions, recipe.baseline_components),
    )
    # The shape comes last: recipes that differ in their noise only give scans that differ in their noise only.
    drawn["noise_beta"] = _draw_shapes(recipe, clean, generator)
    if recipe.noise == "none":
        drawn["noise_sigma"] = torch.zeros(batch)
    return Draw(**drawn)


_PER_SCAN = (
    "lorentz_hz gauss_hz shift_hz phase_rad satellite satellite_hz eddy_rad eddy_time_s edit_shift_hz edit_phase_rad "
    "edit_gain water_hz noise_sigma"
).split()


def _draw_members(recipe, clean, members, generator):
    """Index of the pool member of each scan, -1 where it uses the basis set itself; shape (batch,)."""
    batch = len(clean)
    from_pool = torch.rand(batch, generator=generator) < recipe.pool_fraction
    index = torch.randint(max(members, 1), (batch,), generator=generator)
    return torch.where(from_pool & ~clean & (members > 0), index, -1)


def _draw_shapes(recipe, clean, generator):
    """Shape beta of each scan's noise, (batch,); 2 where the noise is Gaussian or the conditions are published."""
    gaussian = torch.full((len(clean),), 2.0)
    if recipe.noise != "gg":
        return gaussian
    if recipe.noise_betas:
        choice = torch.randint(len(recipe.noise_betas), (len(clean),), generator=generator)
        return torch.where(clean, gaussian, torch.tensor(recipe.noise_betas)[choice])
    low, high = recipe.noise_beta
    return torch.where(clean, gaussian, low + (high - low) * torch.rand(len(clean), generator=generator))
