"""fsl_mrs_dl adapt: correct a model for a scanner by scans of known contents."""

from dataclasses import replace
from pathlib import Path


def add_arguments(parser):
    """Options of the command."""
    add = parser.add_argument
    add("--model", help="name or folder of the model, which stays as it is (default: hybrid)")
    add("--scans", nargs="+", required=True, metavar="FOLDER", help="folders with NIfTI-MRS scans of one scanner and "
        "truth.csv (columns id and one a metabolite), or files of fsl_mrs_dl generate")  # fmt: skip
    add("--number", type=int, help="the most scans taken from a file of fsl_mrs_dl generate (default: all)")
    add("--output", required=True, metavar="FOLDER", help="folder of the corrected model to make")
    add("--basis", nargs="+", help="basis set of the model (default: the shipped one)")
    add("--refine", type=int, metavar="N", help="correct estimates refined in N steps, for fits with that option")
    add("--shrunk", action="store_true", help="correct estimates that stay shrunk, for fits with that option")
    add("--overwrite", action="store_true", help="replace the output folder")


def run(args):
    """Read the scans, learn the correction and write the model with it."""
    from tqdm import tqdm

    from ..errors import ConfigError
    from ..evaluate.cases import read_cases
    from ..fit.adapt import adapt
    from ..fit.quantify import Quantifier
    from ..folders import check_free
    from ..model.checkpoint import DEFAULT_MODEL, load_model, save_model, shipped_models

    if args.output in shipped_models():
        raise ConfigError(f"--output {args.output} is a shipped model's name, which a fit would take: choose another.")
    check_free(args.output, args.overwrite, [args.model, *args.scans, *(args.basis or ())])
    model = load_model(args.model or DEFAULT_MODEL).refined(args.refine or 0)
    quantifier = Quantifier(model.with_shrinkage() if args.shrunk else model, args.basis)
    cases = read_cases(args.scans, model.config.metabolites, args.number)
    scans = ((case.id, case.scan) for case in tqdm(cases, "scans", leave=False, delay=1))
    adapted = adapt(quantifier, scans, {case.id: case.truth for case in cases})
    named = replace(adapted.model, card={**adapted.model.card, "name": Path(args.output).name})
    save_model(named, args.output, args.overwrite)
    found = adapted.model.scanner
    if adapted.out_of_range:
        print(f"Warning: out of range by the trust flag, leave such scans out: {', '.join(adapted.out_of_range)}")
    if adapted.odd:
        print(f"Warning: far off where the others are right, check their contents: {', '.join(adapted.odd)}")
    print(f"Mean absolute errors (relative to the largest concentration) of {found.scans} scans of {found.samples}")
    print(f"known contents, by {model.name} as it is, and after the correction by scans of other contents alone:")
    print(adapted.errors.T.to_string(float_format="{:.3f}".format))
    settings = f" --refine {args.refine}" * bool(args.refine) + " --shrunk" * args.shrunk
    print(f"The corrected model is in {args.output}; fit with it: fsl_mrs_dl fit --model {args.output}{settings} ...")
    return 0
