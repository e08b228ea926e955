"""Models: `VAE`, `bind`, and the two models by their short names."""

from jaxvae.model.ready import (
    DirichletPrior,
    _LabelConcentration,
    _SymmetricConcentration,
    dirichlet_vae,
    label_prior,
    normal_vae,
    symmetric_prior,
)
from jaxvae.model.vae import VAE, bind

__all__ = [
    "VAE",
    "DirichletPrior",
    "_LabelConcentration",
    "_SymmetricConcentration",
    "bind",
    "dirichlet_vae",
    "label_prior",
    "normal_vae",
    "symmetric_prior",
]
