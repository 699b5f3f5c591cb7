"""fsl_mrs_dl calibrate: error bars of a model, learnt from simulated scans, and how often they hold on others."""

import sys

OWN = "basis"
"""Stands for the model's own basis set where a pool's file may be named."""

PRIOR_SCANS = 1000
"""Simulated scans that typical errors of a hybrid network are taken from."""

FEW_BASES = 64
"""With so many bases or fewer intervals hold less well on others: with 64 they were up to 4.2 points off in a tenth of
the range, with 256 up to 1.9, by an earlier method (docs/error-bars.md)."""


def add_arguments(parser):
    """Options of the command."""
    add = parser.add_argument
    add("--model", required=True, help="name or folder of the model")
    add("--pool", help="write the model's calibration.json (of a hybrid network prior.json too), from scans of the "
        "bases in this HDF5 file ('basis': of the model's own basis set)")  # fmt: skip
    add("--shifts", nargs="+", metavar="POOL", help="bases unlike those of the training, from which --pool learns how "
        "much larger errors are where the network leaves more of a scan unexplained")  # fmt: skip
    add("--test", nargs="+", metavar="POOL", help="measure how often the intervals hold, on the bases of these files")
    add("--output", help="folder to make for the tables and the reliability plot of --test")
    add("--overwrite", action="store_true", help="replace that folder, and the calibration that the model has")
    add("--pool_spectrum", choices=("edit_off", "edit_on", "difference"), help="of edited pools, what the model takes")
    add("--basis", nargs="+", help="basis set of the model (default: the shipped one)")
    add("--recipe", help="what the scans look like (default: as in the model's training)")
    add("--number", type=int, default=80_000, help="scans from each file (default: %(default)s)")
    add("--refine", type=int, metavar="N", help="steps that refine the estimates (default: none)")
    add("--seed", type=int, default=1001, help="of the scans; those of --test take the next one (default: %(default)s)")


def run(args):
    """Calibrate the model, measure its coverage, or both."""
    from ..errors import ConfigError, OutputError
    from ..fit.predict import check_basis_fits
    from ..fit.quantify import basis_for
    from ..folders import check_free, whole_folder
    from ..model.calibration import FILE
    from ..model.card import trained_recipe
    from ..model.checkpoint import load_model, model_folder
    from ..model.refine import MAX_STEPS
    from ..model.scanner import FILE as SCANNER
    from ..synth.priors import recipe_named

    if not args.pool and not args.test:
        raise ConfigError("Nothing to do: give --pool FILE to calibrate the model, --test FILE to test it, or both.")
    if bool(args.test) != bool(args.output):
        raise ConfigError("--test and --output, the folder of its tables and plot, belong together.")
    if args.shifts and not args.pool:
        raise ConfigError("--shifts is part of a calibration: give --pool FILE too, or leave it out.")
    if args.number < 1:
        raise ConfigError(f"--number must be 1 or more, not {args.number}.")
    if not 0 <= (args.refine or 0) <= MAX_STEPS:
        raise ConfigError(f"--refine must be 0 to {MAX_STEPS}, not {args.refine}.")
    if (model_folder(args.model) / SCANNER).exists():
        raise ConfigError(
            f"{args.model} is corrected for a scanner: calibrate or test the model that it was made from, and give "
            "that to fsl_mrs_dl adapt."
        )
    pools = _titles("--test", args.test or ())
    shifts = _titles("--shifts", args.shifts or ())
    folder = model_folder(args.model)
    if args.pool and (folder / FILE).exists() and not args.overwrite:
        raise OutputError(f"{folder} has a calibration; give --overwrite to replace it, or only --test to measure it.")
    if args.output:
        check_free(args.output, args.overwrite, [args.model, *({args.pool, *args.test, *shifts.values()} - {OWN})])
    # What is damaged and made anew here is not read, nor what plays no part.
    model = load_model(args.model, calibrated=not args.pool, judged=False)
    basis = basis_for(model, args.basis)
    check_basis_fits(model, basis)
    recipe = recipe_named(args.recipe) if args.recipe else trained_recipe(model)
    if recipe.pool_fraction == 0 and {args.pool, *pools.values(), *shifts.values()} - {OWN, None}:
        raise ConfigError(
            f"Recipe {recipe.name} takes no bases of a pool: name another with --recipe, or give '{OWN}' in its place."
        )
    if args.pool:
        model = _calibrate(args, folder, model, basis, recipe, shifts)
    else:
        model = model.refined(args.refine or 0)
    if args.test:
        from ..evaluate.coverage import coverage_folder

        if model.calibration is None:
            raise ConfigError(f"The model {model.name} has no calibration to test: give --pool FILE, which makes it.")
        streams = {title: _stream(args, path, basis, recipe, args.seed + 1) for title, path in pools.items()}
        with whole_folder(args.output, args.overwrite) as part:
            print(coverage_folder(model, streams, args.number, part))
    return 0


