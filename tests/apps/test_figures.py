"""Figures: what they show, not how they look (they are looked at by eye)."""

import itertools
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

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


def test_loss_spread(tmp_path):
    values = np.array([[3.0, 2.0], [1.0, 0.0], [2.0, 4.0]])
    runs = [
        [SimpleNamespace(epoch=i, loss=v, reconstruction=v, kl=v) for i, v in enumerate(row)]
        for row in values
    ]
    figure = figures.loss_spread(runs, unit="nats")
    assert rendered(figure, tmp_path) > 0.005
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata(), [2, 2])
    ax = figure.axes[0]
    extremes, deviation = (band.get_datalim(ax.transData) for band in ax.collections)
    assert (extremes.ymin, extremes.ymax) == (0, 4)
    assert deviation.ymax == pytest.approx(4)  # of 2, 0 and 4: 2 about 2
    assert "3 seeds" in figure.get_suptitle()


def test_a_steep_start_does_not_flatten_the_curve():
    values = enumerate([100.0, *np.linspace(2, 1, 19)])
    records = [SimpleNamespace(epoch=i, loss=v, reconstruction=v, kl=v) for i, v in values]
    figure = figures.loss_curves(records)
    bottom, top = figure.axes[0].get_ylim()
    assert 0.9 < bottom < 1
    assert 1.9 < top < 2.1
    assert len(figure.axes[0].lines[0].get_ydata()) == 20


def test_ternary_places_each_share_between_its_corners(tmp_path):
    shares = np.array([[2, 0, 0], [0, 3, 0], [0, 0, 1], [1, 1, 0], [1, 1, 1]])
    figure = figures.ternary(shares, np.arange(5), names=("a", "b", "c"), title="shares")
    assert rendered(figure, tmp_path) > 0.005
    drawn = [np.asarray(c.get_offsets()) for c in figure.axes[0].collections]
    points = np.concatenate([points for points in drawn if points.size])
    assert points[0] == pytest.approx([0, 1])
    assert points[1] == pytest.approx([np.sqrt(3) / 2, -0.5])
    assert points[2] == pytest.approx([-np.sqrt(3) / 2, -0.5])
    assert points[3] == pytest.approx((points[0] + points[1]) / 2)
    assert points[4] == pytest.approx([0, 0])
    assert {"a", "b", "c", "50%"} <= set(titles(figure))


@pytest.mark.parametrize("shape", [(8, 8), None])
@pytest.mark.parametrize("categories", [None, 3, 25])
def test_walk(tmp_path, shape, categories):
    shares = None if categories is None else np.full((10, categories), 1 / categories)
    animation = figures.walk(IMAGES, [f"step {i}" for i in range(10)], shape, shares=shares)
    path = tmp_path / "walk.gif"
    animation.save(path, writer=figures.GifWriter(fps=10))
    with Image.open(path) as walk:
        assert (walk.n_frames, walk.info["duration"], walk.info["loop"]) == (10, 100, 0)
        frames = []
        for i in range(10):
            walk.seek(i)
            frames.append(np.asarray(walk.convert("L"), float))
    assert all(abs(a - b).max() > 50 for a, b in itertools.pairwise(frames))


# Machado, Oliveira and Fernandes, 2009, A physiologically-based model for simulation of color
# vision deficiency: severity 1, on linear RGB.
VISION = {
    "full": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour, vision):
    """CIELAB of a colour as seen with this vision."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(VISION[vision]) @ linear, 0, 1)
    x, y, z = np.cbrt(XYZ @ seen / [0.9505, 1, 1.089])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("vision", VISION)
def test_ten_labels_look_different_to_all(vision):
    """By the distance in CIELAB: tab10, Matplotlib's default, has pairs at 5 and 7 of it."""
    seen = [lab(colour, vision) for colour in figures.PALETTE]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15
    assert len(set(figures.MARKERS)) == len(figures.PALETTE) == 10


def test_no_pyplot():
    assert "matplotlib.pyplot" not in sys.modules
