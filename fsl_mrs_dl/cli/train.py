"""fsl_mrs_dl train: a model from a basis set."""

import re
import shlex
import sys
from pathlib import Path

from . import finetune

RANGES_FILE = "pool_ranges.json"
"""File that a card's command takes the ranges of a pool from, which stand beside it in the card."""

START_LEARNING_RATE = 2e-4
"""Highest learning rate with --start: the plan's own soon undoes what the model has learnt."""

RECORDED = (
    "basis", "pool", "pool_spectrum", "recipe", "data", "config", "start", "number", "passes", "time", "batch",
    "epochs", "patience", "learning_rate", "optimiser", "weight_decay", "schedule", "plateau_epochs", "clip",
    "precision", "held_out", "seed", "output",
)  # fmt: skip
"""Options that a card's command repeats where they were given, beside the network or what it was adapted to."""

MEASURED = ("basis", "pool", "pool_spectrum", "recipe", "batch", "precision")
"""Those of them that --benchmark uses."""


def add_arguments(parser):
    """Options of the command."""
    add = parser.add_argument
    kinds = "yae, cnn, fcnn, hybrid, guarded, yae-published or cnn-published"
    add("--model", help=f"{kinds} (default: yae; with --start: network and size of that model)")
    shipped = "default: the shipped one; with --start: of the shipped ones that of the model"
    add("--basis", nargs="+", help=f"a folder with off/ and on/, a folder of .json, or a .BASIS file ({shipped})")
    add("--pool", help="HDF5 file of varied bases made by fsl_mrs_dl simulate --pool")
    add("--pool_spectrum", choices=("edit_off", "edit_on", "difference"), help="of an edited --pool, what --basis is")
    add("--recipe", help="what the training scans look like (default: phantom)")
    add("--data", metavar="FILE", help="train on a file of fsl_mrs_dl generate, again and again (default: new scans)")
    add("--config", help="JSON file with options of the network")
    add("--start", metavar="MODEL", help="begin with this model's weights, and keep them unless an epoch is better")
    _plan_arguments(parser)
    _place_arguments(parser)
    finetune.add_arguments(parser)
    add("--output", help="folder of the model; FOLDER.training holds checkpoints, metrics and curves meanwhile")
    add("--overwrite", action="store_true", help="replace the output folder, and what an interrupted training left")
    add("--resume", action="store_true", help="continue an interrupted training: the same command and this")
    add("--benchmark", action="store_true", help="only measure how fast the networks train on this machine")


def _plan_arguments(parser):
    """How to train; what is not given comes from the preset, then from the plan's defaults."""
    add = parser.add_argument_group("plan (defaults in brackets; those of a published preset differ)").add_argument
    add("--number", type=int, help="scans to train on (2000000); beside --time with --passes only")
    add("--passes", type=int, help="see the same --number scans that often, each pass an epoch (0: all are new)")
    add("--time", metavar="T", help="train that long, such as 30m or 2h, instead of on --number scans")
    add("--batch", type=int, help="scans per step (256)")
    add("--epochs", type=int, help="parts between checkpoints (40; with a short --time fewer); not beside --passes")
    add("--patience", type=int, help="epochs without improvement before it stops (10)")
    add("--learning_rate", type=float, help=f"highest one (0.0015; with --start at most {START_LEARNING_RATE})")
    add("--optimiser", help="adamw or adam (adamw)")
    add("--weight_decay", type=float, help="of the weights (0.0001)")
    add("--schedule", help="of the learning rate: cosine or plateau (cosine)")
    add("--plateau_epochs", type=int, help="epochs without improvement before plateau halves it (20)")
    add("--clip", type=float, help="largest gradient norm (1)")
    add("--precision", help="32-true, bf16-mixed or 16-mixed (32-true)")
    add("--held_out", type=int, help="scans for the final errors (10000)")
    add("--seed", type=int, help="of weights and scans (1)")


def _place_arguments(parser):
    """Where to train."""
    add = parser.add_argument_group("machine").add_argument
    add("--device", default="auto", choices=("auto", "cpu", "gpu"), help="where to train (default: %(default)s)")
    add("--devices", type=int, default=1, help="how many of them, -1 for all (default: %(default)s)")
    add("--nodes", type=int, default=1, help="how many machines (default: %(default)s)")
    add("--strategy", default="auto", help="of several devices: auto or ddp (default: %(default)s)")


