"""Shinnar-Le Roux design of linear-phase refocusing and excitation pulses.

Pauly J, Le Roux P, Nishimura D, Macovski A. Parameter relations for the Shinnar-Le Roux selective
excitation pulse design algorithm. IEEE Trans Med Imaging 10:53-65 (1991), doi 10.1109/42.75611.
A pulse of N points is a pair of polynomials (A, B) in z^-1 with |A|^2 + |B|^2 = 1 on the unit circle;
B is designed as a digital filter, A follows as its minimum-phase partner, and the pair is peeled point
by point into rotations.
"""

import numpy as np
from scipy.signal import remez

from ..errors import BasisError
from .pulses import Pulse

_FULL = 1 - 1e-6
"""Largest |B| designed: at exactly 1 the logarithm of |A| has no value."""


def slr(
    duration_s, flip_rad=np.pi, time_bandwidth=6.0, passband_ripple=0.01, stopband_ripple=0.01, points=128, name="slr"
):
    """A linear-phase Shinnar-Le Roux pulse.

    Args:
        duration_s: duration (s).
        flip_rad: flip angle in the pass band (rad): pi refocuses (crushed), pi / 2 excites.
        time_bandwidth: duration times full bandwidth at the middle of the transition.
        passband_ripple: ripple wanted of the profile in the slice, as a fraction of the signal.
        stopband_ripple: ripple wanted of the profile outside the slice, as a fraction of the signal.
        points: number of points.
        name: name of the pulse.

    Returns:
        Pulse of signed amplitude about one axis, calibrated by the design.

    Raises:
        BasisError: the ripples, bandwidth and number of points cannot be met together.
    """
    if not 0 < flip_rad <= np.pi:
        raise BasisError(f"An SLR pulse turns by more than 0 and at most pi rad, not {flip_rad}.")
    peak = min(np.sin(flip_rad / 2), _FULL)
    inner, outer = _filter_ripples(flip_rad, passband_ripple, stopband_ripple)
    transition = _transition_width(inner, outer) / time_bandwidth
    edges = 0.5 * time_bandwidth / points * np.array([1 - transition, 1 + transition])
    if not (time_bandwidth > 0 and 0 < edges[0] and edges[1] < 0.5):
        raise BasisError(
            f"No SLR pulse of time-bandwidth {time_bandwidth} with ripples {passband_ripple} and {stopband_ripple} in "
            f"{points} points; raise the time-bandwidth, the ripples or the points."
        )
    beta = remez(points, [0, *edges, 0.5], [1, 0], weight=[1, inner / outer], maxiter=200)
    beta = beta * peak / np.max(np.abs(np.fft.fft(beta, _transform_size(points))))
    nutation = _peel(_minimum_phase_partner(beta), beta)
    signed = (nutation * np.exp(-1j * np.angle(nutation[np.argmax(np.abs(nutation))]))).real
    return Pulse(signed * points / (2 * np.pi * duration_s), np.zeros(points), duration_s, name)


def _filter_ripples(flip_rad, passband, stopband):
    """Ripples of the filter B for ripples of the profile (Pauly 1991, table I: refocusing, else excitation)."""
    if not (0 < passband < 1 and 0 < stopband < 1):
        raise BasisError(f"Ripples are fractions between 0 and 1, not {passband} and {stopband}.")
    if flip_rad > 0.75 * np.pi:
        return passband / 4, np.sqrt(stopband)
    return np.sqrt(passband / 2), stopband / np.sqrt(2)


def _transition_width(inner, outer):
    """Transition width times duration of a linear-phase filter of given ripples (Pauly 1991, D infinity)."""
    one, two = np.log10(inner), np.log10(outer)
    return (5.309e-3 * one**2 + 7.114e-2 * one - 4.761e-1) * two + (-2.66e-3 * one**2 - 5.941e-1 * one - 4.278e-1)


def _transform_size(points):
    """Length of the Fourier transforms that sample a filter's response, long against its features."""
    return 1 << int(np.ceil(np.log2(128 * points)))


def _minimum_phase_partner(beta):
    """Coefficients of the minimum-phase A with |A|^2 = 1 - |B|^2 on the unit circle (by the cepstrum)."""
    size = _transform_size(beta.size)
    magnitude = np.sqrt(1 - np.abs(np.fft.fft(beta, size)) ** 2)
    cepstrum = np.fft.ifft(np.log(magnitude))
    cepstrum[1 : size // 2] *= 2
    cepstrum[size // 2 + 1 :] = 0
    return np.fft.ifft(np.exp(np.fft.fft(cepstrum)))[: beta.size]


def _peel(alpha, beta):
    """Rotation (rad, with phase) of every point of the pulse whose polynomials are alpha and beta."""
    alpha, beta = alpha.astype(complex), beta.astype(complex)
    turns = np.zeros(beta.size, dtype=complex)
    for last in range(beta.size - 1, -1, -1):
        ratio = beta[0] / alpha[0]
        turns[last] = 2 * np.arctan(np.abs(ratio)) * np.exp(1j * np.angle(-1j * ratio))
        cosine = 1 / np.sqrt(1 + np.abs(ratio) ** 2)
        sine = ratio * cosine
        alpha, beta = cosine * alpha + np.conj(sine) * beta, cosine * beta - sine * alpha
        alpha, beta = alpha[:last], beta[1 : last + 1]
    return turns
