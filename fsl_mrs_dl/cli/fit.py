"""fsl_mrs_dl fit: quantify scans with a trained model (the default command)."""

import math
import os
import shutil
import sys
from pathlib import Path

from . import fit_compare, fit_host


def add_arguments(parser):
    """Options of the command; those that fsl_mrs has too have its names."""
    add = parser.add_argument
    add("--data", nargs="+", metavar="SCAN", help="NIfTI-MRS files with an edit dimension (DIM_EDIT)")
    add("--edit_on", metavar="SCAN", help="edit-on spectrum in a file of its own; with --edit_off instead of --data")
    add("--edit_off", metavar="SCAN", help="edit-off spectrum in a file of its own")
    add("--mask", metavar="MASK", help="voxels to fit where --data is spectroscopic imaging, as for fsl_mrsi")
    add("--output", required=True, metavar="FOLDER", help="folder to make; one a scan in it for several scans")
    add("--model", help="a shipped model or the folder of one (default: hybrid, or by a --basis of one spectrum)")
    add("--basis", nargs="+", help="basis set that the model was trained with (default: the shipped one)")
    add("--edit_order", choices=("on-off", "off-on"), help="order of the edit dimension (default: found out)")
    add("--internal_ref", nargs="+", metavar="METAB", help="internal reference (default: Cr+PCr where visible)")
    add("--combine", nargs="+", action="append", default=[], metavar="METAB", help="add up metabolites; repeatable")
    add("--ppmlim", nargs=2, type=float, default=(0.2, 4.2), metavar=("LOW", "HIGH"), help="range of the fit shown")
    add("--report", action="store_true", help="also write report.html")
    add("--compare", choices=("newton",), help="also fit with FSL-MRS's Newton and show its values (with FSL-MRS)")
    add("--shrunk", action="store_true", help="no correction for shrinkage: single scans better, means biased")
    add("--refine", type=int, metavar="N", help="steps that refine a hybrid network's estimates (see docs/method.md)")
    add("--strict", action="store_true", help="scans out of range fail, voxels stay empty (see docs/trust.md)")
    add("--no_trust", action="store_true", help="with --mask: no trust flag of voxels, which takes a third of the time")
    add("--overwrite", action="store_true", help="replace the output folder")
    add("--verbose", action="store_true", help="also print the notes of scans that went well")
    fit_host.add_arguments(parser)


def run(args):
    """Quantify every scan; 0, or 1 when some failed. All failing, or a single one, is an error."""
    if args.mask:
        # Voxels are fitted on one thread each whatever this says; but threads of numpy and torch that nobody needs cost
        # the imports and the fit of the mean spectrum a tenth of the processor time of 256 voxels on two cores. It is
        # read when numpy is imported for the first time, so it comes before all imports.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    from ..errors import ConfigError

    pair = args.edit_on or args.edit_off
    if args.no_trust and not args.mask:
        raise ConfigError("--no_trust is for the voxels of --mask: leave it out.")
    if bool(args.data) == bool(pair) or bool(args.edit_on) != bool(args.edit_off):
        raise ConfigError("Give either --data SCAN [SCAN ...], or --edit_on and --edit_off together.")
    if pair and args.edit_order:
        raise ConfigError("--edit_order is for --data; --edit_on and --edit_off say already which spectrum is which.")
    unused = fit_host.given_preprocessing(args)
    if unused and (pair or args.mask):
        raise ConfigError(
            f"{', '.join(unused)} would not be used: preprocessing here is of raw --data SCAN of one voxel; do it "
            "before, with fsl_mrs_proc, or leave the options away."
        )
    if not args.ppmlim[0] < args.ppmlim[1]:
        raise ConfigError(f"--ppmlim takes LOW and HIGH in ppm, not {args.ppmlim[0]:g} and {args.ppmlim[1]:g}.")
    options = {"internal_ref": args.internal_ref and tuple(args.internal_ref), "ppm_limits": tuple(args.ppmlim)}
    options["combine"] = [tuple(names) for names in args.combine]
    if args.mask:
        return _imaging(args, options)
    from ..fit.quantify import Quantifier
    from ..folders import check_free, whole_folder

    inputs = [*(args.data or ()), args.edit_on, args.edit_off, *args.h2o, *(args.basis or ()), args.model]
    check_free(Path(args.output), args.overwrite, inputs)
    host = fit_host.HostSteps(args)
    compared = fit_compare.comparer(args.compare)
    quantifier = Quantifier(_model(args), args.basis, **options)
    if pair or len(args.data) == 1:
        with whole_folder(args.output, args.overwrite) as folder:
            _one(quantifier, host, compared, args, folder)
        print(f"Results are in {args.output}")
        _say_plugin()
        return 0
    return _many(quantifier, host, compared, args)


