"""fsl_mrs_dl adapt: correct a model for a scanner by scans of known contents."""


def add_arguments(parser):
    """Options of the command."""
    add = parser.add_argument
    add("--model", help="name or folder of the model, which stays as it is (default: hybrid)")
    add("--scans", nargs="+", required=True, metavar="FOLDER", help="folders with NIfTI-MRS scans of one scanner and "
        "truth.csv (columns id and one a metabolite), or files of fsl_mrs_dl generate")  # fmt: skip
    add("--number", type=int, help="the most scans taken from a file of fsl_mrs_dl generate (default: all)")
    add("--output", required=True, metavar="FOLDER", help="folder of the corrected model to make")
    add("--basis", nargs="+", help="basis set of the model (default: the shipped one)")
    add("--overwrite", action="store_true", help="replace the output folder")


def run(args):
    """Read the scans, learn the correction and write the model with it."""
    from tqdm import tqdm

    from ..evaluate.cases import read_cases
    from ..fit.adapt import adapt
    from ..fit.quantify import basis_for
    from ..folders import check_free
    from ..model.checkpoint import DEFAULT_MODEL, load_model, save_model

    model = load_model(args.model or DEFAULT_MODEL)
    check_free(args.output, args.overwrite, [args.model, *args.scans, *(args.basis or ())])
    basis = basis_for(model, args.basis)
    cases = read_cases(args.scans, model.config.metabolites, args.number)
    scans = ((case.id, case.scan) for case in tqdm(cases, "scans", leave=False, delay=1))
    adapted, errors = adapt(model, basis, scans, {case.id: case.truth for case in cases})
    save_model(adapted, args.output, args.overwrite)
    print(f"Mean absolute errors (relative to the largest concentration) of {len(cases)} scans of known contents, as the")
    print(f"model {model.name} is, and corrected, each scan by what the others teach:")
    print(errors.T.to_string(float_format="{:.3f}".format))
    print(f"The corrected model is in {args.output}: fsl_mrs_dl fit --model {args.output} ... takes it.")
    return 0
