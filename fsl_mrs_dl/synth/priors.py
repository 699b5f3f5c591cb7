"""What a training scan may look like: recipes.

A recipe is a set of ranges. `draws.draw` turns a recipe, a seed and a batch index into the parameters of a
batch of scans; `signal.synthesise` applies them. Nothing random happens anywhere else. The recipes that come
with the package are the JSON files in `recipes/`.
"""

import math
from dataclasses import dataclass, fields
from pathlib import Path

from ..config import check_range, from_dict, read_json, to_dict
from ..errors import ConfigError

NOISE_KINDS = ("adc", "gg", "none")
"""Kinds of noise, see `Recipe`."""

CONCENTRATION_KINDS = ("sobol", "dirichlet", "fixed", "invivo")
"""Kinds of concentrations, see `Recipe`."""

LARGEST = 1e6
"""Largest magnitude of a value of a recipe: what single precision can take to any power that is needed."""

SMALLEST = 1e-6
"""Smallest time or width that something is divided by (s, Hz)."""

MOST = {"baseline_components": 32, "water_tail_components": 16, "spline_knots": 128, "transients": 128}
"""Largest numbers of components: recipes are files from elsewhere."""

SIGNED = frozenset(
    "shift_hz metabolite_shift_hz phase_rad delay_s satellite_hz eddy_rad edit_shift_hz edit_phase_rad drift_hz "
    "water_hz water_tail_hz echo_hz first_point".split()
)
"""Ranges that may be negative."""

POSITIVE = ("eddy_time_s", "water_width_hz", "water_tail_width_hz", "baseline_width_hz", "mm_width_hz")
POSITIVE += ("lipid_width_hz", "echo_width_s")
"""Times and widths that something is divided by, or that would never decay."""

AT_MOST_ONE = ("mm_edited", "lipid_methyl")
"""Shares that are a range."""

FRACTIONS = ("pool_fraction", "clean_fraction", "tidy_fraction", "other_on_fraction", "absent_fraction")
"""Shares of the scans, or of the metabolites: one number each."""

LISTS = ("own_mm", "noise_betas")
"""Lists that are no range."""

LONGEST_TRUNCATION = 0.9
"""Largest share of the FID that may be cut."""


