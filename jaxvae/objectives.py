"""Objectives: what is minimised, and the terms that losses are made of."""

from jaxvae.model.loss_terms import (
    LossTerms,
    bernoulli_nll,
    normal_nll,
    original_dirichlet_reconstruction,
    original_normal_kl,
    original_normal_reconstruction,
    weighted_mean,
)
from jaxvae.model.objectives import Objective, Terms, elbo, iwae, log_weight

__all__ = [
    "LossTerms",
    "Objective",
    "Terms",
    "bernoulli_nll",
    "elbo",
    "iwae",
    "log_weight",
    "normal_nll",
    "original_dirichlet_reconstruction",
    "original_normal_kl",
    "original_normal_reconstruction",
    "weighted_mean",
]
