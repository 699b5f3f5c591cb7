"""The fsl_mrs_dl command: one thin module per subcommand."""
