"""Likelihoods to `bind`: what the decoder's output says of x."""

from jaxvae.model.counts import (
    categorical,
    dirichlet_multinomial,
    multinomial,
    negative_binomial,
    poisson,
)
from jaxvae.model.likelihoods import Likelihood, bernoulli, distribution, normal

__all__ = [
    "Likelihood",
    "bernoulli",
    "categorical",
    "dirichlet_multinomial",
    "distribution",
    "multinomial",
    "negative_binomial",
    "normal",
    "poisson",
]
