"""From a recipe to the parameters of a batch of scans."""

import hashlib
from dataclasses import dataclass, replace

import torch

from .concentrations import draw_concentrations
from .priors import COUNT_OF, PUBLISHED


@dataclass(frozen=True)
class Draw:
    """Parameters of a batch of scans: what `Recipe` names, each a tensor with the batch first.

    Shapes: see `AXES`; those not named there are (batch,). `concentrations` are (batch, metabolite); `member` is -1
    for the basis set itself, else the index in the pool; `on_member` (batch, metabolite) is the same for edit-on, where
    there is one; `noise_seed` seeds the batch's noise; `noise_beta` is its shape, 2 where it is Gaussian;
    `transient_unit` (batch, condition, transient, 2) are standard normal numbers, from which the jitter of frequency
    and phase of each transient is made. Components that a recipe does not use have no entries: that axis has length 0.
    """

    concentrations: torch.Tensor
    member: torch.Tensor
    on_member: torch.Tensor
    lorentz_hz: torch.Tensor
    gauss_hz: torch.Tensor
    metabolite_lorentz_hz: torch.Tensor
    metabolite_gauss_hz: torch.Tensor
    shift_hz: torch.Tensor
    metabolite_shift_hz: torch.Tensor
    phase_rad: torch.Tensor
    delay_s: torch.Tensor
    satellite: torch.Tensor
    satellite_hz: torch.Tensor
    eddy_rad: torch.Tensor
    eddy_time_s: torch.Tensor
    edit_shift_hz: torch.Tensor
    edit_phase_rad: torch.Tensor
    edit_gain: torch.Tensor
    edit_efficiency: torch.Tensor
    metabolite_efficiency: torch.Tensor
    drift_hz: torch.Tensor
    jitter_hz: torch.Tensor
    jitter_rad: torch.Tensor
    transient_unit: torch.Tensor
    water: torch.Tensor
    water_hz: torch.Tensor
    water_width_hz: torch.Tensor
    water_phase_rad: torch.Tensor
    water_tail: torch.Tensor
    water_tail_hz: torch.Tensor
    water_tail_width_hz: torch.Tensor
    water_tail_phase_rad: torch.Tensor
    baseline: torch.Tensor
    baseline_hz: torch.Tensor
    baseline_width_hz: torch.Tensor
    baseline_phase_rad: torch.Tensor
    spline: torch.Tensor
    spline_phase_rad: torch.Tensor
    mm_09: torch.Tensor
    mm_30: torch.Tensor
    mm_width_hz: torch.Tensor
    mm_edited: torch.Tensor
    lipid: torch.Tensor
    lipid_methyl: torch.Tensor
    lipid_width_hz: torch.Tensor
    lipid_phase_rad: torch.Tensor
    echo: torch.Tensor
    echo_time_s: torch.Tensor
    echo_width_s: torch.Tensor
    echo_hz: torch.Tensor
    echo_phase_rad: torch.Tensor
    truncation: torch.Tensor
    first_point: torch.Tensor
    noise_sigma: torch.Tensor
    noise_beta: torch.Tensor
    noise_seed: int

    def to(self, device):
        """The parameters on a torch device.

        Those of a type go there in one piece: many small transfers to a GPU take longer than making the scans.
        """
        moved = {}
        tensors = {name: values for name, values in vars(self).items() if isinstance(values, torch.Tensor)}
        for dtype in {values.dtype for values in tensors.values()}:
            alike = {name: values for name, values in tensors.items() if values.dtype == dtype}
            together = torch.cat([values.flatten() for values in alike.values()]).to(device)
            pieces = together.split([values.numel() for values in alike.values()])
            moved |= {name: piece.view(alike[name].shape) for name, piece in zip(alike, pieces, strict=True)}
        return replace(self, **moved)

    def split(self, size):
        """Parameters of blocks of `size` scans, the last of which may be smaller, in order."""
        parts = {name: values.split(size) for name, values in vars(self).items() if isinstance(values, torch.Tensor)}
        blocks = zip(*parts.values(), strict=True)
        return [
            Draw(**dict(zip(parts, block, strict=True)), noise_seed=self.noise_seed + index * size)
            for index, block in enumerate(blocks)
        ]


