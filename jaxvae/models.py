"""A network, a latent and an objective bound into `VAE`, a tuple of pure functions."""

from jaxvae.model.models import (
    LIKELIHOODS,
    OBJECTIVES,
    VAE,
    DirichletPrior,
    accept_any_data,
    dirichlet_vae,
    label_prior,
    normal_vae,
    symmetric_prior,
)

__all__ = [
    "LIKELIHOODS",
    "OBJECTIVES",
    "VAE",
    "DirichletPrior",
    "accept_any_data",
    "dirichlet_vae",
    "label_prior",
    "normal_vae",
    "symmetric_prior",
]