def _calibrate(args, folder, model, basis, recipe, shifts):
    """The model with a calibration, which is written into its folder."""
    from dataclasses import replace

    from ..basis.pool import pool_name
    from ..errors import OutputError
    from ..model.checkpoint import keep_prior, write_calibration
    from ..train.calibrate import calibrate

    stream = _stream(args, args.pool, basis, recipe, args.seed)
    bases = "the model's basis set"
    if args.pool != OWN:
        number = len(stream.members) - 1
        if number <= FEW_BASES:
            _warn(
                f"{number} bases are few: error bars will be of these scanners, and too narrow for others. Take a pool "
                "of 256 or more, made by fsl_mrs_dl simulate --pool 256 with a seed other than that of the training."
            )
        bases = f"{number} bases of {pool_name(args.pool)}, {_whose(args.pool, model)}"
    source = f"recipe {recipe.name}, seed {args.seed}, {bases}"
    source += f", --refine {args.refine}" if args.refine else ""
    prior = _prior(args, model, basis, recipe, bases)
    model = replace(model, prior=prior).refined(args.refine or 0)
    source += f"; doubt from {', '.join(shifts)}" if shifts else ""
    others = [_stream(args, path, basis, recipe, args.seed + 3) for path in shifts.values()]
    given = model.network, model.config, stream, args.number, source, model.refiner
    calibration = calibrate(*given, "calibration", others)
    try:
        if prior is not None:
            keep_prior(folder, prior)
        write_calibration(folder, calibration)
    except OSError as exc:
        raise OutputError(f"{folder}: the calibration cannot be written ({exc}); copy the model elsewhere.") from exc
    print(f"{folder}: calibrated on {calibration.origin}.")
    if calibration.correction is None:
        print("  These are too few scans to learn a correction for shrinkage from: its estimates stay shrunk.")
    return replace(model, calibration=calibration)


def _warn(text):
    """Tell what makes a calibration worse but not wrong."""
    print(f"fsl_mrs_dl calibrate: warning: {text}", file=sys.stderr)


def _prior(args, model, basis, recipe, bases):
    """Prior of a hybrid network, from other scans than those of the calibration; None for other networks."""
    from ..train.learn_prior import learn_prior

    if not hasattr(model.network, "free_count"):
        return None
    seed = args.seed + 2  # 1 is the test's
    stream = _stream(args, args.pool, basis, recipe, seed)
    source = f"recipe {recipe.name}, seed {seed}, {bases}"
    return learn_prior(model.network, model.config, stream, source, PRIOR_SCANS)


def _whose(path, model):
    """Whether a pool's bases were in the training; the card says of which seed its pool was."""
    from ..basis.pool import read_pool

    training = model.card.get("training")
    trained_on = str(training.get("pool")) if isinstance(training, dict) else ""
    same = trained_on.endswith(f"bases, seed {read_pool(path).seed}")
    return "of the same seed as those of the training" if same else "not those of the training"


def _titles(option, paths):
    """A title for each pool's file of an option, title -> path: its name after its folder's."""
    from ..basis.pool import pool_name
    from ..errors import ConfigError

    titles = [path if path == OWN else pool_name(path) for path in paths]
    twice = [title for title in titles if titles.count(title) > 1]
    if twice:
        raise ConfigError(f"{option} names {twice[0]} twice: give every pool once, in a folder of its own name.")
    return dict(zip(titles, paths, strict=True))


def _stream(args, path, basis, recipe, seed):
    """Scans of the bases in a pool's file, or of the basis set alone, of the kind that the model takes."""
    from ..basis.pool import read_pool
    from ..synth.dataset import Stream, as_narrow
    from ..train.feed import HELD_OUT_AT_ONCE

    pool = None if path == OWN else read_pool(path)
    pool = pool.single(args.pool_spectrum) if pool and args.pool_spectrum else pool
    return Stream(as_narrow(basis, recipe), recipe, seed, pool, HELD_OUT_AT_ONCE)
