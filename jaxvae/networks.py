"""The Flax modules, and `Network`: an encoder and a decoder as pure functions of parameters."""

from jaxvae.model.networks import (
    ACTIVATIONS,
    CONCENTRATION_HEADS,
    MLP,
    Decoder,
    DirichletEncoder,
    Function,
    Network,
    NormalEncoder,
    dense_dirichlet_network,
    dense_normal_network,
    flax_function,
    flax_network,
    join,
)

__all__ = [
    "ACTIVATIONS",
    "CONCENTRATION_HEADS",
    "MLP",
    "Decoder",
    "DirichletEncoder",
    "Function",
    "Network",
    "NormalEncoder",
    "dense_dirichlet_network",
    "dense_normal_network",
    "flax_function",
    "flax_network",
    "join",
]
