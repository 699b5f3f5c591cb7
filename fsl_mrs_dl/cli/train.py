"""fsl_mrs_dl train: a model from a basis set."""

import shlex
import shutil
from dataclasses import replace
from pathlib import Path


def add_arguments(parser):
    """Options of the command."""
    add = parser.add_argument
    add("--model", default="yae", help="network: yae or cnn (default: %(default)s)")
    add("--basis", nargs="+", help="a folder with off/ and on/, a folder of .json, or a .BASIS file (default: shipped)")
    add("--pool", help="HDF5 file of varied bases made by fsl_mrs_dl simulate --pool")
    add("--pool_spectrum", choices=("edit_off", "edit_on", "difference"), help="of an edited pool, what --basis is")
    add("--recipe", help="what the training scans look like (default: phantom)")
    add("--data", metavar="FILE", help="train on a file of fsl_mrs_dl generate, again and again (default: new scans)")
    add("--config", help="JSON file with options of the network")
    add("--number", type=int, default=2_000_000, help="scans to train on (default: %(default)s)")
    add("--batch", type=int, default=256, help="scans per step (default: %(default)s)")
    add("--epochs", type=int, default=40, help="parts between checkpoints (default: %(default)s)")
    add("--learning_rate", type=float, default=1.5e-3, help="highest learning rate (default: %(default)s)")
    add("--precision", default="32-true", help="32-true, bf16-mixed or 16-mixed (default: %(default)s)")
    add("--device", default="auto", choices=("auto", "cpu", "gpu"), help="where to train (default: %(default)s)")
    add("--held_out", type=int, default=10_000, help="scans for the final errors (default: %(default)s)")
    add("--seed", type=int, default=1, help="of weights and scans (default: %(default)s)")
    add("--output", required=True, help="folder of the model; checkpoints go to FOLDER.training while it trains")
    add("--overwrite", action="store_true", help="replace the output folder")


def run(args):
    """Train, save the model folder, print its errors."""
    from ..basis.basis_set import check_basis, read_basis, shipped_basis
    from ..basis.pool import read_pool
    from ..config import from_dict, read_json
    from ..folders import check_free
    from ..model.card import error_table
    from ..model.checkpoint import save_model
    from ..model.networks import network_classes
    from ..synth.dataset import as_narrow
    from ..synth.priors import recipe_named
    from ..train.loop import TrainConfig, train

    target = check_free(Path(args.output), args.overwrite, [*(args.basis or ()), args.pool, args.data, args.config])
    work_dir = target.with_name(f"{target.name}.training")
    shutil.rmtree(work_dir, ignore_errors=True)
    basis = read_basis(args.basis or shipped_basis())
    check_basis(basis)
    scans = _stored(args)
    if scans is None:
        args.recipe = args.recipe or "phantom"
    recipe = recipe_named(args.recipe) if scans is None else scans.recipe
    pool = read_pool(args.pool) if args.pool else None
    if pool is not None and args.pool_spectrum:
        pool = pool.single(args.pool_spectrum)
    if scans is not None:
        scans.check(as_narrow(basis, recipe), pool)
    plan = TrainConfig(
        args.number,
        args.batch,
        args.learning_rate,
        epochs=args.epochs,
        held_out=args.held_out,
        seed=args.seed,
        precision=args.precision,
    )
    values = read_json(args.config, "a network's configuration") if args.config else {}
    options = from_dict(network_classes(args.model)[1], values, args.config)
    model = train(args.model, basis, recipe, plan, options, pool, work_dir, args.device, scans=scans)
    model.card["name"] = target.name
    if pool is not None:
        model.card["training"]["command of the pool"] = pool_command(pool, args.pool)
    model.card["training"]["command"] = command_line(args)
    save_model(model, target, args.overwrite, work_dir / "metrics.csv")
    shutil.rmtree(work_dir)
    print(error_table(model.card))
    return 0


def _stored(args):
    """The scans of --data, or None without it.

    Raises:
        ConfigError: the file cannot be trained on, or other options contradict it.
    """
    import sys

    from ..errors import ConfigError
    from ..synth.store import StoredScans

    if args.data is None:
        return None
    if args.recipe:
        raise ConfigError("The scans of --data have their recipe; leave --recipe out.")
    scans = StoredScans(args.data)
    if scans.batch != args.batch:
        raise ConfigError(f"--batch must be that of {args.data}, {scans.batch} scans, not {args.batch}.")
    if scans.scans < scans.contents.number:
        text = f"{args.data} is not finished: its first {scans.scans} of {scans.contents.number} scans are used."
        print(f"fsl_mrs_dl train: note: {text}", file=sys.stderr)
    return scans


def command_line(args):
    """The command that trains the same model again."""
    words = ["fsl_mrs_dl", "train"]
    names = "model basis pool pool_spectrum recipe data config number batch epochs learning_rate precision seed output"
    for name in names.split():
        value = getattr(args, name)
        if value is not None:
            words += [f"--{name}", *(value if isinstance(value, list) else [str(value)])]
    return shlex.join(words)


def pool_command(pool, path):
    """The command that makes the same pool again, where it was drawn from the default priors."""
    priors = pool.priors
    words = ["fsl_mrs_dl", "simulate", "--sequence", "megapress", "--te", f"{priors.te_s * 1e3:g}", "--b0", priors.b0_t]
    words += ["--metabolites", *pool.names, "--points", priors.points, "--bandwidth", f"{priors.bandwidth_hz:g}"]
    words += ["--linewidth", f"{priors.linewidth_hz:g}", "--resolution", priors.positions]
    words += ["--pool", len(pool), "--seed", pool.seed, "--output", Path(path).parent]
    return shlex.join(map(str, words))
