"""fsl_mrs_dl evaluate: the study of models and conventional fits on scans of known contents, or on simulated ones."""

TOOLS = ("newton", "lcmodel")

MODELS = ("hybrid", "yae", "cnn")
"""What is evaluated where nothing else is asked for."""


LEAST_OF_A_KIND = 50
"""Scans of each kind that thresholds are made from, at least: they are quantiles."""


def add_arguments(parser):
    """Options of the command."""
    add = parser.add_argument
    add("--scans", nargs="+", help="folders of NIfTI-MRS scans with truth.csv, or HDF5 files of fsl_mrs_dl generate")
    add("--models", nargs="*", default=list(MODELS), help=f"names or folders of models (default: {' '.join(MODELS)})")
    add("--with", dest="tools", nargs="+", default=[], choices=TOOLS, help="conventional fits beside the models")
    add("--basis", nargs="+", help="basis set of the models and the conventional fits (default: the shipped one)")
    add("--output", help="folder to make for the study")
    kept = "estimates of what is the same are kept"
    add("--overwrite", action="store_true", help=f"replace the folder ({kept}), or trust.json")
    taken = "most scans taken from an HDF5 file, or scans of each kind for --trust"
    add("--number", type=int, default=100, help=f"{taken} (default: %(default)s)")
    add("--workers", type=int, default=1, help="processes that share the scans; times are fair with 1, the default")
    add("--in_sample", action="store_true", help="allow models on scans that they were adapted to (adapt, --finetune)")
    add("--simulated", type=int, help="errors on that many new spectra at the published conditions, beside their bound")
    add("--trust", metavar="POOL", help="make the models' trust.json from scans of the bases in this file")
    add("--seed", type=int, default=90001, help="of bootstrap and simulated spectra (default: %(default)s)")


