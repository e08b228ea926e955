"""The pictures. Each function takes arrays and returns a Matplotlib figure; none touches pyplot."""

from jaxvae.apps.figures.animations import GifWriter, walk
from jaxvae.apps.figures.arguments import Series
from jaxvae.apps.figures.images import GAP, blend, corners, image_grid, mosaic, reconstructions
from jaxvae.apps.figures.latents import latent_scatter, lattice, ternary
from jaxvae.apps.figures.losses import loss_curves, loss_spread
from jaxvae.apps.figures.style import MARKERS, PALETTE, STYLE

__all__ = [
    "GAP",
    "MARKERS",
    "PALETTE",
    "STYLE",
    "GifWriter",
    "Series",
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
