"""Concentrations of the metabolites of training scans."""

import torch
from scipy.special import gammaincinv

from ..errors import ConfigError

IN_VIVO_MM = {
    "Ace": (0.4, 0.8),
    "Ala": (0.2, 1.4),
    "Asc": (0.5, 1.5),
    "Asp": (1.0, 2.0),
    "Cr": (4.5, 6.5),
    "GABA": (1.0, 2.0),
    "GPC": (0.5, 1.5),
    "GSH": (1.0, 3.0),
    "Glc": (1.0, 2.0),
    "Gln": (2.0, 6.0),
    "Glu": (6.0, 12.5),
    "Gly": (0.3, 1.0),
    "Ins": (4.0, 9.0),
    "Lac": (0.2, 1.5),
    "NAA": (7.5, 17.0),
    "NAAG": (0.5, 2.7),
    "PCh": (0.2, 1.0),
    "PCr": (3.0, 5.5),
    "PE": (1.0, 2.0),
    "Ser": (0.2, 2.0),
    "Scyllo": (0.2, 0.6),
    "Tau": (1.0, 2.0),
}
"""Approximate ranges in the healthy adult human brain (mM, about mmol per kg of tissue), rounded outwards, after
Govindaraju et al., NMR Biomed 13, 129 (2000), and de Graaf, In Vivo NMR Spectroscopy, 3rd ed. (Wiley, 2019), chapter
2; NAAG after Pouwels and Frahm, NMR Biomed 10, 73 (1997): 0.6 to 2.7 mM from grey to white matter. They are priors, no
reference values."""

SPELLINGS = {"PCho": "PCh", "mI": "Ins", "mIns": "Ins", "sI": "Scyllo", "sIns": "Scyllo"}
"""Other names of these metabolites -> theirs: those of the basis set of the ISMRM fitting challenge (PCho, sIns) and
the usual abbreviations of myo- and scyllo-inositol."""

SOBOL_POINTS = 16384
"""Scans of one scrambled Sobol sequence; the next ones take another scrambling."""

SOBOL_STEP = 1_000_003
"""Distance of the seeds of two such sequences."""


def draw_concentrations(recipe, source, metabolites, names=(), visible=None):
    """Concentrations of a batch of scans.

    Args:
        recipe: of the kind `recipe.concentrations`.
        source: draws.Source of the batch.
        metabolites: their number.
        names: of the metabolites; kinds "fixed" and "invivo" need them.
        visible: (metabolite,) bool, which of them the basis set shows; all where None.

    Returns:
        (batch, metabolite): in mM for "invivo", else relative. Every scan has at least one visible metabolite.

    Raises:
        ConfigError: the kind needs a metabolite that is not there or not visible, or has no range for one that is.
    """
    # Going to a far place of the sequence takes as long as drawing all before it: long streams take several.
    batches = max(1, SOBOL_POINTS // source.batch)
    sequence, place = divmod(source.index, batches)
    engine = torch.quasirandom.SobolEngine(metabolites, scramble=True, seed=source.stream_seed + sequence * SOBOL_STEP)
    unit = engine.fast_forward(place * source.batch).draw(source.batch)
    seen = torch.arange(metabolites) if visible is None else visible.nonzero()[:, 0]
    if recipe.concentrations == "dirichlet":
        # Gamma values by their quantiles; the least double keeps tiny ones from all being 0.
        values = torch.as_tensor(gammaincinv(recipe.dirichlet_alpha, unit.double().numpy())).clamp_min(1e-300)
        values = (values / values.sum(1, keepdim=True)).float()
    elif recipe.concentrations == "invivo":
        low, high = torch.tensor(_in_vivo(recipe, names)).T
        values = low + (high - low) * unit
    else:
        values = unit
    if recipe.concentrations == "fixed":
        if recipe.fixed_metabolite not in names:
            raise ConfigError(
                f"Recipe {recipe.name}: fixed_metabolite {recipe.fixed_metabolite} is not in the basis set, which has "
                f"{', '.join(names)}; take one of these."
            )
        kept = names.index(recipe.fixed_metabolite)
        if kept not in seen:
            raise ConfigError(
                f"Recipe {recipe.name}: fixed_metabolite {recipe.fixed_metabolite} cannot be seen in this basis set; "
                f"take one of {', '.join(names[index] for index in seen)}."
            )
        values[:, kept] = 1.0
        seen = torch.tensor([kept])
    return _without_absent(recipe, source, values, seen) if recipe.absent_fraction else values


def _without_absent(recipe, source, values, seen):
    """The concentrations with some at 0; one of the metabolites `seen` of each scan, a random one, never is."""
    present = source.uniform("absent_fraction", values.shape[1:]) >= recipe.absent_fraction
    one = seen[source.below("present", len(seen))]
    values = values * present.scatter(1, one[:, None], True)
    # The rest of a mixture that adds up to 1 still does.
    return values / values.sum(1, keepdim=True) if recipe.concentrations == "dirichlet" else values


def _in_vivo(recipe, names):
    """Range of each metabolite (mM)."""
    own = {name: (low, high) for name, low, high in recipe.own_mm}
    strange = [name for name in own if name not in names]
    if strange:
        raise ConfigError(
            f"Recipe {recipe.name}: own_mm has a range for {strange[0]}, which is not in the basis set; its names are "
            f"{', '.join(names)}."
        )
    ranges = {name: own.get(name, IN_VIVO_MM.get(SPELLINGS.get(name, name))) for name in names}
    unknown = [name for name, found in ranges.items() if found is None]
    if unknown or not names:
        raise ConfigError(
            f"Recipe {recipe.name}: there is no in vivo range for {', '.join(unknown) or 'metabolites without names'}; "
            f"it knows {', '.join((*IN_VIVO_MM, *SPELLINGS))}. Give the others a range in own_mm, or leave them out of "
            "the basis set."
        )
    return list(ranges.values())
