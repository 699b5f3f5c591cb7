"""The options of fsl_mrs_dl fit that FSL-MRS serves: preprocessing of raw scans, and water-scaled concentrations."""


def add_arguments(parser):
    """Options of the command; they have the names of fsl_mrs_preproc_edit and fsl_mrs."""
    add = parser.add_argument_group("water scan and absolute concentrations (with FSL-MRS)").add_argument
    add("--h2o", nargs="+", default=[], metavar="SCAN", help="unsuppressed water, one for each scan of --data")
    add("--TE", type=float, metavar="MS", help="echo time, ms (default: the header's)")
    add("--TR", type=float, metavar="S", help="repetition time, s (default: the header's)")
    add(
        "--tissue_frac", nargs="+", metavar="WM GM CSF",
        help="volume fractions, or a .json file or quantification_info.csv with them (default: pure water)",
    )  # fmt: skip
    for kind in ("t1", "t2"):
        add(f"--{kind}-values", metavar="FILE", help=f"{kind.upper()} values, .json (s) or quantification_info.csv")
    add("--h2o_scale", type=float, default=1.0, metavar="FACTOR", help="additional factor (default: %(default)s)")
    add("--wref_metabolite", nargs="+", metavar="METAB", help="reference (default: Cr+PCr, Cr, PCr or NAA)")
    add("--ref_protons", type=int, metavar="N", help="protons of the reference; with --wref_metabolite")
    add("--ref_int_limits", nargs=2, type=float, metavar=("LOW", "HIGH"), help="its range, ppm; with --wref_metabolite")

    add = parser.add_argument_group("preprocessing of raw scans (by FSL-MRS)").add_argument
    add("--ecc", metavar="SCAN", help="water scan for the eddy-current correction (default: --h2o)")
    add("--noise", metavar="SCAN", help="noise scan for the coils' covariance (default: the end of the FIDs)")
    add("--noalign", action="store_false", dest="align", help="do not align transients")
    add("--align_ppm_dynamic", nargs=2, type=float, default=(1.9, 4.2), metavar=("LOW", "HIGH"), help="range for it")
    add("--align_window_dynamic", type=int, metavar="N", help="align in moving windows of N transients")
    add("--align_ppm_edit", nargs=2, type=float, metavar=("LOW", "HIGH"), help="range for aligning edit conditions")
    add("--noremoval", action="store_false", dest="unlike", help="keep transients that are unlike the others")
    add("--remove-water", action="store_true", help="remove residual water (HLSVD)")
    add("--truncate-fid", type=int, metavar="POINTS", help="remove points at the start of FIDs")
    add("--conjugate", action="store_true", help="conjugate all data")


def given_preprocessing(args):
    """Names of the preprocessing options that were given, as one writes them."""
    from ..fslmrs.preprocess import unused_options

    return unused_options(_preprocessing(args), args.ecc, args.noise)


def _preprocessing(args):
    """PreprocessOptions of the parsed options."""
    from ..fslmrs.preprocess import PreprocessOptions

    names = ("align", "align_ppm_dynamic", "align_window_dynamic", "align_ppm_edit", "unlike", "remove_water",
             "truncate_fid", "conjugate")  # fmt: skip
    return PreprocessOptions(**{name: getattr(args, name) for name in names})


class HostSteps:
    """Reads scans and scales results as the options say.

    Args:
        args: parsed options.

    Raises:
        ConfigError: an option is not allowed, or FSL-MRS is missing where water is given.
    """

    def __init__(self, args):
        from ..errors import ConfigError
        from ..fslmrs import quantification

        scans = args.data or [args.edit_off]
        if args.h2o and len(args.h2o) != len(scans):
            raise ConfigError(f"--h2o takes one water scan for each scan, {len(scans)}, not {len(args.h2o)}.")
        self.preprocessing = _preprocessing(args)
        self.args = args
        self.water_of = dict(zip(scans, args.h2o))
        if args.h2o:
            quantification.require_host()
        self.options = quantification.WaterOptions(
            te=args.TE, tr=args.TR, h2o_scale=args.h2o_scale, ref_protons=args.ref_protons,
            tissue_frac=quantification.read_fractions(args.tissue_frac) if args.tissue_frac else None,
            t1_values=quantification.read_relaxation(args.t1_values, "t1") if args.t1_values else None,
            t2_values=quantification.read_relaxation(args.t2_values, "t2") if args.t2_values else None,
            wref_metabolite=args.wref_metabolite and tuple(args.wref_metabolite),
            ref_int_limits=args.ref_int_limits and tuple(args.ref_int_limits),
        )  # fmt: skip

    def read(self, path):
        """(Scan, water Scan or None) of a file, preprocessed where it is raw."""
        from tqdm import tqdm

        from ..fslmrs.preprocess import read_any_scan

        args = self.args
        with tqdm(desc="preprocessing", bar_format="{desc}", leave=False, disable=None, delay=1) as line:
            return read_any_scan(
                path, args.edit_order, self.water_of.get(path), args.ecc, args.noise, self.preprocessing,
                lambda step: line.set_description_str(f"preprocessing: {step}"),
            )  # fmt: skip

    def scale(self, result, path, water=None):
        """The Result with absolute concentrations, where its file has a water scan.

        Args:
            result: Result.
            path: as given to `read`.
            water: Scan of the water that `read` returned.
        """
        from ..fslmrs.quantification import read_water, scale_by_water, water_on_grid

        source = self.water_of.get(path)
        if source is None:
            return result
        read, fid = read_water(source) if water is None else (water, water.fids[0])
        return scale_by_water(result, water_on_grid(result.scan, read, fid), self.options, str(source))