BASELINE_BAND_HZ = (-480.0, 0.0)
"""Where broad baseline components may stand: 0.75 to 4.65 ppm at 123 MHz (Hz from the reference)."""

PER_SCAN = (
    "lorentz_hz gauss_hz shift_hz phase_rad delay_s satellite satellite_hz eddy_rad eddy_time_s edit_shift_hz "
    "edit_phase_rad edit_gain edit_efficiency drift_hz jitter_hz jitter_rad water_hz mm_09 mm_30 mm_width_hz "
    "mm_edited lipid_methyl lipid_width_hz echo_time_s echo_width_s echo_hz truncation first_point noise_sigma"
).split()

AXES = {
    **dict.fromkeys(
        ("metabolite_lorentz_hz", "metabolite_gauss_hz", "metabolite_shift_hz", "metabolite_efficiency"),
        ("metabolite",),
    ),
    **dict.fromkeys(("water", "water_width_hz", "water_phase_rad"), ("condition",)),
    **dict.fromkeys(("lipid", "lipid_phase_rad", "echo", "echo_phase_rad"), ("condition",)),
    **dict.fromkeys(
        ("water_tail", "water_tail_hz", "water_tail_width_hz", "water_tail_phase_rad"), ("condition", "water_tail")
    ),
    **dict.fromkeys(
        ("baseline", "baseline_hz", "baseline_width_hz", "baseline_phase_rad"), ("condition", "baseline")
    ),
    **dict.fromkeys(("spline", "spline_phase_rad"), ("condition", "spline")),
}
"""Axes after the batch of the parameters that are not one number for each scan."""

KEPT = ("noise_sigma", "edit_efficiency", "metabolite_efficiency")
"""What a tidy scan has as the recipe says: noise, and what makes its editing another than the basis set's."""

LINES = ("lorentz_hz", "gauss_hz", "shift_hz", "phase_rad")
"""What a tidy scan may have as the recipe says, besides."""

TIDY_LINES = 0.5
"""Share of the tidy scans whose lines are those of the published conditions."""

ANGLES = {f"{name}_phase_rad": name for name in ("water", "water_tail", "baseline", "spline", "lipid", "echo")}
"""Phases that are uniform over the circle, and what they are the phase of."""


def draw(recipe, seed, index, batch, metabolites, conditions, members=0, names=(), visible=None):
    """Parameters of one batch of a stream of scans.

    The same arguments give the same parameters, whichever batches were drawn before. Every parameter has random
    numbers of its own: what a recipe says of one leaves the others as they are. Concentrations run through the
    batches as one sequence.

    Args:
        recipe: ranges.
        seed: of the whole stream.
        index: number of the batch in the stream.
        batch, metabolites, conditions: sizes.
        members: size of the pool of bases; 0 when there is none.
        names: of the metabolites, for recipes with concentrations of named ones.
        visible: (metabolite,) bool, which of them the basis set shows; all where None.

    Returns:
        Draw.
    """
    source = Source(seed, index, batch)
    clean = source.uniform("clean_fraction") < recipe.clean_fraction
    tidy = clean | (source.uniform("tidy_fraction") < recipe.tidy_fraction)
    straight = clean | (tidy & (source.uniform("tidy_lines") < TIDY_LINES))
    sizes = {"metabolite": metabolites, "condition": conditions}
    for name in ("water_tail", "baseline", "spline"):
        sizes[name] = getattr(recipe, COUNT_OF[name]) if recipe.uses(name) else 0
    drawn = {}
    for name in (*PER_SCAN, *AXES):
        shape = [sizes[axis] for axis in AXES.get(name, ())]
        if name in ANGLES:
            drawn[name] = source.between(name, (0.0, 2 * torch.pi if recipe.uses(ANGLES[name]) else 0.0), shape)
        elif name == "baseline_hz":
            drawn[name] = source.between(name, BASELINE_BAND_HZ, shape)
        else:
            plain = clean if name in KEPT else straight if name in LINES else tidy
            drawn[name] = _of_recipe(recipe, name, plain, source, shape)
    moving = any(map(recipe.uses, ("drift_hz", "jitter_hz", "jitter_rad")))
    drawn["transient_unit"] = source.normal("transient_unit", (conditions, recipe.transients if moving else 0, 2))
    if recipe.noise == "none":
        drawn["noise_sigma"] = torch.zeros(batch)
    member = _draw_members(recipe, clean, members, source)
    return Draw(
        concentrations=draw_concentrations(recipe, source, metabolites, names, visible),
        member=member,
        on_member=_draw_on_members(recipe, member, members if conditions == 2 else 0, metabolites, source),
        noise_beta=_draw_shapes(recipe, clean, source),
        noise_seed=int(source.generator("noise_seed").initial_seed()),
        **drawn,
    )