def run(args):
    """Make the study, or print the table of simulated spectra; or both."""
    import os

    # Before numpy is loaded: matrices of one spectrum gain nothing from more threads, and lose much on busy cores.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    from ..errors import ConfigError
    from ..folders import check_free

    for option in ("simulated", "number", "workers"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise ConfigError(f"--{option} must be 1 or more, not {value}.")
    if not args.scans and not args.simulated and not args.trust:
        raise ConfigError("Nothing to evaluate: give --scans FOLDER, --simulated NUMBER or --trust POOL.")
    if bool(args.scans) != bool(args.output):
        raise ConfigError("A study needs --scans and --output, the folder to make; simulated spectra are only printed.")
    if not args.models and not (args.scans and args.tools):
        raise ConfigError("Nothing to evaluate: give --models, or --scans and --with.")
    if args.output:
        check_free(args.output, args.overwrite, args.scans)
    if args.simulated:
        _simulated(args)
    if args.trust:
        _trust(args)
    if args.scans:
        _study(args)
    return 0


def _simulated(args):
    """Print the errors of the models on simulated spectra."""
    from ..evaluate.tables import simulated_table
    from ..fit.quantify import basis_for
    from ..model.checkpoint import load_model

    models = [load_model(name) for name in args.models]
    table = simulated_table(models, [basis_for(model, args.basis) for model in models], args.simulated, args.seed)
    print(
        "Mean absolute errors (relative to the largest concentration), "
        f"{args.simulated} simulated spectra at the published conditions:"
    )
    print(table.to_string(float_format="{:.4f}".format, sparsify=False), end="\n\n")


def _trust(args):
    """Make the thresholds of the models' trust flags, and print how well it tells spoilt scans from good ones."""
    from tqdm import tqdm

    from ..basis.basis_set import read_basis, shipped_basis
    from ..basis.pool import pool_name, read_pool
    from ..errors import ConfigError, OutputError
    from ..evaluate.trust_reference import foreign_pool
    from ..evaluate.trust_scans import trust_scans, wider_pool
    from ..evaluate.trust_table import check_kind, judge_model
    from ..fit.predict import check_basis_fits
    from ..fit.quantify import basis_for
    from ..model.checkpoint import load_model, model_folder
    from ..model.thresholds import FILE, write_thresholds

    if args.number < LEAST_OF_A_KIND:
        raise ConfigError(
            f"Thresholds need at least {LEAST_OF_A_KIND} scans of each kind, not {args.number}: raise --number."
        )
    judged = [name for name in args.models if (model_folder(name) / FILE).exists()]
    if judged and not args.overwrite:
        raise OutputError(f"{judged[0]} has thresholds of its trust flag; give --overwrite to replace them.")
    edited, pool = read_basis(shipped_basis()), read_pool(args.trust)
    # Thresholds that are damaged are what this is to mend.
    models = [(name, load_model(name, judged=False)) for name in args.models]
    bases = [basis_for(model, args.basis) for _, model in models]
    for (_, model), basis in zip(models, bases):
        check_basis_fits(model, basis)
        check_kind(basis, edited)
    source = f"recipes phantom and scanner, {len(pool)} bases of {pool_name(args.trust)}, seed {args.seed}"
    with tqdm(total=3 + len(models), desc="pools", unit="", disable=None, leave=False) as bar:
        wider, pools = wider_pool(edited, pool), (pool, foreign_pool(pool))
        scans = []
        for step in (0, 1):
            bar.update()
            bar.set_description("scans")
            scans.append(trust_scans(edited, pool, wider, args.number, args.seed + 100 * step))
        for (name, model), basis in zip(models, bases):
            bar.update()
            bar.set_description(model.name)
            thresholds, table = judge_model(model, basis, edited, pools, *scans, source)
            write_thresholds(model_folder(name), thresholds)
            bar.clear()
            print(f"{model.name}: thresholds written, from {args.number} scans of each kind ({source}). On others:")
            print(table.to_string(float_format="{:.3f}".format, index=False), end="\n\n")


def _study(args):
    """Make the folder of the study and print its outcome in short."""
    from ..basis.basis_set import read_basis, shipped_basis
    from ..evaluate.cases import read_cases
    from ..evaluate.methods import model_method
    from ..evaluate.normalise import failures
    from ..evaluate.study import make_study, summary

    basis = read_basis(args.basis or shipped_basis())
    methods, missing = [model_method(name, args.basis) for name in args.models], {}
    for name in args.tools:
        found = _tool(name, basis, missing)
        methods += [found] if found else []
    names = list(dict.fromkeys(name for method in methods for name in method.metabolites))
    cases = read_cases(args.scans, names, args.number)
    notes = _in_sample(args, cases)
    options = {"missing": missing, "basis": basis, "workers": args.workers, "overwrite": args.overwrite}
    frame = make_study(cases, methods, args.output, args.seed, **options)
    print(f"Mean absolute errors (relative to the largest concentration), {len(cases)} scans:")
    print(summary(frame).to_string(float_format="{:.3f}".format, index=False))
    for row in failures(frame).itertuples():
        print(f"{row.label} failed on {row.id}: {row.failure}")
    for name, reason in missing.items():
        print(f"{name} is missing: {reason}")
    for note in notes:
        print(note)
    print(f"The study is in {args.output}; open {args.output}/study.html.")


def _in_sample(args, cases):
    """Notes on models that were adapted to some of the cases; ModelError unless --in_sample allows them."""
    from ..model.card import check_out_of_sample, in_sample
    from ..model.checkpoint import load_model

    scans = {case.id: case.scan.fids for case in cases}
    notes = []
    for model in map(load_model, args.models):
        if not args.in_sample:
            check_out_of_sample(model, scans)
        elif seen := in_sample(model, scans):
            notes.append(f"{model.name} was adapted to {len(seen)} of these scans: its errors hold for no others.")
    return notes


def _tool(name, basis, missing):
    """Method of a conventional fit; None where it is not available, with the reason in `missing`."""
    from ..errors import ConfigError
    from ..evaluate.conventional import PPM_RANGE, conventional_method
    from ..evaluate.lcmodel import lcmodel_method
    from ..fslmrs.newton import NewtonFit, newton_version

    try:
        if name == "lcmodel":
            return lcmodel_method(basis)
        return conventional_method("newton", NewtonFit(PPM_RANGE), basis, newton_version(PPM_RANGE))
    except ImportError as exc:
        missing[name] = f"FSL-MRS cannot be imported ({exc}); install fsl_mrs, or put a checkout of it in PYTHONPATH."
    except ConfigError as exc:
        missing[name] = str(exc)
    return None
