"""The study of a model selection: where its trials are kept, and running them.

Optuna keeps trials in a database (SQLite or any that SQLAlchemy reaches) or in a journal, as numbers and JSON.
"""

import json
import warnings
from dataclasses import dataclass

import optuna
from optuna.storages import JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

from ..errors import ConfigError, ModelError, OutputError
from .select import FAILURES
from .work_folder import first_difference

STARTUP_TRIALS = 8
"""Trials drawn at random before the Gaussian process proposes, and before poor ones are stopped."""

PRUNE_AFTER_EPOCHS = 3
"""From which epoch on a trial worse than the median of the earlier ones, at the same epoch, is stopped."""

HEARTBEAT_S = 60
"""How often a running trial shows in a database that it lives (s); silent for three times that, it has failed."""

DONE = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)

STORAGE_ERRORS = (SQLAlchemyError, ImportError, OSError, optuna.exceptions.OptunaError)


@dataclass(frozen=True)
class Trial:
    """One trial of a study, as tables and plots need it.

    Attributes:
        number: from 0.
        state: complete, pruned or failed.
        error: mean over metabolites of the mean absolute errors of concentrations relative to the largest; None for a
            trial that did not end.
        errors: by metabolite.
        mflop: floating-point operations of one scan (10^6), None where unknown.
        seconds: that it took (s).
        options: of the network, as its configuration has them.
        parameters: point in the space that was searched.
        failure: why it failed, or empty.
    """

    number: int
    state: str
    error: float | None
    errors: dict
    mflop: float | None
    seconds: float
    options: dict
    parameters: dict
    failure: str = ""


def open_study(search, storage, shared=False):
    """The study of a storage, new or as far as it came.

    Args:
        search: select.Search.
        storage: database URL (with ://), or the name of an SQLite file; a name that ends in .log is a journal, which
            also works on folders that machines share.
        shared: whether other machines run trials of it too, and need other proposals.

    Returns:
        optuna Study.

    Raises:
        ConfigError: the storage cannot be opened, or its study was begun with other settings.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    settings = search.settings()
    try:
        study = optuna.create_study(
            storage=_storage(str(storage)), study_name=f"fsl_mrs_dl {search.config.network}", load_if_exists=True
        )
        begun = study.user_attrs.get("settings")
        if begun is None:
            study.set_user_attr("settings", settings)
            begun = study.user_attrs["settings"]
        trials = len(study.get_trials(deepcopy=False))
    except (*STORAGE_ERRORS, ValueError, KeyError) as exc:
        # What a database says may hold its address, and that a password.
        raise ConfigError(
            f"The study cannot be opened ({type(exc).__name__}); give another --storage or --output."
        ) from exc
    difference = first_difference(begun, json.loads(json.dumps(settings)))
    if difference:
        name, old, new = difference
        raise ConfigError(
            f"This study was begun with another {name} ({str(old)[:60]}, not {str(new)[:60]}): give the same options "
            "to continue it, or another --output or --storage."
        )
    seed = None if shared else search.config.seed + trials
    study.sampler = optuna.samplers.GPSampler(
        seed=seed, n_startup_trials=STARTUP_TRIALS, warn_independent_sampling=False
    )
    study.pruner = optuna.pruners.MedianPruner(STARTUP_TRIALS, PRUNE_AFTER_EPOCHS)
    return study


def _storage(storage):
    """Optuna's storage of a database URL or a file name."""
    if storage.endswith(".log"):
        return JournalStorage(JournalFileBackend(storage))
    url = storage if "://" in storage else f"sqlite:///{storage}"
    return RDBStorage(url, heartbeat_interval=HEARTBEAT_S, grace_period=3 * HEARTBEAT_S)


def run_trials(search, study, trials, time_s=None, watch=None):
    """Run trials until the study has as many as are wanted, those of other machines and earlier runs included.

    Args:
        search: select.Search.
        study: of `open_study`.
        trials: how many, with those that were stopped early or failed.
        time_s: no trial is begun after so long (s); None for no limit.
        watch: function called with each finished `Trial` and the study's best error so far (None before the first).

    Raises:
        OutputError: the study cannot be kept, for instance on a full disk.
    """
    if len(study.get_trials(deepcopy=False, states=DONE)) >= trials:
        return
    callbacks = [optuna.study.MaxTrialsCallback(trials, states=DONE)]
    if watch is not None:
        callbacks.append(lambda study, trial: watch(_trial(trial), best_error(study)))
    try:
        study.optimize(search.objective, timeout=time_s, catch=FAILURES, callbacks=callbacks)
    except (SQLAlchemyError, OSError, optuna.exceptions.StorageInternalError) as exc:
        raise OutputError(
            f"The study cannot be kept ({type(exc).__name__}): free space or reach its database again, then give the "
            "same command to continue."
        ) from exc


def best_error(study):
    """The smallest error of the study's complete trials; None before the first."""
    return min((trial.value for trial in study.get_trials(deepcopy=False, states=DONE[:1])), default=None)


def finished_trials(study):
    """All trials that ended, in order.

    Raises:
        ModelError: none is complete.
    """
    found = [_trial(trial) for trial in study.get_trials(deepcopy=False, states=DONE)]
    if not any(trial.state == "complete" for trial in found):
        failures = [trial.failure for trial in found if trial.failure]
        reason = f" The first failed with: {failures[0]}" if failures else " Give more --trials or --time."
        raise ModelError(f"None of {len(found)} trials is complete.{reason}")
    return found


def _trial(frozen):
    """Optuna's record of a trial as a `Trial`."""
    kept = frozen.user_attrs
    complete = frozen.state == TrialState.COMPLETE
    return Trial(
        frozen.number,
        {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned"}.get(frozen.state, "failed"),
        frozen.value if complete else None,
        kept.get("errors", {}),
        kept.get("mflop"),
        frozen.duration.total_seconds() if frozen.duration else 0.0,
        kept.get("options", {}),
        dict(frozen.params),
        kept.get("failure", ""),
    )


def importances(study):
    """Share of each searched parameter in the spread of the errors (PED-ANOVA, Watanabe et al., IJCAI 2023)."""
    with warnings.catch_warnings():
        # It warns where trials are so few that it finds all parameters alike; the numbers say so themselves.
        warnings.simplefilter("ignore", UserWarning)
        return optuna.importance.get_param_importances(
            study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
        )
