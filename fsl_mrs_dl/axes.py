"""Time, frequency and ppm axes; FID to spectrum; resampling.

The one home of every convention. Inside fsl_mrs_dl an FID has the orientation that FSL-MRS holds in
memory: a line at a frequency f > 0 is ``exp(+2j pi f t)`` and stands at ``REFERENCE_PPM + f / centre``,
above the receiver reference. Time starts at 0 with the first point. A spectrum is the unitary discrete
Fourier transform, ascending in frequency, of the FID with its first point halved (the half-sample of
the one-sided signal at t = 0; without it every line sits on a constant offset).

Files differ only by a complex conjugation, see `conjugate_for_disk`.
"""

import functools

import numpy as np
from scipy.signal import czt

from .errors import DataError

REFERENCE_PPM = 4.65
"""Chemical shift at frequency 0 for 1H (ppm): water at 37 C, as FSL-MRS has it."""

GYROMAGNETIC_HZ_PER_T = {"1H": 42.577478518e6}
"""Gyromagnetic ratio over 2 pi (Hz/T), CODATA 2018."""


def time_axis(points, dwell_s):
    """Times of an FID's points (s), shape (points,), starting at 0."""
    return np.arange(points) * dwell_s


def frequency_axis(points, dwell_s):
    """Frequencies of a spectrum's points (Hz), shape (points,), ascending, 0 at index points // 2."""
    return np.fft.fftshift(np.fft.fftfreq(points, dwell_s))


def ppm_axis(points, dwell_s, centre_hz):
    """Chemical shifts of a spectrum's points (ppm), shape (points,), ascending.

    Args:
        points: number of points.
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency (Hz).
    """
    return REFERENCE_PPM + frequency_axis(points, dwell_s) / centre_hz * 1e6


def ppm_to_hz(shift_ppm, centre_hz):
    """Frequency (Hz) relative to the receiver reference of a chemical shift (ppm)."""
    return (shift_ppm - REFERENCE_PPM) * centre_hz * 1e-6


def _fourier_module(array):
    """The module whose fft fits the array: numpy or torch (not imported for numpy arrays)."""
    if isinstance(array, np.ndarray):
        return np
    import torch

    return torch


def fid_to_spectrum(fid):
    """Spectrum of an FID: (..., point) complex, ascending in frequency; numpy or torch."""
    module = _fourier_module(fid)
    halved = module.concatenate([fid[..., :1] / 2, fid[..., 1:]], -1)
    return module.fft.fftshift(module.fft.fft(halved, norm="ortho"), (-1,))


