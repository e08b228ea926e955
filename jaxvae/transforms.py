"""Transforms to `bind`: from the user's units to the model's and back."""

from jaxvae.model.transforms import (
    Transform,
    arcsinh,
    divided_by,
    fitted,
    identity,
    standardized,
)

__all__ = ["Transform", "arcsinh", "divided_by", "fitted", "identity", "standardized"]
