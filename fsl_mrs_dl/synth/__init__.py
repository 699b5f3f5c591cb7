"""Basis sets to training spectra: draw parameters, then apply them."""
