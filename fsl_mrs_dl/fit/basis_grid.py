"""The basis on a scan's time grid as FSL-MRS will have it, so that it recomputes the fit that was shown.

FSL-MRS adds or cuts whole points at both ends of the basis's spectrum (first point not halved), then cuts
the FID. Where that leads to the scan's bandwidth it is done here alike; it differs from
`fsl_mrs_dl.axes.resample` by some 0.1 % of a line's height. Elsewhere FSL-MRS would round the bandwidth, and
move lines; then the exact resampling is taken, and the result folder gets that basis (see `fsl_folder`).
"""

import dataclasses

import numpy as np

_WHOLE = 1e-3  # points; bandwidths are stored as dwell times of limited precision


def read_alike(basis, scan):
    """Whether FSL-MRS brings a BasisSet to the grid of a Scan without rounding or running out of points."""
    added = _added_points(basis, scan.dwell_s)
    last_s, needed_s = ((one.points - 1) * one.dwell_s for one in (basis, scan))
    return bool(round(last_s, 9) >= round(needed_s, 9) and abs(added - round(added)) < _WHOLE)


def on_grid(basis, scan):
    """BasisSet on the time grid of a Scan.

    Raises:
        BasisError: the basis ends before the scan, and has not decayed by then.
    """
    if not read_alike(basis, scan):
        return basis.resample(scan.dwell_s, scan.points)
    added = round(_added_points(basis, scan.dwell_s))
    fids = basis.fids
    if added:
        spectra = np.fft.fftshift(np.fft.fft(fids), -1)
        if added > 0:
            spectra = np.pad(spectra, ((0, 0), (0, 0), (added, added)))
        else:
            spectra = spectra[..., -added:added]
        fids = np.fft.ifft(np.fft.ifftshift(spectra, -1)) * (spectra.shape[-1] / basis.points)
    return dataclasses.replace(basis, fids=fids[..., : scan.points], dwell_s=scan.dwell_s)


def _added_points(basis, dwell_s):
    """Points of the spectrum to add at either end for another dwell time; negative to cut."""
    return basis.points * (basis.dwell_s / dwell_s - 1) / 2
