"""Latents: families of distributions to `bind`, and their parameters."""

from jaxvae.model.latents import (
    Latent,
    dirichlet,
    dirichlet_with,
    logistic_normal,
    normal,
    product,
)
from jaxvae.model.parameters import Dirichlet, Kumaraswamy, Logits, Normal
from jaxvae.model.relaxations import concrete, stick_breaking

__all__ = [
    "Dirichlet",
    "Kumaraswamy",
    "Latent",
    "Logits",
    "Normal",
    "concrete",
    "dirichlet",
    "dirichlet_with",
    "logistic_normal",
    "normal",
    "product",
    "stick_breaking",
]
