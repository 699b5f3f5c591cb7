"""Raw MEGA-PRESS scans for tests: coils, drift, phase jumps, eddy currents, an outlier in each condition, water."""

import numpy as np
from nifti_mrs.create_nmrs import gen_nifti_mrs

from fsl_mrs_dl import axes

from .conftest import CENTRE_HZ, make_basis

CONTENTS = np.array([1.0, 0.3, 1.2])
POINTS, DWELL_S = 1024, 5e-4
NOISE = 0.15


def clean_fids():
    """(condition, point) FIDs, edit-off first, without noise."""
    t = axes.time_axis(POINTS, DWELL_S)
    return np.einsum("m,cmp->cp", CONTENTS, make_basis(POINTS, DWELL_S).fids) * np.exp(-6 * t)


def raw_scan(order, coils=4, transients=8, outliers=True, seed=0):
    """Raw data (point, coil, transient, condition) in an edit order, and the water (point, coil, transient)."""
    random = np.random.default_rng(seed)
    t = axes.time_axis(POINTS, DWELL_S)[:, None, None, None]
    gain = (random.normal(size=coils) + 1j * random.normal(size=coils))[:, None, None]
    shift_hz = np.linspace(0, 4, transients)[:, None] + np.array([0, 0.3])
    phase_rad = 0.2 * random.normal(size=(transients, 2))
    eddy = np.exp(0.8j * np.exp(-t / 0.03))

    data = clean_fids().T[:, None, None, :] * np.exp(1j * (2 * np.pi * shift_hz * t + phase_rad))
    if outliers:
        for transient, condition, place_hz in ((3, 0, -150), (5, 1, -190)):
            data[:, 0, transient, condition] += 3 * np.exp((2j * np.pi * place_hz - 20) * t[:, 0, 0, 0])
    data = data * eddy * gain
    water = np.broadcast_to(300 * np.exp(-8 * t) * eddy * gain, (POINTS, coils, 2, 1))[..., 0]
    data, water = (x + NOISE * (random.normal(size=x.shape) + 1j * random.normal(size=x.shape)) for x in (data, water))
    return (data[..., ::-1] if order == "on-off" else data), water


def write_raw(path, data, tags, edit_header=None, **header):
    """NIfTI-MRS file of (point, dim_5, dim_6, dim_7)."""
    image = gen_nifti_mrs(data[None, None, None], DWELL_S, CENTRE_HZ * 1e-6, dim_tags=[*tags, None, None][:3])
    for key, value in header.items():
        image.add_hdr_field(key, value)
    if edit_header:
        image.set_dim_tag(tags.index("DIM_EDIT") + 4, "DIM_EDIT", header=edit_header)
    image.save(path)
    return path


def write_scans(folder, order, **options):
    """Paths of a raw scan and its water in a folder."""
    data, water = raw_scan(order, **options)
    return (
        write_raw(folder / "raw.nii.gz", data, ("DIM_COIL", "DIM_DYN", "DIM_EDIT")),
        write_raw(folder / "h2o.nii.gz", water, ("DIM_COIL", "DIM_DYN")),
    )
