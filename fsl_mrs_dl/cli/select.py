"""fsl_mrs_dl select: the sizes of a network that suit a basis set and a recipe."""

import shlex
import sys
from pathlib import Path

STUDY, RESULTS = "study.db", "results"
"""The study and the folder of its tables and plots, in the output folder."""


def add_arguments(parser):
    """Options of the command."""
    add = parser.add_argument
    add("--model", default="yae", help="network: yae, cnn, fcnn, hybrid or guarded (default: %(default)s)")
    add("--basis", nargs="+", help="a folder with off/ and on/, a folder of .json, or a .BASIS file (default: shipped)")
    add("--pool", help="HDF5 file of varied bases made by fsl_mrs_dl simulate --pool")
    add("--recipe", default="phantom", help="what the scans look like (default: %(default)s)")
    add("--number", type=int, default=10_000, help="scans of a trial, held-out ones included (default: %(default)s)")
    add("--epochs", type=int, default=30, help="passes of a trial through its scans (default: %(default)s)")
    add("--batch", type=int, default=64, help="scans per step (default: %(default)s)")
    add("--folds", type=int, default=0, help="k-fold validation (default: 80/20, once)")
    add("--trials", type=int, default=100, help="how many, those of earlier runs included (default: %(default)s)")
    add("--time", metavar="T", help="begin no trial after that long, such as 30m or 2h")
    add("--storage", help="database URL, SQLite file, or .log file on a shared folder, for several machines")
    add("--device", default="auto", choices=("auto", "cpu", "gpu"), help="where to train (default: %(default)s)")
    add("--seed", type=int, default=1, help="of scans, weights and proposals (default: %(default)s)")
    add("--output", required=True, help="folder of the study and its results; an earlier study there is continued")


def run(args):
    """Run trials, and write what was found so far."""
    from ..basis.basis_set import check_basis, read_basis, shipped_basis
    from ..basis.pool import read_pool
    from ..errors import ConfigError
    from ..synth.priors import recipe_named
    from ..train.loop import Hardware
    from ..train.select import Search, SelectConfig
    from ..train.study import best_error, open_study, run_trials
    from .train import seconds

    if args.trials < 1:
        raise ConfigError(f"--trials must be at least 1, not {args.trials}.")
    time_s = None if args.time is None else seconds(args.time)
    config = SelectConfig(args.model, args.number, args.folds, args.epochs, args.batch, args.seed)
    basis = read_basis(args.basis or shipped_basis())
    check_basis(basis)
    pool = read_pool(args.pool) if args.pool else None
    search = Search(config, basis, recipe_named(args.recipe), pool, Hardware(args.device))
    search.check()
    output = _folder(args)
    study = open_study(search, args.storage or output / STUDY, args.storage is not None)
    try:
        run_trials(search, study, args.trials, time_s, _tell)
    except KeyboardInterrupt:
        if best_error(study) is not None:
            _write(args, study, search, output / RESULTS)
        raise
    print(_write(args, study, search, output / RESULTS))
    return 0


def _folder(args):
    """The output folder, made where there is none.

    Raises:
        OutputError: it cannot be made, or it holds something else than a study.
    """
    from ..errors import OutputError

    folder = Path(args.output)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = {path.name for path in folder.iterdir()}
    except OSError as exc:
        raise OutputError(f"The output folder {folder} cannot be made ({exc.strerror}); choose another name.") from exc
    if names and not names & {STUDY, RESULTS}:
        raise OutputError(f"{folder} holds something else than a model selection; choose another name.")
    return folder


def _tell(trial, best):
    """One line about a finished trial."""
    outcome = f"error {trial.error:.4f}" if trial.state == "complete" else trial.state
    cost = "" if trial.mflop is None else f", {trial.mflop:.2f} MFLOP"
    so_far = "" if best is None else f"; best so far {best:.4f}"
    reason = f" ({trial.failure})" if trial.failure else ""
    print(f"trial {trial.number}: {outcome}{cost}, {trial.seconds:.0f} s{so_far}{reason}", file=sys.stderr)


def _write(args, study, search, folder):
    """Write the results, whole or not at all; returns what to do with them."""
    from ..folders import whole_folder
    from ..train.select_report import best, write_report
    from ..train.study import finished_trials, importances

    trials = finished_trials(study)
    found = best(trials)
    words = ["fsl_mrs_dl", "train", "--model", args.model, "--config", str(folder / "best.json")]
    words += ["--learning_rate", f"{found.parameters['learning_rate']:.3g}", "--batch", str(args.batch)]
    for name in ("basis", "pool", "recipe"):
        value = getattr(args, name)
        if value is not None:
            words += [f"--{name}", *(value if isinstance(value, list) else [str(value)])]
    command = shlex.join([*words, "--output", "mymodel"])
    with whole_folder(folder, overwrite=True) as partial:
        write_report(partial, trials, importances(study), search.settings(), command)
    return f"Best of {len(trials)} trials: error {found.error:.4f}, {found.mflop:.2f} MFLOP per scan.\n{command}"
