"""Run every method on every case; estimates are kept as they come, so that a broken run goes on where it ended."""

import concurrent.futures
import hashlib
import json
import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from ..errors import ConfigError, DataError, OutputError
from ..threads import one_thread
from .methods import FAILURES, check_names

COLUMNS = (
    "method", "spectrum", "id", "series", "metabolite", "truth", "estimate", "seconds", "cpu_seconds", "failure",
)  # fmt: skip
"""Columns of the table of a study; a row is one metabolite of one scan by one spectrum of one method."""

SUFFIX = ".jsonl"
"""Ending of a file of estimates."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a method said about one scan.

    Attributes:
        estimates: {spectrum: {metabolite: concentration}} where it succeeded.
        failures: {spectrum: reason} where it failed.
        seconds: wall-clock time of the whole call, all spectra of the method.
        cpu_seconds: processor time of it, that of programs it started included.
    """

    estimates: dict[str, dict[str, float]]
    failures: dict[str, str]
    seconds: float
    cpu_seconds: float

    def __post_init__(self):
        values = [value for found in self.estimates.values() for value in found.values()]
        whole = all(isinstance(value, float) for value in (self.seconds, self.cpu_seconds, *values))
        if not whole or not all(isinstance(reason, str) for reason in self.failures.values()):
            raise DataError("An outcome holds numbers and reasons; remove the file of estimates that it is from.")


def run_study(cases, methods, folder, workers=1, progress=True):
    """Estimates of all methods for all cases.

    Estimates that the folder holds of the same method (its version) and the same scan (its FIDs) are taken from
    there. Metabolites of a case that a method does not estimate have no row, and neither have those without a truth.

    Args:
        cases: as `cases.read_cases` gives them.
        methods: of `methods.Method`.
        folder: keeps the estimates, NAME.jsonl for each method; made if it does not exist.
        workers: processes that share the scans of a method. Times are of one scan each, but processes that run at
            once slow each other down.
        progress: whether a bar is shown.

    Returns:
        DataFrame with the columns `COLUMNS`, by method, spectrum, case and metabolite in the order given. truth is in
        the case's unit, estimate in the method's, NaN where there is none; failure says why, else it is "". seconds
        and cpu_seconds are of the scan with all spectra of the method, the same in each of its rows.

    Raises:
        ConfigError: two methods have one name, or `workers` is below 1.
        OutputError: the folder cannot be written.
    """
    check_names(methods)
    if workers < 1:
        raise ConfigError(f"--workers must be 1 or more, not {workers}.")
    folder = Path(folder)
    rows = []
    for method in methods:
        outcomes = _outcomes(method, cases, folder, workers, progress)
        for spectrum in method.spectra:
            for case, outcome in zip(cases, outcomes, strict=True):
                rows.extend(_rows(method, spectrum, case, outcome))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _rows(method, spectrum, case, outcome):
    """Rows of one spectrum of a scan."""
    found = outcome.estimates.get(spectrum, {})
    for name in (name for name in method.metabolites if name in case.truth):
        value = found.get(name, np.nan)
        failure = outcome.failures.get(spectrum, "")
        if not failure and not np.isfinite(value):
            value, failure = np.nan, f"the estimate of {name} is not a finite number"
        head = (method.name, spectrum, case.id, case.series, name, case.truth[name])
        yield (*head, value, outcome.seconds, outcome.cpu_seconds, failure)


def _outcomes(method, cases, folder, workers, progress):
    """Outcome of a method for each case, from its file where it is there."""
    path = folder / f"{method.name}{SUFFIX}"
    keys = [_key(method, case) for case in cases]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        done = _read(path)
    except OSError as exc:
        raise OutputError(f"{folder} cannot keep estimates ({exc.strerror}); choose another --output.") from exc
    missing = {key: case.scan for key, case in zip(keys, cases, strict=True) if key not in done}
    bar = tqdm(total=len(cases), initial=len(cases) - len(missing), desc=method.name, disable=not progress, leave=False)
    try:
        with bar, path.open("a", encoding="utf-8") as file:
            for key, outcome in _computed(method, missing, workers):
                # A leading line end closes a line that a killed run left unfinished.
                file.write("\n" + json.dumps({"key": key, **vars(outcome)}) + "\n")
                file.flush()
                done[key] = outcome
                bar.update()
    except OSError as exc:
        raise OutputError(
            f"{path} cannot be written ({exc.strerror}); free some space and give the command again to go on."
        ) from exc
    return [done[key] for key in keys]


def _computed(method, scans, workers):
    """(key, Outcome) of each of the scans {key: Scan}, in any order."""
    if workers == 1 or len(scans) < 2:
        with one_thread():
            for key, scan in scans.items():
                yield key, outcome_of(method, scan)
        return
    # A new process has none of this one's threads, which a copy of it would wait for.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(workers, context, torch.set_num_threads, (1,)) as pool:
        waiting = {pool.submit(outcome_of, method, scan): key for key, scan in scans.items()}
        for future in concurrent.futures.as_completed(waiting):
            yield waiting[future], future.result()


def outcome_of(method, scan):
    """Outcome of a method for a Scan; its failures are part of it."""
    start, before = time.perf_counter(), _cpu_seconds()
    try:
        found = method.fit(scan)
    except FAILURES as exc:
        found = dict.fromkeys(method.spectra, exc)
    seconds, cpu_seconds = time.perf_counter() - start, _cpu_seconds() - before
    estimates, failures = {}, {}
    for spectrum in method.spectra:
        values = found.get(spectrum, DataError("there is no estimate"))
        if isinstance(values, Exception):
            failures[spectrum] = " ".join(f"{type(values).__name__}: {values}".split())
        elif not any(value > 0 for value in values.values()):
            failures[spectrum] = "no estimate is above 0"
        else:
            estimates[spectrum] = {name: float(value) for name, value in values.items()}
    return Outcome(estimates, failures, seconds, cpu_seconds)


def _cpu_seconds():
    """Processor time (s) of this process and of those it has waited for."""
    return sum(os.times()[:4])


def _key(method, case):
    """SHA-256 (hexadecimal) of all that decides an estimate: the method's version and the scan."""
    scan = case.scan
    head = [method.version, list(method.spectra), list(method.metabolites), list(scan.conditions)]
    head += [scan.dwell_s, scan.centre_hz, scan.nucleus]
    digest = hashlib.sha256(json.dumps(head).encode())
    digest.update(np.ascontiguousarray(scan.fids).tobytes())
    return digest.hexdigest()


def _read(path):
    """{key: Outcome} of a file of estimates; a line that is no outcome is passed over, and computed again."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    done = {}
    for line in filter(None, lines):
        try:
            values = json.loads(line)
            key = values.pop("key")
            done[key] = Outcome(**values)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            # Half a line of a killed run, or something else: computed again.
            continue
    return done