@dataclass(frozen=True)
class Recipe:
    """Ranges of the parameters of simulated scans; every pair is the range of a uniform distribution.

    An imperfection whose range is its neutral value (0, or 1 for `edit_gain`, `edit_efficiency` and
    `metabolite_efficiency`) is off, takes no time, and leaves what else is drawn as it is. Amplitudes are
    relative to the largest magnitude of the scan's clean FIDs. docs/training-data.md has the sources.

    Attributes:
        name: what to call it.
        purpose: which scans a network trained on it is for, in words.
        not_for: which it is not for.
        concentrations: "sobol" (uniform in [0, 1]), "dirichlet" (adding up to 1), "fixed" (sobol, one metabolite
            always 1) or "invivo" (uniform in the ranges of `concentrations.IN_VIVO_MM`, in mM).
        dirichlet_alpha: concentration parameter of "dirichlet": 1 is uniform, less favours few metabolites.
        fixed_metabolite: that of "fixed".
        own_mm: (name, lowest, highest) of metabolites for which "invivo" shall have another range or knows none, such
            as macromolecules: in mM, or in the unit of their basis spectrum.
        absent_fraction: probability of each metabolite to be absent; one at least is there.
        lorentz_hz: Lorentzian full width at half maximum, the basis set's own width included (Hz).
        gauss_hz: Gaussian full width at half maximum (Hz).
        metabolite_lorentz_hz: further Lorentzian width of each metabolite (Hz).
        metabolite_gauss_hz: further Gaussian width of each metabolite (Hz).
        shift_hz: frequency of the scan relative to the basis set, positive to higher ppm (Hz).
        metabolite_shift_hz: further shift of each metabolite (Hz).
        phase_rad: zero-order phase (rad).
        delay_s: first-order phase: time by which the acquisition starts too late (s).
        satellite: height of a copy of every line relative to it: asymmetric B0 (no unit).
        satellite_hz: place of that copy relative to the line (Hz).
        eddy_rad: eddy-current phase at time 0 (rad).
        eddy_time_s: its decay time (s).
        edit_shift_hz: further shift of edit-on relative to edit-off, from drift (Hz).
        edit_phase_rad: further phase of edit-on relative to edit-off (rad).
        edit_gain: edit-on amplitude relative to what the basis set says (no unit).
        edit_efficiency: edit-on less edit-off, relative to what the basis set says (no unit).
        metabolite_efficiency: further factor of it for each metabolite (no unit).
        transients: transients that each condition is the mean of, edit-off and edit-on in turn.
        drift_hz: frequency drift from the first transient to the last (Hz).
        jitter_hz: standard deviation of each transient's frequency (Hz).
        jitter_rad: standard deviation of each transient's phase (rad).
        water: amplitude of residual water.
        water_hz: its frequency relative to the receiver reference (Hz).
        water_width_hz: its Lorentzian width (Hz).
        water_tail: amplitude of each further component of residual water, relative to `water`.
        water_tail_components: how many a condition has.
        water_tail_hz: their frequency relative to the water's (Hz).
        water_tail_width_hz: their Lorentzian widths (Hz).
        baseline: amplitude at time 0 of each broad Gaussian component.
        baseline_width_hz: Gaussian width of these components (Hz).
        baseline_components: how many of them a condition has.
        spline: amplitude at time 0 of each cubic B-spline of a smooth baseline.
        spline_knots: how many of them a condition has.
        mm_09: amplitude at time 0 of the macromolecules at 0.91 ppm.
        mm_30: amplitude at time 0 of the co-edited macromolecules at 3.0 ppm.
        mm_width_hz: Gaussian width of both (Hz).
        mm_edited: share of both that is in edit-on only.
        lipid: amplitude at time 0 of the lipid at 1.3 ppm.
        lipid_methyl: amplitude of the lipid at 0.9 ppm relative to that at 1.3 ppm.
        lipid_width_hz: Gaussian width of both (Hz).
        echo: amplitude of a spurious echo at its centre.
        echo_time_s: time of its centre after the start of the acquisition (s).
        echo_width_s: full width at half maximum of its Gaussian envelope (s).
        echo_hz: its frequency relative to the receiver reference (Hz).
        truncation: share of the FID, at its end, that was not acquired and is zero.
        first_point: relative error of the first point.
        noise_sigma: standard deviation of real and imaginary noise.
        pool_fraction: share of scans drawn from a pool of bases instead of the basis set itself.
        clean_fraction: share of scans that have the `published` conditions and the basis set itself instead of these.
        tidy_fraction: share of the others that have no imperfection but noise and those of the basis and its editing;
            half of them keep widths, shift and phase of these ranges, half have the published ones. Else clean lines
            would tell that the basis set is the scanner's.
        other_on_fraction: share of the scans from a pool whose edit-on is, for each metabolite, that of a member drawn
            for it, scaled to the overall strength of the scan's own: editing that no simulated scanner has. Else
            edit-on would always be believed.
        noise: "adc" (Gaussian in the time domain), "gg" (generalised Gaussian in the frequency domain) or "none".
        noise_beta: shape of generalised Gaussian noise: 2 is Gaussian, 1 Laplace.
        noise_betas: shapes to choose from instead, such as draws of a posterior.
    """

    name: str
    purpose: str = ""
    not_for: str = ""
    concentrations: str = "sobol"
    dirichlet_alpha: float = 1.0
    fixed_metabolite: str = ""
    own_mm: tuple[tuple[str, float, float], ...] = ()
    absent_fraction: float = 0.0
    lorentz_hz: tuple[float, float] = (2.0, 2.0)
    gauss_hz: tuple[float, float] = (0.0, 0.0)
    metabolite_lorentz_hz: tuple[float, float] = (0.0, 0.0)
    metabolite_gauss_hz: tuple[float, float] = (0.0, 0.0)
    shift_hz: tuple[float, float] = (0.0, 0.0)
    metabolite_shift_hz: tuple[float, float] = (0.0, 0.0)
    phase_rad: tuple[float, float] = (0.0, 0.0)
    delay_s: tuple[float, float] = (0.0, 0.0)
    satellite: tuple[float, float] = (0.0, 0.0)
    satellite_hz: tuple[float, float] = (0.0, 0.0)
    eddy_rad: tuple[float, float] = (0.0, 0.0)
    eddy_time_s: tuple[float, float] = (0.1, 0.1)
    edit_shift_hz: tuple[float, float] = (0.0, 0.0)
    edit_phase_rad: tuple[float, float] = (0.0, 0.0)
    edit_gain: tuple[float, float] = (1.0, 1.0)
    edit_efficiency: tuple[float, float] = (1.0, 1.0)
    metabolite_efficiency: tuple[float, float] = (1.0, 1.0)
    transients: int = 0
    drift_hz: tuple[float, float] = (0.0, 0.0)
    jitter_hz: tuple[float, float] = (0.0, 0.0)
    jitter_rad: tuple[float, float] = (0.0, 0.0)
    water: tuple[float, float] = (0.0, 0.0)
    water_hz: tuple[float, float] = (0.0, 0.0)
    water_width_hz: tuple[float, float] = (10.0, 10.0)
    water_tail: tuple[float, float] = (0.0, 0.0)
    water_tail_components: int = 0
    water_tail_hz: tuple[float, float] = (0.0, 0.0)
    water_tail_width_hz: tuple[float, float] = (10.0, 10.0)
    baseline: tuple[float, float] = (0.0, 0.0)
    baseline_width_hz: tuple[float, float] = (60.0, 60.0)
    baseline_components: int = 0
    spline: tuple[float, float] = (0.0, 0.0)
    spline_knots: int = 0
    mm_09: tuple[float, float] = (0.0, 0.0)
    mm_30: tuple[float, float] = (0.0, 0.0)
    mm_width_hz: tuple[float, float] = (14.0, 14.0)
    mm_edited: tuple[float, float] = (1.0, 1.0)
    lipid: tuple[float, float] = (0.0, 0.0)
    lipid_methyl: tuple[float, float] = (0.3, 0.3)
    lipid_width_hz: tuple[float, float] = (20.0, 20.0)
    echo: tuple[float, float] = (0.0, 0.0)
    echo_time_s: tuple[float, float] = (0.1, 0.1)
    echo_width_s: tuple[float, float] = (0.03, 0.03)
    echo_hz: tuple[float, float] = (0.0, 0.0)
    truncation: tuple[float, float] = (0.0, 0.0)
    first_point: tuple[float, float] = (0.0, 0.0)
    noise_sigma: tuple[float, float] = (0.0, 0.03)
    pool_fraction: float = 0.0
    clean_fraction: float = 0.0
    tidy_fraction: float = 0.0
    other_on_fraction: float = 0.0
    noise: str = "adc"
    noise_beta: tuple[float, float] = (1.0, 3.0)
    noise_betas: tuple[float, ...] = ()

    def __post_init__(self):
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple) and field.name not in LISTS:
                high = {"truncation": LONGEST_TRUNCATION} | dict.fromkeys(AT_MOST_ONE, 1.0)
                low = -LARGEST if field.name in SIGNED else 0.0
                check_range(f"Recipe {self.name}: {field.name}", value, low, high.get(field.name, LARGEST))
        for name in POSITIVE:
            if getattr(self, name)[0] < SMALLEST:
                raise ConfigError(
                    f"Recipe {self.name}: {name} must be above 0 (at least {SMALLEST:g}), not {getattr(self, name)}."
                )
        for name in FRACTIONS:
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"Recipe {self.name}: {name} must be in [0, 1], not {getattr(self, name)}.")
        for name, most in MOST.items():
            if not 0 <= getattr(self, name) <= most:
                raise ConfigError(f"Recipe {self.name}: {name} must be 0 to {most}, not {getattr(self, name)}.")
        if self.spline_knots == 1:
            raise ConfigError(f"Recipe {self.name}: spline_knots must be 0, or 2 to {MOST['spline_knots']}, not 1.")
        if self.noise not in NOISE_KINDS:
            raise ConfigError(f"Recipe {self.name}: noise must be {', '.join(NOISE_KINDS)}, not {self.noise!r}.")
        if not all(0 < beta < math.inf for beta in (*self.noise_beta, *self.noise_betas)):
            raise ConfigError(f"Recipe {self.name}: shapes of noise (beta) must be positive numbers.")
        self._check_concentrations()

    def _check_concentrations(self):
        """Refuse a kind of concentrations that does not exist or lacks what it needs."""
        if self.concentrations not in CONCENTRATION_KINDS:
            kinds = ", ".join(CONCENTRATION_KINDS)
            raise ConfigError(f"Recipe {self.name}: concentrations must be {kinds}, not {self.concentrations!r}.")
        if not 0.01 <= self.dirichlet_alpha <= 1000:
            raise ConfigError(
                f"Recipe {self.name}: dirichlet_alpha must be in [0.01, 1000], not {self.dirichlet_alpha}."
            )
        names = [name for name, *_ in self.own_mm]
        if len(set(names)) < len(names):
            raise ConfigError(f"Recipe {self.name}: own_mm has a metabolite twice in {', '.join(names)}; keep one.")
        for name, low, high in self.own_mm:
            check_range(f"Recipe {self.name}: own_mm of {name}", (low, high), 0.0, LARGEST)
        if self.own_mm and self.concentrations != "invivo":
            raise ConfigError(
                f"Recipe {self.name}: own_mm is for concentrations 'invivo', not {self.concentrations!r}; leave it out."
            )
        if (self.concentrations == "fixed") != bool(self.fixed_metabolite):
            raise ConfigError(
                f"Recipe {self.name}: concentrations 'fixed' and fixed_metabolite go together, not "
                f"{self.concentrations!r} and {self.fixed_metabolite!r}."
            )

    @property
    def has_plain_scans(self):
        """Whether some scans have the published conditions in place of these ranges."""
        return self.clean_fraction > 0 or self.tidy_fraction > 0

    def uses(self, name):
        """Whether an imperfection, named by its amplitude (as "echo"), is on: its range is not neutral."""
        count = COUNT_OF.get(name)
        return getattr(self, name) != _NEUTRAL.get(name, (0.0, 0.0)) and (count is None or getattr(self, count) > 0)


