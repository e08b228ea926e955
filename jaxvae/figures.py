"""The pictures. Each function takes arrays and returns a Matplotlib figure; none touches pyplot."""

from jaxvae.apps.figures.animations import GifWriter, walk
from jaxvae.apps.figures.arguments import Series
from jaxvae.apps.figures.comparisons import run_comparison, sweep_curves
from jaxvae.apps.figures.images import blend, corners, image_grid, mosaic
from jaxvae.apps.figures.latents import latent_scatter, lattice, ternary
from jaxvae.apps.figures.losses import loss_curves, loss_spread
from jaxvae.apps.figures.rows import image_rows, reconstructions
from jaxvae.apps.figures.sheets import GAP
from jaxvae.apps.figures.style import MARKERS, PALETTE, STYLE
from jaxvae.apps.figures.tables import heat_maps, top_columns
from jaxvae.apps.figures.topics import topic_bars

__all__ = [
    "GAP",
    "MARKERS",
    "PALETTE",
    "STYLE",
    "GifWriter",
    "Series",
    "blend",
    "corners",
    "heat_maps",
    "image_grid",
    "image_rows",
    "latent_scatter",
    "lattice",
    "loss_curves",
    "loss_spread",
    "mosaic",
    "reconstructions",
    "run_comparison",
    "sweep_curves",
    "ternary",
    "top_columns",
    "topic_bars",
    "walk",
]