class Source:
    """Random numbers of one batch of a stream, by name: every name has its own, whatever else is drawn.

    Args:
        seed: of the stream.
        index: number of the batch.
        batch: scans in it.
    """

    def __init__(self, seed, index, batch):
        self.stream_seed, self.index, self.batch = seed, index, batch
        self._generator = torch.Generator()

    def generator(self, name):
        """Generator at the start of a name's numbers; valid until another name is asked for."""
        digest = hashlib.blake2b(f"{self.stream_seed} {self.index} {name}".encode(), digest_size=8).digest()
        # 62 bits: a seed that others count up from stays within 64.
        return self._generator.manual_seed(int.from_bytes(digest, "little") >> 2)

    def uniform(self, name, shape=()):
        """(batch, *shape) numbers in [0, 1)."""
        return torch.rand(self.batch, *shape, generator=self.generator(name))

    def normal(self, name, shape):
        """(batch, *shape) standard normal numbers."""
        return torch.randn(self.batch, *shape, generator=self.generator(name))

    def below(self, name, count, shape=()):
        """(batch, *shape) whole numbers from 0 to count - 1."""
        return torch.randint(count, (self.batch, *shape), generator=self.generator(name))

    def between(self, name, pair, shape=()):
        """(batch, *shape) numbers in a range; a range of no width takes no random numbers."""
        low, high = pair
        if low == high:
            return torch.full((self.batch, *shape), low)
        return self.uniform(name, shape).mul_(high - low).add_(low)


def _of_recipe(recipe, name, plain, source, shape):
    """A parameter in its range, or in that of the published conditions where `plain` (batch,)."""
    pair, published = getattr(recipe, name), getattr(PUBLISHED, name)
    values = source.between(name, pair, shape)
    if pair == published or not recipe.has_plain_scans:
        return values
    flag = plain.reshape(-1, *[1] * len(shape))
    return torch.where(flag, source.between(name, published, shape), values)


def _draw_members(recipe, clean, members, source):
    """Index of the pool member of each scan, -1 where it uses the basis set itself; shape (batch,)."""
    if not members or recipe.pool_fraction == 0:
        return torch.full((source.batch,), -1)
    from_pool = source.uniform("pool_fraction") < recipe.pool_fraction
    return torch.where(from_pool & ~clean, source.below("member", members), -1)


def _draw_on_members(recipe, member, members, metabolites, source):
    """The same for edit-on and each metabolite, (batch, metabolite): others in some of the scans from the pool."""
    same = member[:, None].expand(-1, metabolites)
    if not members or recipe.other_on_fraction == 0:
        return same
    other = source.uniform("other_on_fraction") < recipe.other_on_fraction
    return torch.where((other & (member >= 0))[:, None], source.below("on_member", members, (metabolites,)), same)


def _draw_shapes(recipe, clean, source):
    """Shape beta of each scan's noise, (batch,); 2 where the noise is Gaussian or the conditions are published."""
    gaussian = torch.full((source.batch,), 2.0)
    if recipe.noise != "gg":
        return gaussian
    if recipe.noise_betas:
        shapes = torch.tensor(recipe.noise_betas)[source.below("noise_betas", len(recipe.noise_betas))]
    else:
        shapes = source.between("noise_beta", recipe.noise_beta)
    return torch.where(clean, gaussian, shapes)
