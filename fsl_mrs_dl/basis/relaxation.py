"""Transverse relaxation of metabolites, as far as a pool of bases needs it: the width of their lines."""

import numpy as np

T2_S = {
    "Cr": 0.153,
    "PCr": 0.153,
    "NAA": 0.286,
    "GPC": 0.238,
    "PCh": 0.238,
    "Ch": 0.238,
    "GABA": 0.088,
    "Glu": 0.180,
    "Gln": 0.180,
    "Lac": 0.240,
}
"""T2 in the human brain at 3 T (s). Cr, NAA, choline: means over three regions of Wyss et al., Magn Reson Med
80:452 (2018). GABA: Edden et al., J Magn Reson Imaging 35:229 (2012). Glu, Gln: Ganji et al., NMR Biomed 25:523
(2012). Lac: Madan et al., Magn Reson Med 73:2094 (2015), in tumours. All as Gannet 3 (CalcIU.m) quotes them."""

T2_UNKNOWN_S = 0.150
"""T2 of metabolites without a value here (s): a middle value, for which `PoolPriors.t2_factor` leaves room."""


def broaden_by_t2(fids, t2_s, dwell_s):
    """Broaden lines by what their T2 is shorter than the longest one of the member.

    Of a decay exp(-t / T2), what all metabolites share belongs to the linewidth of the scan, which is drawn
    with the scan. What is left for metabolite m is exp(-t (1 / T2_m - 1 / max T2)). Time runs from the first
    point: signal lost before it is one factor a metabolite, which the scale of a basis does not hold. A
    concentration so is, as with every basis set, the amplitude at the echo; the correction for relaxation
    belongs to the quantification.

    Args:
        fids: (member, condition, metabolite, point).
        t2_s: (member, metabolite) (s).
        dwell_s: dwell time (s).

    Returns:
        FIDs of the same shape.
    """
    rate = 1 / t2_s - (1 / t2_s).min(-1, keepdims=True)
    times = np.arange(fids.shape[-1]) * dwell_s
    return fids * np.exp(-rate[:, None, :, None] * times)
