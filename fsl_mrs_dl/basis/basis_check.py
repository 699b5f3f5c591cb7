"""Does a basis set hold what its headers say? Looks at well-known peaks instead of trusting conventions."""

import numpy as np

from ..axes import GYROMAGNETIC_HZ_PER_T, REFERENCE_PPM, fid_to_spectrum, ppm_axis
from ..errors import BasisError

SINGLETS_PPM = {"NAA": 2.01, "Cr": 3.03}
"""A strong line of metabolites that every basis of the brain has (ppm)."""

STRONG = 0.3
"""Least height of such a line over that of the metabolite's highest. Slices displaced by chemical shift, sampled at few
positions, can make a weaker line the highest; side lobes of a cut FID stay below 0.22."""

GABA_PPM = (3.01, 2.28, 1.89)
"""The three multiplets of GABA (ppm)."""

TOLERANCE_PPM = 0.05
LOWEST_PPM = 0.5
MIN_POINTS = 256
MIN_DURATION_S = 0.2
FIELDS_T = (0.2, 25.0)


def check_basis(basis):
    """Raise BasisError unless a basis set is plausible.

    Looked at are points and bandwidth, the spectrometer frequency, the peaks of NAA, Cr and GABA (where the
    set has them), and whether edit-on and edit-off are the right way round.

    Args:
        basis: BasisSet.
    """
    _check_header(basis)
    ppm = ppm_axis(basis.points, basis.dwell_s, basis.centre_hz)
    spectra = np.abs(fid_to_spectrum(basis.fids))
    # Some sets carry a reference line at 0 ppm; water's place tells nothing about orientation.
    upfield = (ppm > LOWEST_PPM) & (ppm < REFERENCE_PPM - 0.25)
    downfield = (ppm < 2 * REFERENCE_PPM - LOWEST_PPM) & (ppm > REFERENCE_PPM + 0.25)
    searched = np.where(upfield | downfield, spectra[0], 0)
    for name, expected in SINGLETS_PPM.items():
        if name in basis.names:
            _check_singlet(name, expected, ppm, searched[basis.names.index(name)])
    if "GABA" in basis.names:
        _check_gaba(ppm, searched[basis.names.index("GABA")])
    if len(basis.conditions) == 2:
        _check_editing(basis, ppm, spectra)


def _check_header(basis):
    """Nucleus, field, band and duration."""
    if basis.nucleus not in GYROMAGNETIC_HZ_PER_T:
        raise BasisError(f"Basis sets of {', '.join(GYROMAGNETIC_HZ_PER_T)} can be used, not of {basis.nucleus}.")
    field = basis.centre_hz / GYROMAGNETIC_HZ_PER_T[basis.nucleus]
    if not FIELDS_T[0] <= field <= FIELDS_T[1]:
        raise BasisError(
            f"The spectrometer frequency {basis.centre_hz / 1e6:.6g} MHz of the basis would mean {field:.3g} T for "
            f"{basis.nucleus}; expected are {FIELDS_T[0]:g} to {FIELDS_T[1]:g} T (files state it in MHz)."
        )
    needed = 2 * (REFERENCE_PPM - LOWEST_PPM) * basis.centre_hz * 1e-6
    if 1 / basis.dwell_s < needed:
        raise BasisError(
            f"A basis at {basis.centre_hz / 1e6:.1f} MHz needs a bandwidth of {needed:.0f} Hz to reach "
            f"{LOWEST_PPM} ppm; this one has {1 / basis.dwell_s:.0f} Hz."
        )
    if basis.points < MIN_POINTS or basis.points * basis.dwell_s < MIN_DURATION_S:
        raise BasisError(
            f"A basis needs {MIN_POINTS} points and {MIN_DURATION_S} s; this one has {basis.points} points in "
            f"{basis.points * basis.dwell_s:.3f} s."
        )


def _check_singlet(name, expected, ppm, magnitude):
    """A strong line of a metabolite stands where it must: magnitude (point,)."""
    if _has_line(expected, ppm, magnitude):
        return
    found = ppm[np.argmax(magnitude)]
    mirrored = _has_line(2 * REFERENCE_PPM - expected, ppm, magnitude)
    hint = "the FIDs are stored complex conjugate" if mirrored else "check its frequency reference and header"
    raise BasisError(
        f"{name} in a basis has a strong line at {expected} ppm; here it has none there, its highest stands at "
        f"{found:.2f} ppm; {hint}."
    )


def _has_line(expected, ppm, magnitude):
    """Whether a strong maximum stands within the tolerance of a shift (ppm)."""
    inside = magnitude[1:-1]
    peaks = (inside >= magnitude[:-2]) & (inside >= magnitude[2:]) & (inside >= STRONG * magnitude.max())
    return bool(np.any(peaks & (np.abs(ppm[1:-1] - expected) <= TOLERANCE_PPM)))


def _check_gaba(ppm, magnitude):
    """Most of GABA's signal (power) lies in its three multiplets: magnitude (point,)."""
    near = np.min([np.abs(ppm - shift) for shift in GABA_PPM], axis=0) < 0.2
    power = magnitude**2
    share = power[near].sum() / power.sum()
    if share < 0.8:
        raise BasisError(
            f"GABA's lines in a basis stand at {', '.join(map(str, GABA_PPM))} ppm; only {share:.0%} of its signal "
            f"does, the strongest line is at {ppm[np.argmax(magnitude)]:.2f} ppm."
        )


def _check_editing(basis, ppm, spectra):
    """Conditions differ, and edit-on is the one without the NAA singlet: spectra (condition, metabolite, point)."""
    same = np.abs(basis.fids[0] - basis.fids[1]).max() <= 1e-6 * np.abs(basis.fids).max()
    # Metabolites that editing does not touch may well be the same in both.
    if same and {"NAA", "GABA"} & set(basis.names):
        raise BasisError("Edit-off and edit-on of a basis must differ; these are the same, so nothing was edited.")
    if "NAA" not in basis.names:
        return
    near = np.abs(ppm - SINGLETS_PPM["NAA"]) < 2 * TOLERANCE_PPM
    off, on = spectra[:, basis.names.index("NAA"), near].max(-1)
    # Editing at 1.9 ppm takes the singlet away; editing elsewhere (as for lactate) leaves both alike.
    if on > 2 * off:
        raise BasisError(
            f"NAA's singlet at 2.01 ppm is suppressed in edit-on; here edit-on has {on / off:.1f} times that of "
            "edit-off: the two are swapped."
        )
