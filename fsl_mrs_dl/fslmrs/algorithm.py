"""The algorithm 'dl' of FSL-MRS: its fit_FSLModel, with networks.

This module is loaded with FSL-MRS, so it imports nothing else before a fit is asked for.
"""

import functools
import inspect
import sys


def is_dl(method):
    """Whether the name of an algorithm is dl, dl:NAME or dl:FOLDER."""
    return isinstance(method, str) and (method == "dl" or method.startswith("dl:"))


def with_dl(fit_FSLModel):
    """FSL-MRS's fit_FSLModel, which also knows dl and dl:MODEL; it passes everything else on as it is."""
    signature = inspect.signature(fit_FSLModel)

    @functools.wraps(fit_FSLModel)
    def fit(*args, **kwargs):
        """Fit with a network where the method is dl, else as FSL-MRS does."""
        method = kwargs.get("method", args[1] if len(args) > 1 else None)
        if not is_dl(method):
            return fit_FSLModel(*args, **kwargs)
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        options = ("mrs", "method", "ppmlim", "baseline", "baseline_order", "metab_groups", "model")
        return fit_dl(**{name: given.arguments[name] for name in options})

    fit.fsl_mrs_dl = True
    return fit


def with_dl_summary(svs_methods_summary):
    """FSL-MRS's text on methods, which also says what a network did."""

    @functools.wraps(svs_methods_summary)
    def summary(res):
        """FSL-MRS's text, with that on the network behind it for results of one."""
        text = svs_methods_summary(res)
        if res.method != "dl":
            return text
        from .results import dl_summary

        return dl_summary(text, res)

    summary.fsl_mrs_dl = True
    return summary


def with_usable_voxels(MRSI):
    """FSL-MRS's class of imaging data; where its command fits with dl, voxels without a signal are left out.

    They would make the mean NaN that the command fits first, or end it when their turn comes. Fits with other
    algorithms are left alone.
    """
    mean = MRSI.mrs_from_average

    @functools.wraps(mean)
    def mrs_from_average(self):
        """Mean over the mask, without voxels that have no signal where the command fits with dl."""
        if asked_for_dl(sys.argv):
            leave_out_empty(self)
        return mean(self)

    MRSI.mrs_from_average = mrs_from_average
    MRSI.fsl_mrs_dl = True
    return MRSI


def asked_for_dl(words):
    """Whether the words of a command of FSL-MRS hold --algo dl, in any of its forms."""
    pairs = [*zip(words, words[1:]), *(word.split("=", 1) for word in words if "=" in word)]
    return any(option == "--algo" and is_dl(value) for option, value in pairs)


def leave_out_empty(mrsi):
    """Take voxels without a usable FID out of the mask of an MRSI object, and say which.

    Raises:
        DataError: none is left.
    """
    import numpy as np

    from ..errors import DataError
    from ..fit.volume import about_empty

    mask = np.array(mrsi.mask, dtype=bool)
    places = np.argwhere(mask)
    usable = np.array([np.isfinite(fid).all() and fid.any() for fid in (mrsi.data[tuple(at)] for at in places)])
    if not usable.any():
        raise DataError(
            f"None of the {len(places)} voxels of the mask holds a finite FID that is not zero; check mask and data."
        )
    if not usable.all():
        mask[tuple(places[~usable].T)] = False
        mrsi.set_mask(mask)
        mrsi.num_masked_voxels = int(mask.sum())
        print(about_empty(places[~usable], len(places)), file=sys.stderr)


def fit_dl(mrs, method, ppmlim, baseline, baseline_order, metab_groups, model):
    """Fit one spectrum with a network; arguments as of FSL-MRS's fit_FSLModel.

    Starting values and the options of MH have no meaning here.

    Returns:
        DlFitRes.

    Raises:
        ModelError: no model fits the basis set, or the named one does not.
        DataError: the spectrum cannot be fitted.
    """
    import numpy as np
    from fsl_mrs.utils.baseline import Baseline
    from fsl_mrs.utils.constants import nucleus_constants

    from ..errors import ConfigError
    from ..fit.result import ModelRecord
    from ..fit.voigt import nonlinear_parameters
    from .choose import choose_model
    from .convert import basis_factors, basis_of, ignored_names
    from .results import DlFitRes, complete_vector

    ppmlim = nucleus_constants(mrs.nucleus).ppm_range if ppmlim is None else ppmlim
    if ppmlim is None:
        raise ConfigError(f"There is no default range for {mrs.nucleus}: give ppmlim.")
    basis = basis_of(mrs)
    groups = [0] * len(basis.names) if metab_groups is None else list(metab_groups)
    network = choose_model(method.partition(":")[2] or None, basis, ignored_names(mrs))
    prediction, notes, trust = _predict(network, mrs, basis)

    values = dict(zip(prediction.names, prediction.concentrations))
    factors = basis_factors(mrs, mrs.basis)
    relative = np.array([values[name] for name in basis.names]) / factors
    line = nonlinear_parameters(prediction, mrs.dwellTime, mrs.centralFrequency, basis.centre_hz)
    baseline_object = Baseline(mrs, ppmlim, baseline, baseline_order)
    vector = complete_vector(mrs, relative, line, model, groups, baseline_object, ppmlim)
    record = ModelRecord.of(network)
    covariance = None
    if prediction.uncertainty is not None:
        order = [prediction.names.index(name) for name in basis.names]
        scales = vector[: len(relative)].sum() / relative.sum() / factors
        covariance = prediction.uncertainty.take(metabolites=order).covariance * np.outer(scales, scales)
    return DlFitRes(mrs, vector, model, groups, baseline_object, ppmlim, record, notes, covariance, trust)


def _predict(network, mrs, basis):
    """Prediction of the network for the FID of an MRS object, notes and Trust; what is amiss is told too."""
    import warnings

    from ..fit.predict import look, predict_prepared, prepare
    from ..threads import one_thread
    from .convert import scan_of

    prepared = prepare(network, scan_of(mrs), basis)
    with one_thread():
        seen = look(network, prepared.fids[None])
        prediction = predict_prepared(network, prepared, seen)
        (trust,) = _judge(network, basis, mrs.dwellTime)(seen)
    notes = (*prepared.notes, *prediction.notes)
    for note in notes:
        warnings.warn(note, stacklevel=2)
    if trust.reasons:
        _tell(f"Trust: {trust.text()}")
    return prediction, notes, trust


def _tell(text):
    """A warning; where FSL-MRS's command for single spectra runs, which shows none, a line on standard error."""
    import warnings
    from pathlib import Path

    if Path(sys.argv[0]).stem == "fsl_mrs":
        print(text, file=sys.stderr)
    else:
        warnings.warn(text, stacklevel=3)


_JUDGES = {}
"""The last judge, by the weights of its model and the dwell time."""


def _judge(network, basis, dwell_s):
    """Judge of spectra of a dwell time (s), made once for the voxels of imaging."""
    from ..fit.trust import Judge

    key = (network.weights_sha256, dwell_s)
    judge = _JUDGES.get(key)
    if judge is None:
        judge = Judge(network, basis, 1 / dwell_s)
        _JUDGES.clear()
        _JUDGES[key] = judge
    return judge
