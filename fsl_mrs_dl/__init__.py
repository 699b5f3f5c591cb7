"""Deep-learning fitting of magnetic resonance spectra, a plugin to FSL-MRS."""

from ._version import __version__
from .fslmrs import plugin as _plugin

_PUBLIC = {
    "quantify": "fit.quantify",
    "Quantifier": "fit.quantify",
    "Result": "fit.result",
    "read_scan": "fit.scan",
    "read_edited_pair": "fit.scan",
    "read_basis": "basis.basis_set",
    "write_basis": "basis.basis_set",
    "shipped_basis": "basis.basis_set",
    "load_model": "model.checkpoint",
    "save_model": "model.checkpoint",
    "FslMrsDlError": "errors",
}
"""Public name -> module that has it; imported when the name is first asked for."""

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name):
    """Public names on demand (PEP 562), so that importing the package takes no time."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})


# Once FSL-MRS is imported, before or after this, its functions know the method "dl".
_plugin.install()
