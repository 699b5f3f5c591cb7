"""Which of two edited spectra is edit-on: from the header, from the signal, or by the user's word."""

import re

import numpy as np

from ..axes import fid_to_spectrum, ppm_axis, time_axis
from ..errors import ConfigError, DataError
from .order_fit import left_unexplained

ORDERS = ("on-off", "off-on")
EDITING_PPM = 1.9
"""Chemical shift of the edit-on pulse that refocuses GABA."""

EDITING_TOLERANCE_PPM = 0.4
NAA_SEARCH_PPM = (1.7, 2.32)
"""NAA's singlet at 2.01 ppm, with room for a reference that is 0.3 ppm off."""

DECISIVE_RATIO = 2.0
DECISIVE_SIGMA = 5.0

DECISIVE_FIT = 1.1
"""What the wrong order leaves unexplained relative to the right one, at least; chosen on simulated scans of random
contents (docs/preprocessing.md)."""

MOST_RATIO = 100.0
"""Largest such ratio that is told."""

DETECTED = {
    "fit": "taken the other way round, a fit leaves {ratio:.1f} times as much unexplained",
    "naa": "the NAA line is {ratio:.1f} times lower in edit-on",
}
"""How an order was found: why it is right."""

CONTRADICTED = {
    "fit": "a fit leaves {ratio:.1f} times as much unexplained as taken the other way round",
    "naa": "the NAA line is {ratio:.1f} times lower in the spectrum taken as edit-off",
}
"""The same: why another one is wrong."""


def check_order(edit_order):
    """Refuse an edit order other than "on-off", "off-on" or None.

    Raises:
        ConfigError: it is something else.
    """
    if edit_order is not None and edit_order not in ORDERS:
        raise ConfigError(f"--edit_order must be {' or '.join(ORDERS)}, not '{edit_order}'.")


def decide(fids, dwell_s, centre_hz, header, dimension, forced, name):
    """Order of the edit dimension and the words that tell how it was found.

    Args:
        fids: (2, point) in the file's order, memory orientation.
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency (Hz).
        header: NIfTI-MRS JSON header.
        dimension: number (5 to 7) of the edit dimension, whose dim_N_header may name the conditions.
        forced: "on-off", "off-on" or None, see `check_order`.
        name: the scan, for messages.

    Returns:
        ("on-off" or "off-on", notes)

    Raises:
        DataError: neither header nor signal decides.
    """
    seen, how, ratio = signal_order(fids, dwell_s, centre_hz)
    if forced is not None:
        return forced, (f"Edit order {forced}, as asked for.", *_contradiction(forced, seen, how, ratio))
    named, source = header_order(header, dimension)
    if named is not None:
        said = f"Edit order {named}, from {source} in the header."
        return named, (said, *_contradiction(named, seen, how, ratio))
    if seen is None:
        raise DataError(
            f"{name}: the header does not name the edit conditions, and neither a fit of both orders nor the NAA line "
            f"(heights differ {ratio:.1f}-fold, {DECISIVE_RATIO:g} is needed) tells them apart; say --edit_order "
            "on-off or off-on."
        )
    return seen, (f"Edit order {seen}, detected: {DETECTED[how].format(ratio=ratio)}.",)


def _contradiction(order, seen, how, ratio):
    """A warning if the signal decidedly shows the other order."""
    if seen in (None, order):
        return ()
    why = CONTRADICTED[how].format(ratio=ratio)
    return (f"Warning: the spectra look like the other order ({why}); if they are, say --edit_order {seen}.",)


def signal_order(fids, dwell_s, centre_hz):
    """Order of two spectra by what they look like: by a fit, or where that does not tell, by NAA's singlet.

    Args:
        fids: (2, point), memory orientation.
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency (Hz).

    Returns:
        "on-off", "off-on" or None where neither is decisive; "fit" or "naa", by which it was found; and how decisive
        that is, see `DETECTED`.
    """
    left = left_unexplained(fids, dwell_s, centre_hz)
    if left is not None and max(left) > DECISIVE_FIT * min(left):
        # Without noise, nothing is left of the right one.
        return ("off-on" if left[0] < left[1] else "on-off"), "fit", min(max(left) / max(min(left), 1e-9), MOST_RATIO)
    order, ratio = naa_order(fids, dwell_s, centre_hz)
    return order, "naa", ratio