def spectrum_points(fid, points):
    """Some points of the spectrum of an FID, as `fid_to_spectrum` has them, with less copying.

    Args:
        fid: (..., point) complex numpy array.
        points: slice or indices of the points wanted.

    Returns:
        (..., wanted) complex.
    """
    count = fid.shape[-1]
    wanted = (np.arange(count)[points] - count // 2) % count
    return (np.fft.fft(fid)[..., wanted] - fid[..., :1] / 2) / np.sqrt(count)


def zoomed_spectrum(fid, dwell_s, first_hz, last_hz, bins):
    """Spectrum of an FID at any evenly spaced frequencies: what zero-filling without end would show there.

    The chirp z-transform in torch (Bluestein's form: n k = (n^2 + k^2 - (k - n)^2) / 2 makes a convolution of it).
    At the frequencies of the FID's own grid it is `fid_to_spectrum`.

    Args:
        fid: (..., point) complex torch tensor.
        dwell_s: its dwell time (s).
        first_hz, last_hz: the first and the last frequency (Hz).
        bins: how many frequencies, at least 2.

    Returns:
        (..., bin) complex, in the FID's precision.
    """
    import torch

    points = fid.shape[-1]
    before, chirp, after = _chirps(points, dwell_s, first_hz, last_hz, bins, fid.dtype, fid.device)
    length = chirp.shape[-1]
    convolved = torch.fft.ifft(torch.fft.fft(fid * before, length) * chirp)
    return convolved[..., points - 1 : points - 1 + bins] * after


@functools.lru_cache(maxsize=8)
def _chirps(points, dwell_s, first_hz, last_hz, bins, dtype, device):
    """What `zoomed_spectrum` multiplies with: before the transform (point,), in it, and after it (bin,)."""
    import torch

    step = (last_hz - first_hz) / (bins - 1) * dwell_s
    n, k = np.arange(points), np.arange(bins)
    # Phases in double precision: n^2 reaches millions of turns.
    before = np.exp(-2j * np.pi * (first_hz * dwell_s * n + step * n**2 / 2)) / np.sqrt(points)
    before[0] /= 2
    chirp = np.exp(1j * np.pi * step * np.arange(-points + 1, bins) ** 2)
    length = 1 << (len(chirp) - 1).bit_length()
    factors = (before, np.fft.fft(chirp, length), np.exp(-1j * np.pi * step * k**2))
    # They are kept for later calls, which may be outside the inference mode of this one.
    with torch.inference_mode(False):
        return tuple(torch.as_tensor(part, dtype=dtype, device=device) for part in factors)


def spectrum_to_fid(spectrum):
    """FID of a spectrum, the inverse of `fid_to_spectrum`."""
    module = _fourier_module(spectrum)
    halved = module.fft.ifft(module.fft.ifftshift(spectrum, (-1,)), norm="ortho")
    return module.concatenate([halved[..., :1] * 2, halved[..., 1:]], -1)


def resample(fid, dwell_s, new_dwell_s, new_points):
    """FID on another time grid with the same spectrum in the shared band.

    The Fourier integral of the FID is evaluated on the new frequency grid (chirp z-transform), zero
    outside the old band, and transformed back: lines keep amplitude, phase and place. Times beyond the
    old FID are filled with zeros; times beyond the new one are cut.

    Args:
        fid: (..., point) complex numpy array.
        dwell_s: its dwell time (s).
        new_dwell_s: dwell time wanted (s).
        new_points: number of points wanted.

    Returns:
        (..., new_points) complex128.

    Raises:
        DataError: a dwell time or number of points is not positive.
    """
    if not (dwell_s > 0 and new_dwell_s > 0 and new_points > 0):
        raise DataError(
            f"Resampling needs positive dwell times and points, not {dwell_s} s, {new_dwell_s} s, {new_points}."
        )
    same_grid = np.isclose(dwell_s, new_dwell_s, rtol=1e-9, atol=0)
    if same_grid and fid.shape[-1] >= new_points:
        return np.array(fid[..., :new_points], dtype=complex)
    kept = min(fid.shape[-1], int(np.ceil(new_points * new_dwell_s / dwell_s - 1e-6)))
    halved = np.array(fid[..., :kept], dtype=complex)
    halved[..., 0] /= 2
    wanted_hz = frequency_axis(new_points, new_dwell_s)
    step = 1 / (new_points * new_dwell_s)
    spectrum = czt(
        halved,
        m=new_points,
        w=np.exp(-2j * np.pi * step * dwell_s),
        a=np.exp(2j * np.pi * wanted_hz[0] * dwell_s),
        axis=-1,
    )
    spectrum[..., np.abs(wanted_hz) > 0.5 / dwell_s] = 0
    # The Fourier integral scales with the dwell time; the unitary transform with the root of the length.
    return spectrum_to_fid(spectrum * (dwell_s / new_dwell_s) / np.sqrt(new_points))


def conjugate_for_disk(fid):
    """FID between memory and disk orientation (its own inverse).

    NIfTI-MRS and FSL-MRS basis JSON store the conjugate of the memory orientation: on disk a line at
    f > 0 lies below the reference. LCModel .RAW and .BASIS, once in the time domain, do so too.
    """
    return np.conj(fid)
