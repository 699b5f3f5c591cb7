"""Basis spectra by FSL-MRS's own simulator, fsl_mrs.denmatsim, from the same sequence descriptions and spin systems.

It is called as fsl_mrs_sim does: one spin system and one sequence description at a time, which gives an FID in
the orientation of basis files. Its amplitude is its own; a basis set is only ever used up to one common factor.
"""

from copy import deepcopy

import numpy as np

from ..axes import REFERENCE_PPM, conjugate_for_disk
from ..basis.spins import components, find_systems
from ..errors import BasisError, ConfigError
from .preprocess import INSTALL


def require_simulator():
    """FSL-MRS's function simseq.

    Raises:
        ConfigError: it cannot be imported.
    """
    try:
        from fsl_mrs.denmatsim.simseq import simseq
    except ImportError as exc:
        raise ConfigError(
            f"--engine fsl needs FSL-MRS's simulator, which cannot be imported ({exc}); install FSL-MRS ({INSTALL}) or "
            "take --engine torch."
        ) from exc
    return simseq


def spin_systems(parts, centre_hz):
    """Spin systems of a metabolite as the simulator takes them, and only protons.

    Spins that do not feel each other are given one by one, which is faster, and coupled hetero-nuclei as the
    shifts that their states make (see `basis.spins.components`): the simulator would pulse and receive them.

    Args:
        parts: SpinSystems of one metabolite.
        centre_hz: spectrometer frequency (Hz).

    Returns:
        list of dict with shifts (ppm), j (Hz, upper triangle) and scaleFactor.
    """
    return [
        {
            "shifts": (np.array(one.shifts_ppm) + np.array(one.offsets_hz) / centre_hz * 1e6).tolist(),
            "j": np.triu(one.j_hz, 1).tolist(),
            "scaleFactor": one.weight,
        }
        for one in components(parts)
    ]


def simulate(sequences, names, systems=None, progress=None):
    """Simulate metabolites; as `basis.simulate.simulate`, but for the amplitude.

    Args:
        sequences: list of Sequence, one a condition.
        names: metabolites.
        systems: dict of name -> tuple of SpinSystem; the shipped table when None.
        progress: called as progress(done, total) after every metabolite.

    Returns:
        (condition, metabolite, point) complex128, memory orientation.

    Raises:
        ConfigError: the simulator is not there.
        BasisError: the sequence is not centred on the reference, or the simulator fails or gives another grid.
    """
    simseq = require_simulator()
    systems = find_systems(names, systems)
    for sequence in sequences:
        if abs(sequence.centre_ppm - REFERENCE_PPM) > 1e-6:
            raise BasisError(
                f"--engine fsl simulates with centralShift {REFERENCE_PPM} ppm, the frequency that FSL-MRS reads basis "
                f"sets with; {sequence.name} has {sequence.centre_ppm}; change it, or take --engine torch."
            )
    fids = np.zeros((len(sequences), len(names), sequences[0].points), dtype=complex)
    for number, name in enumerate(names):
        for condition, sequence in enumerate(sequences):
            description = sequence.to_json()
            for system in spin_systems(systems[name], sequence.centre_hz):
                fids[condition, number] += system["scaleFactor"] * _fid(simseq, system, description, name)
        if progress is not None:
            progress(number + 1, len(names))
    return fids


def _fid(simseq, system, description, name):
    """(point,) FID of one spin system, memory orientation."""
    try:
        # Copies, because the simulator turns lists into arrays in place.
        fid, _, _ = simseq(deepcopy(system), deepcopy(description))
    except (ValueError, KeyError, TypeError, IndexError) as exc:
        raise BasisError(
            f"FSL-MRS's simulator cannot simulate {name} with {description['sequenceName']} ({exc}); "
            "take --engine torch."
        ) from exc
    fid = np.asarray(fid, dtype=complex).ravel()
    if fid.size != description["Rx_Points"] or not np.isfinite(fid).all():
        raise BasisError(
            f"FSL-MRS's simulator gave {fid.size} points for {name} instead of {description['Rx_Points']} finite ones; "
            "take --engine torch."
        )
    return conjugate_for_disk(fid)
