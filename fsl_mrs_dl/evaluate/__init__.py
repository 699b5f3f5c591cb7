"""How good the fits are, against known contents and other tools."""
