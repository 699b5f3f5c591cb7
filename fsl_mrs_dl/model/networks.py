"""The networks by name."""

from ..errors import ConfigError
from .cnn import Cnn, CnnConfig
from .fcnn import Fcnn, FcnnConfig
from .guarded import Guarded, GuardedConfig
from .hybrid import Hybrid, HybridConfig
from .yae import Yae, YaeConfig

NETWORKS = {
    "yae": (Yae, YaeConfig),
    "cnn": (Cnn, CnnConfig),
    "fcnn": (Fcnn, FcnnConfig),
    "hybrid": (Hybrid, HybridConfig),
    "guarded": (Guarded, GuardedConfig),
}
"""Name -> (network, its configuration); a new network is one line here and one module.

A network is made by `network(config, channels, bins, metabolites)`, has `forward(channels) -> output.Output` and
`loss(output, truth, epoch=0)`, with the number of the epoch for weights that change in training. Its configuration is a
frozen dataclass; `input_bins` there, if any, is how many points of a spectrum it sees; `SEARCH` and `searched`, if any,
are what a model selection varies and the configuration of a choice. `spectra`, if any, is how many a scan must have.
`take_basis(fids, config)`, if any, tells the network the basis set before it is trained, and `check_taken(config)`
refuses loaded weights that hold none."""


def network_classes(name):
    """(network, configuration) classes of a name; ConfigError where there is none."""
    if name not in NETWORKS:
        raise ConfigError(f"There is no network {name!r}; take one of {', '.join(NETWORKS)}.")
    return NETWORKS[name]
