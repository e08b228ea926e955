"""Networks: ready-made ones, and what makes them of Flax modules or of functions."""

from jaxvae.model.convolutional_networks import (
    convolutional_dirichlet_network,
    convolutional_network,
    convolutional_normal_network,
)
from jaxvae.model.count_modules import (
    HybridDecoder,
    MixtureDecoder,
    NormalizedDirichletHead,
    ProductDecoder,
)
from jaxvae.model.count_networks import seeded, topic_network
from jaxvae.model.flax_network import flax_function, flax_network
from jaxvae.model.modules import (
    ACTIVATIONS,
    CONCENTRATION_HEADS,
    MLP,
    ConvolutionalDecoder,
    ConvolutionalTrunk,
    Decoder,
    DirichletEncoder,
    DirichletHead,
    Encoder,
    KumaraswamyHead,
    LogitsHead,
    NormalEncoder,
    NormalHead,
)
from jaxvae.model.network_wrappers import centred, of_counts, scaled_parts
from jaxvae.model.networks import Function, Network, Training, join
from jaxvae.model.ready_networks import (
    dense_dirichlet_network,
    dense_network,
    dense_normal_network,
)

__all__ = [
    "ACTIVATIONS",
    "CONCENTRATION_HEADS",
    "MLP",
    "ConvolutionalDecoder",
    "ConvolutionalTrunk",
    "Decoder",
    "DirichletEncoder",
    "DirichletHead",
    "Encoder",
    "Function",
    "HybridDecoder",
    "KumaraswamyHead",
    "LogitsHead",
    "MixtureDecoder",
    "Network",
    "NormalEncoder",
    "NormalHead",
    "NormalizedDirichletHead",
    "ProductDecoder",
    "Training",
    "centred",
    "convolutional_dirichlet_network",
    "convolutional_network",
    "convolutional_normal_network",
    "dense_dirichlet_network",
    "dense_network",
    "dense_normal_network",
    "flax_function",
    "flax_network",
    "join",
    "of_counts",
    "scaled_parts",
    "seeded",
    "topic_network",
]
