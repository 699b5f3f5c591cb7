"""The networks by name."""

from ..errors import ConfigError
from .cnn import Cnn, CnnConfig
from .yae import Yae, YaeConfig

NETWORKS = {"yae": (Yae, YaeConfig), "cnn": (Cnn, CnnConfig)}
"""Name -> (network, its configuration); a new network is one line here and one module."""


def network_classes(name):
    """(network, configuration) classes of a name; ConfigError where there is none."""
    if name not in NETWORKS:
        raise ConfigError(f"There is no network {name!r}; take one of {', '.join(NETWORKS)}.")
    return NETWORKS[name]
