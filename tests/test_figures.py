"""Figures: what they show, not how they look (they are looked at by eye)."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jaxvae import figures

RNG = np.random.default_rng(0)
IMAGES = RNG.random((10, 64))


def rendered(figure, tmp_path):
    """Draw the figure, which raises if it cannot be, and return what is not white."""
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "figure.png", dpi=50)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    return (pixels < 250).any(axis=-1).mean()


def titles(figure):
    shown = [figure.get_suptitle()]
    for ax in figure.axes:
        shown += [ax.get_title(), *(text.get_text() for text in ax.texts)]
    return [title for title in shown if title]


@pytest.mark.parametrize("labels", [None, 3, 10, 15])
@pytest.mark.parametrize("latent_dim", [1, 2, 3, 10])
def test_latent_scatter(tmp_path, latent_dim, labels):
    z = RNG.normal(size=(200, latent_dim))
    y = None if labels is None else np.arange(200) % labels
    figure = figures.latent_scatter(z, y)
    assert rendered(figure, tmp_path) > 0.005
    points = sum(len(c.get_offsets()) for c in figure.axes[0].collections)
    assert points == 200


def test_latent_scatter_of_a_simplex_puts_each_corner_on_its_ray(tmp_path):
    figure = figures.latent_scatter(np.eye(5), np.arange(5))
    assert rendered(figure, tmp_path) > 0.005
    points = np.concatenate([c.get_offsets() for c in figure.axes[0].collections])
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1)
    np.testing.assert_allclose(points[0], [0, 1], atol=1e-12)
    assert "category" in figure.axes[0].get_xlabel()


@pytest.mark.parametrize("shape", [(8, 8), None])
def test_pictures_of_images_and_of_vectors(tmp_path, shape):
    weights = (0.0, 0.5, 1.0)
    pages = [
        figures.corners(IMAGES, shape),
        figures.blend(IMAGES[:3], weights, ("0", "1"), shape),
        figures.reconstructions(IMAGES, IMAGES, shape),
        figures.mosaic(IMAGES[:9], shape, title="nine"),
        figures.image_grid(IMAGES, shape, columns=4, title="ten"),
    ]
    for figure in pages:
        assert rendered(figure, tmp_path) > 0.02
        assert titles(figure)
    assert "category 9" in titles(pages[0])
    assert "50% 0\n50% 1" in titles(pages[1])


def test_mosaic_places_images_row_by_row(tmp_path):
    images = np.zeros((4, 6))
    images[1] = 1
    figure = figures.mosaic(images, (3, 2), title="", extent=(-1, 1, -2, 2))
    (picture,) = figure.axes[0].images
    expected = np.zeros((6, 4))
    expected[:3, 2:] = 1
    np.testing.assert_array_equal(picture.get_array(), expected)
    assert picture.get_extent() == [-1, 1, -2, 2]


def test_lattice_covers_the_latent_from_the_top_left():
    points, extent = figures.lattice(np.array([[0.0, 1.0], [2.0, 5.0]]), n=3)
    np.testing.assert_allclose(points[0], [0, 5])
    np.testing.assert_allclose(points[-1], [2, 1])
    assert extent == (-0.5, 2.5, 0.0, 6.0)


def test_loss_curves(tmp_path):
    records = [
        SimpleNamespace(epoch=i, loss=1 / (i + 1), reconstruction=0.5, kl=i) for i in range(5)
    ]
    figure = figures.loss_curves(records)
    assert titles(figure) == ["loss", "reconstruction", "KL"]
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata()[1], 0.5)
    assert figure.axes[0].get_ylabel() == "nats"
    assert rendered(figure, tmp_path) > 0.005


def test_no_pyplot():
    assert "matplotlib.pyplot" not in sys.modules
