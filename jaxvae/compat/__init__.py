"""The API of the 2020 TensorFlow script, on the functional core.

`from jaxvae import compat as vae` takes the place of `import vae`: same names, arguments, defaults,
return shapes and printed lines. Its methods call functions of the library.
`docs/migration.md` says what differs and why.
"""

from jaxvae.compat.classes import DIRICHLET_VAE, VAE
from jaxvae.compat.coders import (
    Array,
    Coder,
    Mapping,
    dense_encoder_decoder,
    dense_encoder_decoder_dirichlet,
)
from jaxvae.compat.keys import set_seed
from jaxvae.compat.weights import get_weights, set_weights

__all__ = [
    "DIRICHLET_VAE",
    "VAE",
    "Array",
    "Coder",
    "Mapping",
    "dense_encoder_decoder",
    "dense_encoder_decoder_dirichlet",
    "get_weights",
    "set_seed",
    "set_weights",
]
