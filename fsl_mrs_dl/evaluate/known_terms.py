"""What the model of a scan of known contents may vary: terms, and the multiplets they act on."""

from dataclasses import dataclass

import numpy as np

from .. import axes

INGREDIENTS = ("shift", "phase", "linewidth", "baseline", "line shape", "basis")
"""What a scan has and the plain simulation has not, in the order in which it is put in."""

_EDDY_TIMES_S = (0.01, 0.03, 0.1, 0.3)
_MULTIPLET_HEIGHT = 0.03
_MULTIPLET_GAP_PPM = 0.12

# How far terms go, as standard deviations of a weak Gaussian prior: it only keeps what the data say nothing about,
# such as the place of a metabolite that is not there, where it was.
_SPREAD = {"scale": 1e3, "shift": 30.0, "phase": 3.0, "linewidth": 30.0, "line shape": 1.0}
_SPREAD_OF_BASIS = {"shift": 2.0, "phase": 0.3, "gain": 0.5}


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms of a model.

    Attributes:
        ingredients: (term,) array of names of `INGREDIENTS`, "scale" for the one that is always free.
        shapes: (shape, point) functions of time; the first two are 1 and t.
        shape: (term,) index of each term's shape.
        factor: (term,) complex.
        mask: (term, condition, multiplet) 0 or 1, which signals a term acts on. Terms of another shape than the
            first two act on all.
        spread: (term,) standard deviation of its prior.
        start: (term,) values of the plain simulation.
    """

    ingredients: np.ndarray
    shapes: np.ndarray
    shape: np.ndarray
    factor: np.ndarray
    mask: np.ndarray
    spread: np.ndarray
    start: np.ndarray

    def first(self, ingredient):
        """Index of the first term of an ingredient, the one that acts on all signals."""
        return int(np.argmax(self.ingredients == ingredient))


def multiplets(fids, ppm, band):
    """Basis FIDs cut into multiplets: the sum over those of a metabolite is its FID.

    Args:
        fids: (condition, metabolite, point) complex.
        ppm: (point,) axis of their spectra.
        band: slice in which multiplets are told apart.

    Returns:
        (condition, multiplet, point) complex, and (multiplet,) index of the metabolite of each.
    """
    spectra = axes.fid_to_spectrum(fids)
    height = np.linalg.norm(spectra, axis=0)
    parts, owner = [], []
    for metabolite, line in enumerate(height):
        high = ppm[band][line[band] > _MULTIPLET_HEIGHT * line.max()]
        gaps = np.flatnonzero(np.diff(high) > _MULTIPLET_GAP_PPM)
        edges = (high[gaps] + high[gaps + 1]) / 2
        place = np.searchsorted(edges, ppm)
        for part in range(len(edges) + 1):
            parts.append(np.where(place == part, spectra[:, metabolite], 0))
            owner.append(metabolite)
    return axes.spectrum_to_fid(np.stack(parts, 1)), np.array(owner)


def make_terms(conditions, signals, t, plain_hz):
    """Terms for a number of conditions and multiplets on a time grid t (s), whose plain lines are plain_hz broader."""
    shapes = [np.ones_like(t), t, *(-np.expm1(-t / time_s) for time_s in _EDDY_TIMES_S), -((t / 0.1) ** 2)]
    rows = []

    def add(ingredient, factor, shape, spread, where=(slice(None), slice(None)), start=0.0):
        """One more term, for the conditions and multiplets of `where`."""
        mask = np.zeros((conditions, signals))
        mask[where] = 1
        rows.append((ingredient, shape, factor, mask, spread, start))

    add("scale", 1, 0, _SPREAD["scale"])
    for ingredient, factor, shape in (("shift", 2j * np.pi, 1), ("phase", 1j, 0)):
        add(ingredient, factor, shape, _SPREAD[ingredient])
        for condition in range(1, conditions):
            add(ingredient, factor, shape, _SPREAD[ingredient], (condition, slice(None)))
    add("linewidth", -np.pi, 1, _SPREAD["linewidth"], start=plain_hz)
    # Eddy currents, asymmetric fields and Gaussian decay: a smooth complex function of time that is 1 at the start.
    for shape in range(2, len(shapes) - 1):
        add("line shape", 1, shape, _SPREAD["line shape"])
        add("line shape", 1j, shape, _SPREAD["line shape"])
    add("line shape", 1, len(shapes) - 1, _SPREAD["line shape"])
    for signal in range(signals):
        add("basis", 2j * np.pi, 1, _SPREAD_OF_BASIS["shift"], (slice(None), signal))
        for condition in range(conditions):
            add("basis", 1j, 0, _SPREAD_OF_BASIS["phase"], (condition, signal))
        # The strength in the first condition stays: it is what a content means. The others' is that of the editing.
        for condition in range(1, conditions):
            add("basis", 1, 0, _SPREAD_OF_BASIS["gain"], (condition, signal))
    ingredients, shape, factor, mask, spread, start = map(np.array, zip(*rows))
    # Complex throughout, as what they are multiplied with: numpy multiplies matrices of one type far faster.
    shapes, factor, mask = (np.asarray(one, complex) for one in (shapes, factor, mask))
    return Terms(ingredients, shapes, shape, factor, mask, spread, start)