def _model(args):
    """The TrainedModel or the name of it: as asked for, by a basis set of one spectrum, or the default."""
    from ..basis.basis_set import read_basis
    from ..fslmrs.choose import choose_model
    from ..model.checkpoint import DEFAULT_MODEL, load_model

    model = args.model or DEFAULT_MODEL
    if args.basis and not args.model:
        basis = read_basis(args.basis)
        if len(basis.conditions) == 1:
            model = choose_model(None, basis)
    if not args.shrunk and not args.refine:
        return model
    model = load_model(model) if isinstance(model, str) else model
    model = model.refined(args.refine or 0)
    return model.with_shrinkage() if args.shrunk else model


def _imaging(args, options):
    """Fit the voxels of a mask, with options of `quantify_mrsi`; 0."""
    from ..errors import ConfigError
    from ..fit.imaging import quantify_mrsi
    from ..folders import check_free

    if not args.data or len(args.data) != 1:
        raise ConfigError("--mask goes with one file of spectroscopic imaging: give --data SCAN --mask MASK.")
    if args.compare:
        raise ConfigError("--compare is for single spectra; fsl_mrsi --algo Newton makes the maps to compare with.")
    if args.h2o:
        raise ConfigError("--h2o is for single spectra; water-scaled maps come from fsl_mrsi --algo dl --h2o.")
    if args.strict and args.no_trust:
        raise ConfigError("--strict needs the trust flag: leave --no_trust out.")
    check_free(Path(args.output), args.overwrite, [*args.data, args.mask, *(args.basis or ()), args.model])
    said = quantify_mrsi(
        args.data[0], args.mask, args.output, _model(args), args.basis, **options, report=args.report,
        overwrite=args.overwrite, progress=True, edit_order=args.edit_order, strict=args.strict,
        judged=not args.no_trust,
    )  # fmt: skip
    print("\n  ".join(said))
    print(f"Results are in {args.output}")
    _say_plugin()
    return 0


def _one(quantifier, host, compared, args, folder):
    """Quantify the only scan into a folder that exists."""
    from ..fit.group import write_group
    from ..fit.scan import read_edited_pair

    path = args.data[0] if args.data else args.edit_off
    scan, water = host.read(path) if args.data else (read_edited_pair(args.edit_on, args.edit_off), None)
    result = compared(host.scale(_accepted(quantifier(scan), args), path, water))
    result.write(folder, args.report)
    write_group(folder / "group.csv", [result])
    _print(result, True)


def _accepted(result, args):
    """The result; DataError where --strict refuses the scan."""
    from ..errors import DataError

    if args.strict and result.trust.out_of_range:
        raise DataError(
            f"{result.scan.name} is {result.trust.text()}; --strict refuses such scans. Without it they are quantified "
            "and flagged."
        )
    return result


