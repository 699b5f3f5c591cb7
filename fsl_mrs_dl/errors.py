"""Errors that fsl_mrs_dl raises: each says the rule, the value found and the way out."""


class FslMrsDlError(ValueError):
    """Base of every error that is the fault of the input; commands print it as one line."""


class DataError(FslMrsDlError):
    """A scan cannot be read or cannot be quantified."""


class BasisError(FslMrsDlError):
    """A basis set, pulse, spin system or sequence description is unusable."""


class ModelError(FslMrsDlError):
    """A model folder is unusable, or does not fit the data or the basis."""


class ConfigError(FslMrsDlError):
    """An option or a configuration value is not allowed."""


class OutputError(FslMrsDlError):
    """A result cannot be written where it was asked for."""
