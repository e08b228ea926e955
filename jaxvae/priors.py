"""Priors to `bind`: fixed, made from labels, learned."""

from jaxvae.model.label_priors import from_labels
from jaxvae.model.learned_priors import learned, mixture
from jaxvae.model.priors import Context, Prior, in_family, product, standard_normal, symmetric

__all__ = [
    "Context",
    "Prior",
    "from_labels",
    "in_family",
    "learned",
    "mixture",
    "product",
    "standard_normal",
    "symmetric",
]