def naa_order(fids, dwell_s, centre_hz):
    """Order of two spectra by NAA's singlet, which the edit-on pulse suppresses.

    The line is sought where the two spectra differ most around 2.01 ppm, so that neither the reference nor
    the phase of the scan matters. Early times are weighted down: magnitude spectra then have
    no wings of water and no broad baseline. Where there is little NAA, lines of Glu or GABA may be taken for it.

    Args:
        fids: (2, point), memory orientation.
        dwell_s: dwell time (s).
        centre_hz: spectrometer frequency (Hz).

    Returns:
        ("on-off", "off-on" or None where it is not decisive, ratio of the larger to the smaller line height)
    """
    spectra = narrow_lines(fids, dwell_s)
    ppm = ppm_axis(fids.shape[-1], dwell_s, centre_hz)
    search = (ppm > NAA_SEARCH_PPM[0]) & (ppm < NAA_SEARCH_PPM[1])
    if np.count_nonzero(search) < 4:
        return None, 1.0
    place = ppm[search][np.argmax(np.abs(spectra[1] - spectra[0])[search])]
    near = np.abs(ppm - place) < 5 / centre_hz * 1e6
    heights = np.abs(spectra)[:, near].max(-1)
    sigma = noise_sigma(spectra)
    ratio = heights.max() / max(heights.min(), sigma, np.finfo(float).tiny)
    if ratio < DECISIVE_RATIO or np.ptp(heights) < DECISIVE_SIGMA * sigma:
        return None, ratio
    return ("on-off" if heights[0] < heights[1] else "off-on"), ratio


def noise_sigma(spectra):
    """Standard deviation of the real part of the noise in spectra (..., point), all taken together.

    From the median power half-way to the edges of the band: few lines lie there, and
    scanners' filters only reach the outermost part.
    """
    points = spectra.shape[-1]
    distance = np.abs(np.arange(points) - points // 2) / (points / 2)
    power = np.abs(spectra[..., (distance > 0.5) & (distance < 0.8)]) ** 2
    return np.sqrt(np.median(power) / (2 * np.log(2)))


def narrow_lines(fids, dwell_s, rise_s=5e-3, decay_hz=3.0):
    """Spectra (..., point) without what is broad: the FID's first milliseconds are weighted down.

    Args:
        fids: (..., point).
        dwell_s: dwell time (s).
        rise_s: time by which the weight 1 - exp(-(t / rise_s)^2) has risen (s).
        decay_hz: Lorentzian filter against noise (Hz).
    """
    t = time_axis(fids.shape[-1], dwell_s)
    return fid_to_spectrum(fids * -np.expm1(-((t / rise_s) ** 2)) * np.exp(-np.pi * decay_hz * t))


def header_order(header, dimension):
    """Order of the edit dimension as a NIfTI-MRS header names it.

    Understood are EditCondition (labels that say on and off, or label entries of EditPulse) and EditPulse
    (pulses with their PulseOffset, or offsets, in ppm; the one near 1.9 ppm is on), in
    dim_N_header or at the top.

    Returns:
        ("on-off", "off-on" or None, name of the field that told)
    """
    own = header.get(f"dim_{dimension}_header")
    own = own if isinstance(own, dict) else {}
    pulses = _plain(own.get("EditPulse", header.get("EditPulse")))
    labels = _plain(own.get("EditCondition", header.get("EditCondition")))
    if isinstance(labels, (list, tuple)) and len(labels) == 2:
        order = _order_of_labels(labels) or _order_of_offsets([_offset(label) for label in labels])
        if order is not None:
            return order, "EditCondition"
        if isinstance(pulses, dict):
            order = _order_of_offsets([_offset(pulses.get(str(label))) for label in labels])
            if order is not None:
                return order, "EditPulse"
    if isinstance(pulses, (list, tuple)) and len(pulses) == 2:
        order = _order_of_labels(pulses) or _order_of_offsets([_offset(pulse) for pulse in pulses])
        if order is not None:
            return order, "EditPulse"
    return None, None


def _plain(value):
    """A header value out of its {"Value": ..., "Description": ...} wrapping."""
    return value["Value"] if isinstance(value, dict) and "Value" in value else value


def _order_of_labels(labels):
    """Order of two labels such as "ON" and "edit_off", None if they do not say on and off."""
    said = []
    for label in labels:
        words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", label) if isinstance(label, str) else []
        said.append({word.lower() for word in words} & {"on", "off"})
    if said == [{"on"}, {"off"}]:
        return "on-off"
    if said == [{"off"}, {"on"}]:
        return "off-on"
    return None


def _offset(pulse):
    """Offset (ppm) of an editing pulse: a number, a text that starts with one, or a dictionary; else None."""
    if isinstance(pulse, dict):
        pulse = pulse.get("PulseOffset")
    if isinstance(pulse, str):
        match = re.match(r"\s*([-+]?\d+(?:\.\d*)?)\s*(?:ppm)?\s*$", pulse)
        pulse = float(match.group(1)) if match else None
    return float(pulse) if isinstance(pulse, (int, float)) and not isinstance(pulse, bool) else None


def _order_of_offsets(offsets_ppm):
    """Order of two pulse offsets: on is the one near 1.9 ppm; None if neither or both are."""
    if None in offsets_ppm:
        return None
    first, second = (abs(offset - EDITING_PPM) for offset in offsets_ppm)
    if min(first, second) > EDITING_TOLERANCE_PPM or abs(first - second) < 0.1:
        return None
    return "on-off" if first < second else "off-on"
