"""fsl_mrs_dl noise: the noise of scans, for training data like them."""

from pathlib import Path


def add_arguments(parser):
    """Options of the command."""
    add = parser.add_argument
    add("--data", nargs="+", required=True, metavar="SCAN", help="NIfTI-MRS files with one voxel each")
    add("--output", required=True, metavar="FILE", help="estimate to write (.json)")
    add(
        "--ppm",
        type=float,
        nargs="+",
        metavar="PPM",
        help="signal-free ranges, LOW HIGH [LOW HIGH ...] (default: found outside 0 to 6 ppm)",
    )
    add("--steps", type=int, default=9600, help="steps after which the sampler gives up (default: %(default)s)")
    add("--seed", type=int, default=1, help="of the sampler (default: %(default)s)")
    add("--report", action="store_true", help="draw fit and traces beside the output, one .png for each scan")
    add("--overwrite", action="store_true", help="replace the output")


def run(args):
    """Estimate each scan by itself, save, print the table."""
    from ..fit.scan import read_scan
    from ..synth.noise_fit import check_options, fit_noise, save_fits
    from ..synth.noise_plot import noise_figure
    from ..synth.noise_ranges import noise_values

    ranges = _pairs(args.ppm)
    check_options(args.seed, args.steps)
    output, pictures = _outputs(args)
    fits = []
    for path, picture in zip(args.data, pictures, strict=True):
        scan = read_scan(path)
        noise = noise_values(scan.fids, scan.dwell_s, scan.centre_hz, ranges, scan.name)
        fit, chains = fit_noise(noise, args.seed, args.steps)
        fits.append(fit)
        if args.report:
            _write(noise_figure(noise, fit, chains), picture)
        print(_summary(fit))
    save_fits(fits, output)
    return 0


def _pairs(limits):
    """((low, high), ...) of --ppm, or None.

    Raises:
        ConfigError: the limits are no pairs, or a pair is not ascending.
    """
    from ..errors import ConfigError

    if limits is None:
        return None
    pairs = tuple(zip(limits[::2], limits[1::2]))
    if len(limits) % 2 or any(not low < high for low, high in pairs):
        raise ConfigError(
            f"--ppm takes ascending pairs LOW HIGH, not {' '.join(f'{limit:g}' for limit in limits)}; "
            "for example --ppm -2 0 8 10."
        )
    return pairs


def _outputs(args):
    """Path of the estimate, and one for the picture of each scan, all free to be written.

    Raises:
        OutputError: one exists and may not be replaced, or their folder does not.
    """
    from ..errors import OutputError

    output = Path(args.output).expanduser()
    stem = output.with_suffix("") if output.suffix == ".json" else output
    numbers = [""] if len(args.data) == 1 else [f"_{number}" for number in range(1, len(args.data) + 1)]
    pictures = [stem.with_name(f"{stem.name}{number}.png") for number in numbers]
    if not output.parent.is_dir():
        raise OutputError(f"The folder {output.parent} for the output does not exist; make it first.")
    for path in [output, *(pictures if args.report else ())]:
        if path.is_dir() or (path.exists() and not args.overwrite):
            raise OutputError(f"The output {path} exists; choose another name, or give --overwrite to replace a file.")
    return output, pictures


def _write(figure, path):
    """Save a figure.

    Raises:
        OutputError: it cannot be written.
    """
    from ..errors import OutputError

    try:
        figure.savefig(path, dpi=110)
    except OSError as exc:
        raise OutputError(f"{path} cannot be written ({exc.strerror}); choose a file where you may write.") from exc


def _summary(fit):
    """A few lines on one fit."""
    ranges = ", ".join(f"{low:.1f} to {high:.1f}" for low, high in fit.ranges_ppm)
    lines = [f"{fit.name}: {fit.values} values in {ranges} ppm, relative to an FID maximum of {fit.fid_maximum:.5g}"]
    lines.append(f"{'':7}{'mean':>11}{'95 % interval':>26}{'effective':>11}{'R-hat':>8}")
    for name in ("mu", "alpha", "beta", "sigma"):
        one = getattr(fit, name)
        interval = f"{one.low:.4g} to {one.high:.4g}"
        lines.append(f"  {name:<5}{one.mean:>11.4g}{interval:>26}{one.effective:>11.0f}{one.r_hat:>8.3f}")
    return "\n".join([*lines, *(f"  {note}" for note in fit.notes)])