def _many(quantifier, host, compared, args):
    """Quantify scan after scan, each into its own folder, and go on when one fails."""
    from tqdm import tqdm

    from ..errors import DataError, FslMrsDlError
    from ..fit.estimate_notes import settings
    from ..fit.group import unique_names, write_group
    from ..folders import whole_folder

    results, failures = [], []
    with whole_folder(args.output, args.overwrite) as folder:
        for path, name in zip(tqdm(args.data, "scans", leave=False, delay=1), unique_names(args.data)):
            try:
                scan, water = host.read(path)
                result = compared(host.scale(_accepted(quantifier(scan), args), path, water))
                (folder / name).mkdir()
                result.write(folder / name, args.report)
            except FslMrsDlError as exc:
                failures.append(f"{path}: {' '.join(str(exc).split())}")
                shutil.rmtree(folder / name, ignore_errors=True)
                continue
            results.append((name, result))
        if not results:
            raise DataError(f"None of {len(args.data)} scans could be quantified: " + "; ".join(failures))
        write_group(folder / "group.csv", [result for _, result in results], [name for name, _ in results])
    shared = settings(quantifier.model)
    for note in shared:
        print(note)
    for _, result in results:
        _print(result, args.verbose, shared)
    scans = "1 scan" if len(results) == 1 else f"{len(results)} scans"
    print(f"Results of {scans} are in {args.output}, the table of all in {args.output}/group.csv")
    _say_plugin()
    flagged = [name for name, result in results if not result.trust.in_range]
    if flagged:
        print(f"Look at the trust flag of {len(flagged)} of {len(results)} scans: {', '.join(flagged)}")
    if failures:
        print(f"fsl_mrs_dl fit: {len(failures)} of {len(args.data)} scans failed:", file=sys.stderr)
        print("\n".join(f"  {failure}" for failure in failures), file=sys.stderr)
    return 1 if failures else 0


def _print(result, with_notes, said=()):
    """Warnings, then one line of concentrations and trust, then the other notes of a scan, but for those said."""
    name, notes = result.scan.name, [note for note in result.scan.notes if note not in said]
    warnings = [note for note in notes if note.startswith("Warning")]
    for note in warnings:
        print(f"{name}: {note}")
    print(f"{name}: {_values(result)}")
    _print_trust(result.trust, with_notes)
    if with_notes and result.trust.note:
        print(f"  {result.trust.note}")
    if result.water is not None:
        molarity = result.concentrations["molarity"].dropna()
        print("  in mM: " + "  ".join(f"{metabolite} {value:.2f}" for metabolite, value in molarity.items()))
    fit_compare.print_values(result)
    for note in notes:
        if with_notes and note not in warnings:
            print(f"  {note}")


def _values(result):
    """Concentrations relative to the largest with standard deviations, where these are known."""
    table = result.concentrations
    sds = table["sd"] if "sd" in table else table["relative_to_largest"] * math.nan
    shown = [
        f"{name} {value:.3f}" + ("" if math.isnan(sd) else f" ± {sd:.3f}")
        for name, value, sd in zip(table.index, table["relative_to_largest"], sds)
        if not math.isnan(value)
    ]
    hidden = table.index[table["relative_to_largest"].isna()]
    return "  ".join(shown) + (f"  (not shown by the spectrum: {', '.join(hidden)})" if len(hidden) else "")


def _print_trust(trust, with_reasons):
    """The trust flag: all reasons, each in a line of its own, or the first one and how many more there are."""
    more = f" (and {len(trust.reasons) - 1} more: group.csv, --verbose)" if len(trust.reasons) > 1 else ""
    if with_reasons or not trust.reasons:
        print(f"  trust: {trust.verdict}", *trust.reasons, sep="\n    ")
    else:
        print(f"  trust: {trust.verdict}: {trust.reasons[0]}{more}")


def _say_plugin():
    """One line on the start-up hook where FSL-MRS is there and its commands do not know the algorithm."""
    from ..fslmrs import start_line

    if not start_line.enabled() and start_line.host_version() is not None:
        print("FSL-MRS's own commands fit like this with --algo dl after: fsl_mrs_dl plugin enable")