_NEUTRAL = dict.fromkeys(("edit_gain", "edit_efficiency", "metabolite_efficiency"), (1.0, 1.0))

COUNT_OF = {
    "baseline": "baseline_components",
    "water_tail": "water_tail_components",
    "spline": "spline_knots",
    **dict.fromkeys(("drift_hz", "jitter_hz", "jitter_rad"), "transients"),
}
"""Fields that are of nothing where the number of components is 0."""

RECIPE_FOLDER = Path(__file__).parent / "recipes"


def recipe_named(name_or_file):
    """A shipped recipe by its name, or one from a JSON file.

    A file holds the fields of `Recipe`; `based_on` names a shipped recipe that has those left out.

    Raises:
        ConfigError: there is no such recipe, or the file is not one.
    """
    if name_or_file in RECIPES:
        return RECIPES[name_or_file]
    if not str(name_or_file).endswith(".json"):
        raise ConfigError(f"There is no recipe {name_or_file!r}: give one of {', '.join(RECIPES)}, or a .json file.")
    return _read(name_or_file, RECIPES)


def _read(path, known):
    """The recipe of a file, which may be based on one of those known by name."""
    values = read_json(path, "a recipe")
    if isinstance(values, dict) and "based_on" in values:
        base = values.pop("based_on")
        if not isinstance(base, str) or base not in known:
            raise ConfigError(f"{path}: based_on must be one of {', '.join(known)}, not {base!r}.")
        shared = to_dict(known[base])
        del shared["name"]
        values = shared | values
    return from_dict(Recipe, values, path)


def _shipped():
    """The recipes of the package; each may be based on those before it."""
    found = {}
    for name in "clean published linewidth phantom scanner single-adc single-gg multi-adc multi-gg".split():
        found[name] = _read(RECIPE_FOLDER / f"{name}.json", found)
    return found


RECIPES = _shipped()
"""The recipes that come with the package, by name."""

PUBLISHED = RECIPES["published"]
"""The published training conditions: lines of 2 Hz, Gaussian noise of up to 0.03 (arXiv 2602.20289)."""
