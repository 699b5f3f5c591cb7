"""fsl_mrs_dl generate: training scans in a file, as pictures, or as NIfTI-MRS."""

import sys
from pathlib import Path


def add_arguments(parser):
    """Options of the command."""
    add = parser.add_argument
    add("--basis", nargs="+", help="a folder with off/ and on/, a folder of .json, or a .BASIS file (default: shipped)")
    add("--pool", help="HDF5 file of varied bases made by fsl_mrs_dl simulate --pool")
    add("--pool_spectrum", choices=("edit_off", "edit_on", "difference"), help="of an edited pool, what --basis is")
    add("--recipe", default="phantom", help="what the scans look like: a name or a .json file (default: %(default)s)")
    add("--noise", choices=("adc", "gg", "none"), help="kind of noise, instead of the recipe's")
    add("--noise_fit", metavar="FILE", help="estimate of fsl_mrs_dl noise, for the shapes (beta) of --noise gg")
    add("--number", type=int, default=100_000, help="scans of the file (default: %(default)s)")
    add("--batch", type=int, default=256, help="scans made at once, as in training (default: %(default)s)")
    add("--seed", type=int, default=1, help="of the scans (default: %(default)s)")
    add("--output", help="HDF5 file to write or to continue; a .png of --preview, --imperfections; a folder of --nifti")
    add("--overwrite", action="store_true", help="replace a picture, or the folder of --nifti")
    add("--device", choices=("auto", "cpu", "gpu"), help="of --benchmark (default: auto)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--preview", type=int, metavar="N", help="draw the first N scans and their components")
    what.add_argument("--imperfections", action="store_true", help="draw one scan under each imperfection there is")
    what.add_argument("--nifti", type=int, metavar="N", help="write the first N scans as NIfTI-MRS, with truth.csv")
    what.add_argument("--benchmark", action="store_true", help="print scans per second and each step's share")