def run(args):
    """Train and write the model folder."""
    from ..basis.basis_set import check_basis, read_basis, shipped_basis
    from ..basis.pool import pool_of_options
    from ..errors import ConfigError
    from ..fit.quantify import basis_for
    from ..model.checkpoint import load_model
    from ..synth.dataset import as_narrow
    from ..synth.priors import recipe_named
    from ..train.loop import Hardware, of_both_spectra, settings, train

    hardware = Hardware(args.device, args.devices, args.nodes, args.strategy)
    pool = pool_of_options(args.pool, args.pool_spectrum)
    if args.finetune and (args.data or args.config or args.start or args.benchmark):
        raise ConfigError("--finetune takes a model as it is; leave --data, --config, --start and --benchmark out.")
    if args.benchmark:
        _check_benchmark(args)
    start = load_model(args.start) if args.start else None
    if start is not None and (start.config.network, args.model) == ("guarded", "hybrid"):
        start = of_both_spectra(start)
    preset = _preset(args, start)
    plan = _plan(args, preset)
    if args.finetune:
        return _train(args, pool, *finetune.adapt(args, plan, pool, hardware))
    if args.scans or args.truth:
        raise ConfigError("--scans and --truth are for adapting a model: give it as --finetune MODEL.")
    options = _options(args, preset, start)
    basis = read_basis(args.basis or shipped_basis()) if start is None else basis_for(start, args.basis)
    if start is not None and not args.basis and basis.fingerprint() != start.config.basis_fingerprint:
        raise ConfigError(
            f"{start.name} has a basis set that is no shipped one: give --basis: its own, or the one to train for."
        )
    check_basis(basis)
    scans = _stored(args, plan)
    if scans is None:
        args.recipe = args.recipe or "phantom"
    recipe = recipe_named(args.recipe) if scans is None else scans.recipe
    if scans is not None:
        scans.check(as_narrow(basis, recipe), pool)
    if args.benchmark:
        return _benchmark(args, basis, recipe, pool, hardware)
    what = (preset.network, basis, recipe, plan, options, pool)

    def begin(work, resume):
        """Train in a WorkFolder."""
        model = train(*what, work, hardware, scans=scans, resume=resume, start=start)
        if pool is None and scans is None and recipe.pool_fraction > 0:
            _note(f"without --pool it learnt one scanner alone; recipe {recipe.name} is meant for a pool.")
        return model

    return _train(args, pool, settings(*what, scans, hardware, start), begin)


def _train(args, pool, settings, begin):
    """Do the training, and write the model folder.

    Args:
        args: of the command.
        pool: BasisPool or None.
        settings: all that decides what the training gives.
        begin: function of a WorkFolder and of whether to resume, which gives a TrainedModel.
    """
    import shutil

    from lightning.pytorch.utilities import rank_zero_only

    from ..errors import ConfigError, FslMrsDlError
    from ..folders import check_free
    from ..model.card import error_table
    from ..model.checkpoint import save_model
    from ..train.work_folder import LAST, WorkFolder

    if not args.output:
        raise ConfigError("Where should the model go? Give --output FOLDER.")
    inputs = [*(args.basis or ()), args.pool, args.data, args.config, args.start, args.finetune, args.scans, args.truth]
    target = check_free(Path(args.output), args.overwrite, inputs)
    work = WorkFolder(target.with_name(f"{target.name}.training"), settings)
    # On several devices every process runs this command; the first one keeps the folder.
    if rank_zero_only.rank == 0:
        work.check(args.resume, args.overwrite)
        work.open(args.resume)
    try:
        model = begin(work, args.resume)
    except KeyboardInterrupt:
        _note(f"{work.path} keeps the last finished epoch; the same command with --resume continues.")
        raise
    except FslMrsDlError:
        # Refused before there was anything to resume: the corrected command must find its place free.
        if rank_zero_only.rank == 0 and not args.resume and not (work.path / LAST).exists():
            shutil.rmtree(work.path)
        raise
    if model is None:
        return 0
    model.card["name"] = target.name
    part = model.card["adapted_to" if args.finetune else "training"]
    if pool is not None:
        part["command of the pool"] = pool_command(pool, args.pool)
        ranges = pool.priors.ranges_unlike(type(pool.priors)())
        if ranges:
            part["ranges of the pool"] = ranges
    part["command"] = command_line(args)
    save_model(model, target, args.overwrite, work.results())
    shutil.rmtree(work.path)
    print(error_table(model.card))
    return 0


def _preset(args, start=None):
    """What the network, its sizes and the plan are taken from where nothing else is given.

    Args:
        args: of the command.
        start: TrainedModel of --start, whose network is trained where --model names none; None without it.
    """
    from ..model.presets import Preset, preset_named
    from ..train.finetune import ADAPT_PLAN

    if args.finetune:
        return Preset("", plan=ADAPT_PLAN)
    if args.model is None and start is None:
        args.model = "yae"
    return preset_named(args.model or start.config.network)


def _options(args, preset, start=None):
    """The network's own configuration: of --config, else of the start or the preset, else its defaults."""
    from ..config import from_dict, read_json
    from ..model.networks import network_classes

    if start is not None and not args.model and not args.config:
        return start.options
    values = read_json(args.config, "a network's configuration") if args.config else {}
    if isinstance(values, dict):
        values = {**preset.options, **values}
    return from_dict(network_classes(preset.network)[1], values, args.config or f"preset {args.model}")


