"""Compare simulated Cr and GABA with spectra that FID-A computed for the same pulses, timings and phase steps.

The reference is a folder that holds pulses.json and <metabolite>_<variant>.npz with fid_off and fid_on, for the
variants ideal_refocusing and slice_profile. Times between pulse centres are 5, 17, 17, 17 ms, then 12 ms to the first
point; frequency 0 of the reference is 3.0 ppm. Its phase steps turn in the negative sense, and its editing pulses
are shifted by a phase ramp that is constant within each point and zero at the first.
"""

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from ..axes import GYROMAGNETIC_HZ_PER_T, REFERENCE_PPM, fid_to_spectrum, frequency_axis, time_axis
from ..basis.builders import MEGAPRESS_COHERENCES
from ..basis.pulses import Pulse, ideal
from ..basis.sequence import Block, Sequence
from ..basis.simulate import simulate
from ..errors import DataError

NAMES = ("Cr", "GABA")
CENTRE_PPM = 3.0
POINTS = 4096
GAMMA_HZ_PER_T = 42.577e6
PPM_RANGE = (1.0, 4.5)
_INTERVALS_S = (0.005, 0.017, 0.017, 0.017, 0.012)
_SLICE_M = 0.03
_STEP_RAD = -np.pi / 2


@dataclass(frozen=True)
class Variant:
    """One of the two reference calculations.

    Attributes:
        name: ending of its files' names.
        b0_t: field (T) for the gyromagnetic ratio `GAMMA_HZ_PER_T`.
        dwell_s: dwell time (s).
        shaped_refocusing: whether refocusing pulses select slices, or are ideal.
    """

    name: str
    b0_t: float
    dwell_s: float
    shaped_refocusing: bool

    @property
    def centre_hz(self):
        """Spectrometer frequency (Hz)."""
        return self.b0_t * GAMMA_HZ_PER_T

    def phase_steps(self):
        """Steps of the phase cycle: list of (phases of the five pulses (rad), sign of the step)."""
        if not self.shaped_refocusing:
            return [(_STEP_RAD * np.array([0, 0, one, 0, two]), 1) for one in range(2) for two in range(4)]
        return [
            (_STEP_RAD * np.array([0, first, one, second, two]), (-1) ** (first + second))
            for first, second, one, two in product(range(2), repeat=4)
        ]


VARIANTS = (Variant("ideal_refocusing", 2.89425, 4e-4, False), Variant("slice_profile", 2.8936, 5e-4, True))


def reference_sequence(variant, pulses, edit_ppm):
    """The sequence that the reference played, with coherence selection.

    Args:
        variant: Variant.
        pulses: dict of pulses.json.
        edit_ppm: frequency of the editing pulses (ppm).
    """
    editing = _played(pulses["editing"], (edit_ppm - CENTRE_PPM) * variant.centre_hz * 1e-6)
    refocusing, gradient, edge, positions = ideal(np.pi), 0.0, 0.0, 1
    gamma = GYROMAGNETIC_HZ_PER_T["1H"]
    if variant.shaped_refocusing:
        table = pulses["refocusing_100"]
        refocusing, edge, positions = _played(table, 0.0), 0.025, 8
        gradient = table["time_bandwidth"] / table["duration_s"] / _SLICE_M / gamma
    played = (ideal(np.pi / 2), refocusing, editing, refocusing, editing)
    gradients = (0, 0, 0), (gradient, 0, 0), (0, 0, 0), (0, gradient, 0), (0, 0, 0)
    half = [pulse.duration_s / 2 for pulse in played] + [0.0]
    blocks = [
        Block(
            pulse,
            _INTERVALS_S[index] - half[index] - half[index + 1],
            phase_offset_rad=np.pi / 2 if index else 0.0,
            gradient_t_per_m=gradients[index],
            coherence=MEGAPRESS_COHERENCES[index],
        )
        for index, pulse in enumerate(played)
    ]
    return Sequence(
        name=f"{variant.name} edited at {edit_ppm:g} ppm",
        b0_t=variant.centre_hz / gamma,
        blocks=blocks,
        points=POINTS,
        bandwidth_hz=1 / variant.dwell_s,
        linewidth_hz=1.0,
        centre_ppm=CENTRE_PPM,
        extent_m=((-edge, edge), (-edge, edge), (0.0, 0.0)),
        resolution=(positions, positions, 1),
    )