def run(args):
    """Make the stream and send it where it was asked for."""
    from ..basis.basis_set import check_basis, read_basis, shipped_basis
    from ..basis.pool import pool_of_options
    from ..errors import ConfigError
    from ..synth.dataset import Stream, as_narrow

    if args.output is None and not args.benchmark:
        raise ConfigError("The scans need a place: give --output FILE.")
    for name in ("number", "batch", "preview", "nifti"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            raise ConfigError(f"--{name} must be 1 or more, not {getattr(args, name)}.")
    if args.device and not args.benchmark:
        raise ConfigError("--device is for --benchmark; scans to keep are made on the CPU, the same everywhere.")
    device = _device(args.device) if args.benchmark else None
    recipe = _recipe(args)
    basis = read_basis(args.basis or shipped_basis())
    check_basis(basis)
    if args.imperfections:
        return _imperfections(basis, args)
    basis = as_narrow(basis, recipe)
    pool = pool_of_options(args.pool, args.pool_spectrum)
    stream = Stream(basis, recipe, args.seed, pool, args.batch, device)
    if pool is None and recipe.pool_fraction > 0:
        _note(f"without --pool every scan has the one basis set; recipe {recipe.name} is meant for a pool.")
    if args.benchmark:
        from ..synth.benchmark import benchmark_text

        print(benchmark_text(stream))
    elif args.preview:
        _preview(stream, basis, args)
    elif args.nifti:
        _nifti(stream, basis, args)
    else:
        _set(stream, basis, pool, args)
    return 0


def _device(name):
    """Torch device: the GPU where there is one, the CPU, or the one that was asked for."""
    import torch

    from ..errors import ConfigError

    has_gpu = torch.cuda.is_available()
    if name == "gpu" and not has_gpu:
        raise ConfigError("--device gpu needs a GPU that torch can use, and there is none; take cpu or auto.")
    return "cuda" if has_gpu and name != "cpu" else "cpu"


def _recipe(args):
    """The recipe, with the noise that was asked for."""
    from dataclasses import replace

    from ..errors import ConfigError
    from ..synth.noise_fit import posterior_draws, read_fits
    from ..synth.priors import recipe_named

    recipe = recipe_named(args.recipe)
    if args.noise_fit:
        if args.noise not in (None, "gg"):
            raise ConfigError(f"--noise_fit is for --noise gg, not for --noise {args.noise}; leave one of them out.")
        betas = tuple(float(beta) for beta in posterior_draws(read_fits(args.noise_fit))[:, 2])
        return replace(recipe, noise="gg", noise_betas=betas)
    return replace(recipe, noise=args.noise) if args.noise else recipe


def _set(stream, basis, pool, args):
    """Write or continue the file, with a progress bar."""
    import shutil

    from tqdm import tqdm

    from ..errors import ConfigError
    from ..synth.store import Contents, write_scans

    if args.overwrite:
        raise ConfigError("A file of scans is continued, never overwritten; remove it, or choose another --output.")
    path = Path(args.output).expanduser()
    contents = Contents.of(stream, basis, pool, args.number)
    if path.is_dir():
        raise ConfigError(f"--output must be a file, but {path} is a folder; choose another name.")
    if not path.exists() and path.parent.is_dir():
        free = shutil.disk_usage(path.parent).free
        if free < contents.bytes():
            _note(f"{path} will need {contents.bytes() / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free.")
    with tqdm(total=args.number, desc=path.name, unit=" scans", mininterval=0.5) as bar:

        def progress(done):
            """Show the scans finished; those found in the file do not count for the speed."""
            if bar.n == 0 and done:
                bar.initial = done
            bar.update(done - bar.n)

        try:
            write_scans(stream, contents, path, progress)
        except KeyboardInterrupt:
            bar.close()
            _note(f"{path} is whole up to the last finished batch; the same command continues it.")
            raise
    print(f"{path}: {args.number} scans of recipe {stream.recipe.name}, seed {args.seed}")


def _preview(stream, basis, args):
    """Draw the first scans with their components."""
    from ..synth.preview import preview_figure

    path = _free_picture(args)
    content = f"{args.preview} scans of recipe {stream.recipe.name}, seed {args.seed}"
    _save_picture(preview_figure(stream, basis, args.preview), path, content)


def _imperfections(basis, args):
    """Draw one scan under each imperfection, whatever the recipe; returns the exit code."""
    from ..errors import ConfigError
    from ..synth.dataset import as_narrow
    from ..synth.imperfections import BEFORE, imperfections_figure

    if args.pool or args.pool_spectrum or args.noise or args.noise_fit:
        raise ConfigError("--imperfections draws a scan of the basis set alone; leave out --pool and --noise options.")
    path = _free_picture(args)
    figure = imperfections_figure(as_narrow(basis, BEFORE), args.seed)
    _save_picture(figure, path, f"one scan under each imperfection, seed {args.seed}")
    return 0


def _free_picture(args):
    """Path of the picture, where there is none yet or it may be replaced."""
    from ..errors import OutputError

    path = Path(args.output).expanduser()
    if path.is_dir() or (path.exists() and not args.overwrite):
        raise OutputError(f"The output {path} exists; choose another name, or give --overwrite to replace a file.")
    return path


def _save_picture(figure, path, content):
    """Write a figure and say what it shows."""
    from ..errors import OutputError

    try:
        figure.savefig(path, dpi=110, format="png")
    except OSError as exc:
        raise OutputError(f"{path} cannot be written ({exc.strerror}); choose a file where you may write.") from exc
    print(f"{path}: {content}")


def _nifti(stream, basis, args):
    """Write the first scans as NIfTI-MRS, all of them or none."""
    from ..folders import whole_folder
    from ..synth.nifti_output import write_nifti

    with whole_folder(args.output, args.overwrite) as folder:
        write_nifti(stream, basis, args.nifti, folder)
    print(f"{args.output}: {args.nifti} scans of recipe {stream.recipe.name}, seed {args.seed}, with truth.csv")


def _note(text):
    """Tell something that is no error."""
    print(f"fsl_mrs_dl generate: note: {text}", file=sys.stderr)


def main(argv=None):
    """The command on its own; returns the exit code."""
    from .main import run_command

    return run_command("generate", argv)


if __name__ == "__main__":
    sys.exit(main())
