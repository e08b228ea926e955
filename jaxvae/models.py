"""Models: `VAE`, `bind`, and the two models by their short names."""

from jaxvae.model.ready import (
    DirichletPrior,
    dirichlet_vae,
    label_prior,
    normal_vae,
    symmetric_prior,
)
from jaxvae.model.vae import VAE, bind

__all__ = [
    "VAE",
    "DirichletPrior",
    "bind",
    "dirichlet_vae",
    "label_prior",
    "normal_vae",
    "symmetric_prior",
]
