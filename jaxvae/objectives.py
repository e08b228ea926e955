"""What is minimised, as small functions of arrays."""

from jaxvae.model.objectives import (
    LossTerms,
    bernoulli_nll,
    normal_nll,
    original_dirichlet_reconstruction,
    original_normal_kl,
    original_normal_reconstruction,
    weighted_mean,
)

__all__ = [
    "LossTerms",
    "bernoulli_nll",
    "normal_nll",
    "original_dirichlet_reconstruction",
    "original_normal_kl",
    "original_normal_reconstruction",
    "weighted_mean",
]
