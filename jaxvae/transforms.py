"""Transforms to `bind`: from the user's units to the model's and back."""

from jaxvae.model.transforms import Transform, divided_by, identity, standardized

__all__ = ["Transform", "divided_by", "identity", "standardized"]
