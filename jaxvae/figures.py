"""The pictures. Each function takes arrays and returns a Matplotlib figure; none touches pyplot."""

from jaxvae.apps.figures import (
    GAP,
    MARKERS,
    PALETTE,
    STYLE,
    GifWriter,
    blend,
    corners,
    image_grid,
    latent_scatter,
    lattice,
    loss_curves,
    loss_spread,
    mosaic,
    reconstructions,
    ternary,
    walk,
)

__all__ = [
    "GAP",
    "MARKERS",
    "PALETTE",
    "STYLE",
    "GifWriter",
    "blend",
    "corners",
    "image_grid",
    "latent_scatter",
    "lattice",
    "loss_curves",
    "loss_spread",
    "mosaic",
    "reconstructions",
    "ternary",
    "walk",
]
