"""Deep-learning fitting of magnetic resonance spectra, a plugin to FSL-MRS."""

from ._version import __version__

__all__ = ["__version__"]