def _played(table, frequency_hz):
    """Pulse of a table of pulses.json, shifted by a ramp of its points' phases."""
    amplitude = np.array(table["amplitude"])
    times = np.arange(amplitude.size) * table["duration_s"] / amplitude.size
    phase = np.array(table["phase_rad"]) + 2 * np.pi * frequency_hz * times
    return Pulse(amplitude * table["turns"] / table["duration_s"], phase, table["duration_s"])


def simulate_variant(variant, pulses, phase_cycled):
    """FIDs (condition, metabolite, point), frequency 0 at 3.0 ppm, edit-off first.

    Args:
        variant: Variant.
        pulses: dict of pulses.json.
        phase_cycled: average over the reference's phase steps without filters; else select coherences.
    """
    sequences = [reference_sequence(variant, pulses, edit_ppm) for edit_ppm in (7.4, 1.9)]
    if phase_cycled:
        steps = variant.phase_steps()
        bare = [sequence.without_filters() for sequence in sequences]
        fids = simulate([sequence.with_phase_offsets(phases) for sequence in bare for phases, _ in steps], NAMES)
        fids = fids.reshape(len(sequences), len(steps), *fids.shape[1:])
        fids = np.einsum("s,cs...->c...", np.array([sign for _, sign in steps]) / len(steps), fids)
    else:
        fids = simulate(sequences, NAMES)
    shift_hz = (REFERENCE_PPM - CENTRE_PPM) * variant.centre_hz * 1e-6
    return fids * np.exp(2j * np.pi * shift_hz * time_axis(POINTS, variant.dwell_s))


def spectral_correlation(fid, reference, dwell_s, centre_hz):
    """Magnitude of the complex correlation of two spectra in `PPM_RANGE`, free of scale and phase."""
    ppm = CENTRE_PPM + frequency_axis(fid.size, dwell_s) / centre_hz * 1e6
    chosen = (ppm >= PPM_RANGE[0]) & (ppm <= PPM_RANGE[1])
    one, two = fid_to_spectrum(fid)[chosen], fid_to_spectrum(reference)[chosen]
    return float(abs(np.vdot(one, two)) / (np.linalg.norm(one) * np.linalg.norm(two)))


def compare(folder):
    """Correlations with every spectrum of a reference folder.

    Returns:
        DataFrame with the columns variant, selection, metabolite and the correlations edit_off and edit_on.

    Raises:
        DataError: a file is missing or is not as described.
    """
    folder = Path(folder)
    rows = []
    try:
        pulses = json.loads((folder / "pulses.json").read_text(encoding="utf-8"))
        for variant in VARIANTS:
            references = [np.load(folder / f"{name}_{variant.name}.npz") for name in NAMES]
            for selection in ("phase cycle", "coherences"):
                fids = simulate_variant(variant, pulses, selection == "phase cycle")
                for index, (name, reference) in enumerate(zip(NAMES, references, strict=True)):
                    pairs = zip(fids[:, index], (reference["fid_off"], reference["fid_on"]), strict=True)
                    scores = [spectral_correlation(*pair, variant.dwell_s, variant.centre_hz) for pair in pairs]
                    rows.append((variant.name, selection, name, *scores))
    except (OSError, KeyError, json.JSONDecodeError) as exc:
        raise DataError(
            f"{folder} is not a reference folder: {exc}; it needs pulses.json and, for each metabolite and variant, "
            "METABOLITE_VARIANT.npz."
        ) from exc
    return pd.DataFrame(rows, columns=["variant", "selection", "metabolite", "edit_off", "edit_on"])
