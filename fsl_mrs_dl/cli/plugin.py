"""fsl_mrs_dl plugin: make the algorithm 'dl' known to FSL-MRS's own commands."""

ACTIONS = ("enable", "disable", "status")


def add_arguments(parser):
    """The one argument of the command."""
    parser.add_argument(
        "action",
        choices=ACTIONS,
        help="enable: fsl_mrs and fsl_mrsi know --algo dl, by a line that Python runs when it starts; "
        "disable: remove that line; status: say whether it is there",
    )


def run(args):
    """Do it and say what is so now."""
    from ..fslmrs import start_line

    if args.action == "enable":
        start_line.enable()
    elif args.action == "disable":
        for path in start_line.disable():
            print(f"removed {path}")
    present = start_line.enabled()
    where = ", ".join(str(path) for path in present)
    print(f"start-up hook: {f'on ({where})' if present else 'off'}")
    version = start_line.host_version()
    print(f"FSL-MRS: {'cannot be imported by this Python' if version is None else version}")
    if version is None:
        print("  fsl_mrs_dl fit does not need it; docs/inside-fsl-mrs.md says how to install both.")
    elif present:
        print("  fsl_mrs --algo dl and fsl_mrsi --algo dl fit with a network.")
    else:
        print("  fsl_mrs_dl plugin enable makes --algo dl known to fsl_mrs and fsl_mrsi; fsl_mrs_dl fit needs it not.")
    return 0