def _plan(args, preset):
    """The TrainConfig: of the options given, else of the preset, else its defaults; with --start in small steps."""
    from dataclasses import fields

    from ..config import from_dict
    from ..errors import ConfigError
    from ..train.plan import TrainConfig

    given = {field.name: getattr(args, field.name, None) for field in fields(TrainConfig)}
    if args.time is not None:
        given["time_s"] = seconds(args.time)
        if given["epochs"] is None and "epochs" not in preset.plan:
            # An epoch ends with a look at held-out scans, which takes seconds.
            given["epochs"] = int(min(40, max(4, given["time_s"] // 45)))
    values = preset.plan_with(**given)
    if args.time is not None and args.number is not None and not values.get("passes"):
        raise ConfigError(
            "--number would not be used: --time takes as many new scans as it has time for. Leave one of the two out, "
            "or give --passes to see the same --number scans again and again."
        )
    if args.epochs is not None and values.get("passes", 0) > 0:
        raise ConfigError(
            f"--epochs would not be used: of {values['passes']} passes through the same scans each is an epoch. Leave "
            "--epochs out, or give --passes 0 to train on new scans."
        )
    if args.start and args.learning_rate is None:
        values["learning_rate"] = min(START_LEARNING_RATE, values.get("learning_rate", START_LEARNING_RATE))
    return from_dict(TrainConfig, values, "the plan of the training")


def seconds(text):
    """A time such as 90s, 30m, 2h or 1h30m in seconds.

    Raises:
        ConfigError: it is none.
    """
    from ..errors import ConfigError

    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?", text.strip())
    hours, minutes, rest = (float(value or 0) for value in match.groups()) if match else (0.0, 0.0, 0.0)
    found = 3600 * hours + 60 * minutes + rest
    if not found > 0:
        raise ConfigError(f"--time must be a time such as 90s, 30m or 1h30m, not {text!r}.")
    return found


def _check_benchmark(args):
    """Refuse options that --benchmark would not use."""
    from ..errors import ConfigError

    given = [name for name in ("model", *RECORDED) if getattr(args, name) is not None and name not in MEASURED]
    given += [name for name in ("resume", "overwrite") if getattr(args, name)]
    if given:
        unused = ", ".join(f"--{name}" for name in given)
        raise ConfigError(
            f"{unused} would not be used: --benchmark measures every network, with new weights on new scans, and "
            f"keeps none. Leave {unused} or --benchmark out."
        )


def _benchmark(args, basis, recipe, pool, hardware):
    """Print how fast the networks train here."""
    from ..train.benchmark import benchmark_table

    print(benchmark_table(basis, recipe, pool, hardware, args.precision or "32-true", args.batch))
    return 0


def _stored(args, plan):
    """The scans of --data, or None without it.

    Raises:
        ConfigError: the file cannot be trained on, or other options contradict it.
    """
    from ..errors import ConfigError
    from ..synth.store import StoredScans

    if args.data is None:
        return None
    if args.recipe:
        raise ConfigError("The scans of --data have their recipe; leave --recipe out.")
    scans = StoredScans(args.data)
    if scans.batch != plan.batch:
        raise ConfigError(f"--batch must be that of {args.data}, {scans.batch} scans, not {plan.batch}.")
    if plan.passes and plan.number > scans.scans:
        raise ConfigError(f"{args.data} has {scans.scans} scans: give --passes with at most that --number.")
    if scans.scans < scans.contents.number:
        _note(f"{args.data} is not finished: its first {scans.scans} of {scans.contents.number} scans are used.")
    return scans


def _note(text):
    """Tell something that is no error."""
    print(f"fsl_mrs_dl train: note: {text}", file=sys.stderr)


def command_line(args):
    """The command that trains the same model again."""
    words = ["fsl_mrs_dl", "train"]
    of_model = ("finetune", "scans", "truth") if args.finetune else ("model",)
    for name in (*of_model, *RECORDED):
        value = getattr(args, name)
        if value is not None:
            words += [f"--{name}", *(value if isinstance(value, list) else [str(value)])]
    for name in ("devices", "nodes"):
        if getattr(args, name) != 1:
            words += [f"--{name}", str(getattr(args, name))]
    return shlex.join(words)


def pool_command(pool, path):
    """The command that makes the same pool again; ranges that are not the default ones are taken from a file."""
    priors = pool.priors
    words = ["fsl_mrs_dl", "simulate", "--sequence", "megapress", "--te", f"{priors.te_s * 1e3:g}", "--b0", priors.b0_t]
    words += ["--metabolites", *pool.names, "--points", priors.points, "--bandwidth", f"{priors.bandwidth_hz:g}"]
    words += ["--linewidth", f"{priors.linewidth_hz:g}", "--resolution", priors.positions]
    words += ["--pool", len(pool), "--seed", pool.seed, "--output", Path(path).parent]
    if priors.ranges_unlike(type(priors)()):
        words += ["--pool_ranges", RANGES_FILE]
    return shlex.join(map(str, words))
