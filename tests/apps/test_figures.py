"""Figures: what they show, not how they look (they are looked at by eye)."""

import itertools
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import jaxvae
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


def axis_labels(ax):
    return [ax.get_xlabel(), ax.get_ylabel()]


@pytest.mark.parametrize("labels", [None, 3, 10, 15])
@pytest.mark.parametrize("latent_dim", [1, 2, 3, 10])
def test_latent_scatter(tmp_path, latent_dim, labels):
    z = RNG.normal(size=(200, latent_dim))
    y = None if labels is None else np.arange(200) % labels
    figure = figures.latent_scatter(z, y)
    assert rendered(figure, tmp_path) > 0.005
    points = sum(len(c.get_offsets()) for c in figure.axes[0].collections)
    assert points == 200


@pytest.mark.parametrize("spread", [0.01, 0.1, 2.0])
def test_names_in_the_plane_do_not_hide_the_points_of_their_label(tmp_path, spread):
    """Of tight groups they stand beside the points, inside of the axes; else in their middle."""
    y = np.arange(300) % 3
    z = (
        np.array([[0, 0], [9, 0], [0, 9]])[y]
        + np.random.default_rng(0).normal(size=(300, 2)) * spread
    )
    figure = figures.latent_scatter(z, y, names=["cat", "dog", "a long name"])
    figure.savefig(tmp_path / "a.png")
    (ax,) = figure.axes
    inside = ax.get_window_extent()
    for label, text in enumerate(ax.texts):
        box = text.get_bbox_patch().get_window_extent()
        points = ax.transData.transform(z[y == label])
        hidden = [box.contains(*point) for point in points]
        assert np.mean(hidden) < 0.31
        assert inside.contains(box.x0 + 12, box.y0)
        assert inside.contains(box.x1 - 12, box.y1)
    at_median = [tuple(text.get_position()) == (0, 0) for text in ax.texts]
    assert all(at_median) == (spread == 2.0)


def test_latent_scatter_of_a_simplex_puts_each_corner_on_its_ray(tmp_path):
    figure = figures.latent_scatter(np.eye(5), np.arange(5))
    assert rendered(figure, tmp_path) > 0.005
    points = np.concatenate([c.get_offsets() for c in figure.axes[0].collections])
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1)
    np.testing.assert_allclose(points[0], [0, 1], atol=1e-12)
    assert "This is a projection" in figure.axes[0].get_xlabel()


@pytest.mark.parametrize("y", [None, [0, 1, 1, -1]], ids=["no labels", "labels"])
def test_two_categories_are_drawn_by_the_share_of_the_second(tmp_path, y):
    """Each label in a row of its own: no point lies nearer to another's."""
    second = np.array([0.0, 0.25, 1.0, 0.5])
    shares = np.column_stack([1 - second, second])
    figure = figures.latent_scatter(shares, y, names=["cat", "dog"], corners=["cat", "dog"])
    assert rendered(figure, tmp_path) > 0.005
    (ax,) = figure.axes
    points = np.concatenate([c.get_offsets() for c in ax.collections])
    points = points[np.isfinite(points).all(axis=1)]
    np.testing.assert_allclose(sorted(points[:, 0]), sorted(second))
    rows = [text.get_text() for text in ax.get_yticklabels()]
    assert rows == ([""] if y is None else ["no label", "cat", "dog"])
    found = {share: rows[round(height)] for share, height in points}
    if y is not None:
        assert found == {0.0: "cat", 0.25: "dog", 1.0: "dog", 0.5: "no label"}
    assert "share of category dog" in ax.get_xlabel()


def test_principal_components():
    """Of points whose variances along four turned axes are 9, 4, 1 and 0: in sevenths."""
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=4)))
    turn = np.linalg.qr(RNG.normal(size=(4, 4)))[0]
    z = signs * [3, 2, 1, 0] @ turn + RNG.normal(size=4)
    (ax,) = figures.latent_scatter(z, principal="style").axes
    points = np.asarray(ax.collections[0].get_offsets())
    np.testing.assert_allclose(np.abs(points), [[3, 2]] * 16, atol=1e-9)
    assert ax.get_xlabel() == "first principal component of 4 style dimensions (64% of variance)"
    assert ax.get_ylabel() == "second principal component of 4 style dimensions (29% of variance)"


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_principal_components_of_few_examples(tmp_path, rows):
    figure = figures.latent_scatter(RNG.normal(size=(rows, 5)), principal="style")
    assert rendered(figure, tmp_path) > 0.005
    shares = [int(text.split("(")[1].split("%")[0]) for text in axis_labels(figure.axes[0])]
    assert sum(shares) == (0 if rows == 1 else 100)


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


def record(i, **more):
    return SimpleNamespace(**{"epoch": i, "loss": 2 - i, "reconstruction": 0.5, "kl": i} | more)


@pytest.mark.parametrize("z", [np.full((1, 2), 3.0), np.array([[1e4, 0], [1e4, 2]], np.float32)])
def test_a_lattice_of_points_that_are_alike_has_a_width(z, tmp_path):
    """As of one example, or of a latent that has collapsed."""
    points, extent = figures.lattice(z, n=3)
    assert np.ptp(points[:, 0]) == pytest.approx(2)
    assert extent[0] < z[0, 0] < extent[1]
    page = figures.mosaic(np.zeros((9, 64)), (8, 8), title="Nine", extent=extent)
    assert rendered(page, tmp_path) > 0.1


def test_one_epoch_has_no_halves(tmp_path):
    record = jaxvae.EpochRecord(0, 4.0, 3.0, 1.0, 0.5, 2874.0, np.zeros(2, np.float32))
    alone = figures.loss_curves([record])
    together = figures.run_comparison({"loss": {"a": [3.0], "b": [2.0]}}, {"RMSE": {"a": 1}})
    for ax in (*alone.axes, together.axes[0]):
        low, high = ax.get_xlim()
        assert [tick for tick in ax.get_xticks() if low <= tick <= high] == [1.0]


def test_loss_curves(tmp_path):
    figure = figures.loss_curves([record(i, loss=1 / (i + 1)) for i in range(5)])
    assert titles(figure) == ["loss", "reconstruction", "KL"]
    np.testing.assert_allclose(figure.axes[0].lines[0].get_ydata()[1], 0.5)
    assert figure.axes[0].get_ylabel() == "nats"
    assert not any(ax.get_legend() for ax in figure.axes)
    assert rendered(figure, tmp_path) > 0.005


def test_what_is_held_out_and_the_parts_of_the_kl(tmp_path):
    """Beside the curves of training; the lowest point is marked, and no text covers a curve."""
    held_out = [3.0, 1.0, 2.0]
    records = [
        record(i, validation_loss=held_out[i], kl_category=0.25 * i, kl_style=0.75 * i)
        for i in range(3)
    ]
    figure = figures.loss_curves(records)
    loss, _, kl = figure.axes
    curves = {line.get_label(): list(line.get_ydata()) for line in loss.lines}
    assert curves["training"] == [2, 1, 0]
    assert curves["held out"] == held_out
    assert curves["lowest held out: epoch 2"] == [1.0]
    curves = {line.get_label(): list(line.get_ydata()) for line in kl.lines[:-1]}
    assert curves == {"all parts": [0, 1, 2], "category": [0, 0.25, 0.5], "style": [0, 0.75, 1.5]}
    assert rendered(figure, tmp_path) > 0.005
    for ax in (loss, kl):
        assert ax.get_legend().get_window_extent().y1 < ax.get_window_extent().y0


def test_records_of_fit():
    """What a record has more is in `more`; a run without held-out examples has None there."""
    more = {"kl_category": 0.25, "kl_style": 0.75, "other": 9.0}
    records = [jaxvae.EpochRecord(i, 4, 3, 1, 0.5, 9, np.zeros(2), more=more) for i in range(2)]
    loss, _, kl = figures.loss_curves(records).axes
    assert [line.get_label() for line in kl.lines] == ["all parts", "category", "style"]
    assert len(loss.lines) == 1


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


def test_held_out_losses_of_which_some_are_no_numbers(tmp_path):
    """Of several runs whose mean is a number after no epoch no point is marked."""
    nan, found = float("nan"), []
    for held_out in ([[nan, 1.0, 2.0]], [[nan, nan, nan], [3.0, 1.0, 2.0]]):
        runs = [[record(i, validation_loss=v) for i, v in enumerate(own)] for own in held_out]
        figure = figures.loss_curves(*runs) if len(runs) == 1 else figures.loss_spread(runs)
        assert rendered(figure, tmp_path) > 0.005
        found.append([line.get_label() for line in figure.axes[0].lines])
    assert "lowest held out: epoch 2" in found[0]
    assert not any("lowest" in label for label in found[1])


@pytest.mark.parametrize(
    ("losses", "rows"),
    [
        ([100.0, *np.linspace(2, 1, 19)], 2),
        ([*np.linspace(2, 1, 19), 100.0], 1),  # later than the first tenth, so always in sight
        (list(np.linspace(3, 1, 20)), 1),
        ([100.0, 2, 1], 1),
    ],
    ids=["steep start", "steep end", "even", "few epochs"],
)
def test_every_epoch_is_in_sight(losses, rows):
    """A steep start does not flatten the rest: that is drawn once more by itself."""
    figure = figures.loss_curves([record(i, loss=v, kl=1) for i, v in enumerate(losses)])
    assert len(figure.axes) == 3 * rows
    for ax in figure.axes:
        low, high = ax.get_ylim()
        for line in ax.lines:
            assert low <= min(line.get_ydata()) <= max(line.get_ydata()) <= high
    whole = figure.axes[0].lines[0]
    assert list(whole.get_ydata()) == losses
    assert list(whole.get_xdata()) == list(range(1, len(losses) + 1))
    if rows == 2:
        rest = figure.axes[3]
        assert rest.get_title() == "loss, from epoch 3 on"
        assert list(rest.lines[0].get_ydata()) == losses[2:]
        assert rest.get_ylim()[1] < 3


def test_no_epochs():
    with pytest.raises(ValueError, match="epochs must be at least one record, got none"):
        figures.loss_curves([])


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
    assert {"a", "b", "c", "50% of a", "25% of b", "75% of c"} <= set(titles(figure))


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


def test_a_walk_of_columns(tmp_path):
    """A bar for each column, as long as its value."""
    rows = np.array([[1.0, -2.0, 0.0], [0.5, 3.0, 1.0]])
    animation = figures.walk(rows, ["a", "b"], None, column_names=["x", "y", "z"], unit="cm")
    animation.save(tmp_path / "walk.gif", writer=figures.GifWriter(fps=10))
    (ax,) = animation._fig.axes
    assert [bar.get_width() for bar in ax.patches] == rows[1].tolist()
    assert [text.get_text() for text in ax.get_yticklabels()] == ["x", "y", "z"]
    assert ax.get_xlim()[0] < -2 < 3 < ax.get_xlim()[1]
    assert ax.get_xlabel() == "cm"


def test_long_captions_of_a_walk_stay_in_the_picture(tmp_path):
    animation = figures.walk(IMAGES[:1], ["From one example to another " * 4], (8, 8))
    animation._draw_was_started = True  # of one that is never saved Matplotlib warns
    figure = animation._fig
    rendered(figure, tmp_path)
    text = figure._suptitle.get_window_extent()
    assert figure.bbox.x0 <= text.x0 <= text.x1 <= figure.bbox.x1
    assert text.y0 >= figure.axes[0].get_window_extent().y1


def cells(figure):
    """Of each image its left, right, bottom and top."""
    return np.array([image.get_extent() for image in figure.axes[0].images])


def in_the_picture(figure, tmp_path):
    """Whether all texts lie in the picture."""
    rendered(figure, tmp_path)
    whole = figure.bbox.padded(1)
    texts = [text for ax in figure.axes for text in ax.texts] + figure.texts
    boxes = [text.get_window_extent() for text in texts]
    return all(whole.x0 <= b.x0 and b.x1 <= whole.x1 and whole.y0 <= b.y0 and b.y1 <= whole.y1
               for b in boxes)  # fmt: skip


@pytest.mark.parametrize("names", [[*"abcd"], ["a category of a very long name"] * 4])
def test_rows_of_images(tmp_path, names):
    figure = figures.image_rows(
        RNG.random((3, 5, 12)), (4, 3), title="styles", row_names=["label long enough"] * 3,
        column_names=["original", *names], apart=1, framed=[1, -1, 4], note="a note",
    )  # fmt: skip
    assert in_the_picture(figure, tmp_path)
    places = cells(figure).reshape(3, 5, 4)
    left, right, bottom, top = np.moveaxis(places, -1, 0)
    np.testing.assert_allclose(right - left, (right - left)[0, 0])
    np.testing.assert_allclose((bottom - top) / (right - left), 4 / 3)
    gaps = left[:, 1:] - right[:, :-1]
    assert (gaps[:, 0] > 3 * gaps[:, 1]).all()
    np.testing.assert_allclose(gaps[:, 1:], gaps[0, 1])
    frames = [patch.get_bbox().x0 for patch in figure.axes[0].patches]
    np.testing.assert_allclose(frames, [left[0, 1], left[2, 4]])


@pytest.mark.parametrize(("examples", "banks"), [(5, 1), (12, 1), (13, 2), (20, 2)])
def test_reconstructions_lie_below_their_originals(tmp_path, examples, banks):
    x = np.linspace(0, 1, examples * 4).reshape(examples, 4)
    figure = figures.reconstructions(x, 1 - x, (2, 2), names=[f"n{i}" for i in range(examples)])
    assert in_the_picture(figure, tmp_path)
    shown = {
        tuple(np.round(place[[0, 3]], 6)): np.asarray(image.get_array()).ravel()
        for place, image in zip(cells(figure), figure.axes[0].images, strict=True)
    }
    rows = sorted({top for _, top in shown})
    assert len(rows) == 2 * banks
    for i, own in enumerate(x):
        left, top = next(at for at, value in shown.items() if np.allclose(value, own))
        below = rows[rows.index(top) + 1]
        np.testing.assert_allclose(shown[left, below], 1 - own)
        assert rows.index(top) % 2 == 0
        (name,) = (text for text in figure.axes[0].texts if text.get_text() == f"n{i}")
        assert name.get_position()[1] < top


def test_what_is_missing_in_an_image_is_white():
    x = np.full((1, 12), np.nan)
    for shape in ((3, 4), (2, 2, 3)):
        original, _ = figures.reconstructions(x, np.zeros((1, 12)), shape).axes[0].images
        assert (np.asarray(original.get_array()) == 1).all()


def test_heat_maps_show_the_columns_that_vary_most(tmp_path):
    spread = RNG.permutation(100)
    rows = np.array([-1.0, 0, 1])[:, None] * spread
    names = [f"column {s}" for s in spread]
    figure = figures.heat_maps({"a": rows, "b": rows}, column_names=names, title="many")
    assert in_the_picture(figure, tmp_path)
    shown = [text for text in titles(figure) if text.startswith("column ")]
    assert shown == [name for name, s in zip(names, spread, strict=True) if s >= 60]
    for image in figure.axes[0].images:
        np.testing.assert_array_equal(image.get_array(), rows[:, spread >= 60])
        assert image.norm.vmin == -3
        assert image.norm.vmax == 3
    assert "40 of 100 columns" in figure.texts[-1].get_text()


def test_heat_maps_with_numbers_and_what_is_missing(tmp_path):
    values = np.array([[0.5, np.nan], [-1.0, 0.25]])
    numbers = np.array([[1.0, 2.0], [1234.5, 0.12345]])
    figure = figures.heat_maps(
        {"": values}, column_names=["x", "y"], title="two", row_names=["a", "b"], numbers=numbers
    )
    assert in_the_picture(figure, tmp_path)
    assert {"1", "1,234", "0.123"} <= set(titles(figure))
    (image,) = figure.axes[0].images
    assert image.norm.vmax == 1
    np.testing.assert_array_equal(np.ma.getmaskarray(image.get_array()), np.isnan(values))


@pytest.mark.parametrize(("columns", "beside"), [(4, True), (30, False)])
def test_two_narrow_heat_maps_lie_beside_each_other(tmp_path, columns, beside):
    rows = RNG.normal(size=(5, columns))
    names = [f"a column of name {k}" for k in range(columns)]
    panels = {"originals": rows, "reconstructions": rows}
    figure = figures.heat_maps(panels, column_names=names, title="both", row_names=[*"abcde"])
    assert in_the_picture(figure, tmp_path)
    first, second = cells(figure)
    assert (first[3] == second[3]) == beside
    assert (first[1] < second[0]) == beside


def test_top_columns(tmp_path):
    shares = np.array([[0.5, 0.3, 0.2, 0.0], [0.1, 0.1, 0.2, 0.6]])
    figure = figures.top_columns(
        shares, names=["x", "y"], column_names=["of", "and", "the", "a word of many letters"],
        title="top", top=2,
    )  # fmt: skip
    assert in_the_picture(figure, tmp_path)
    assert titles(figure)[1:] == [
        "x", "of", "50%", "and", "30%", "y", "a word of many le…", "60%", "the", "20%",
    ]  # fmt: skip
    lengths = [bar.get_width() for bar in figure.axes[0].patches]
    np.testing.assert_allclose(lengths, np.array([0.5, 0.3, 0.6, 0.2]) * lengths[2] / 0.6)


def heat_maps(**given):
    return figures.heat_maps(
        **{"panels": {"": np.eye(2)}, "column_names": "ab", "title": ""} | given
    )


def top_columns(**given):
    named = {"names": "ab", "column_names": "ab", "title": ""}
    return figures.top_columns(**{"shares": np.eye(2)} | named | given)


def rows_of_ten(**given):
    return figures.image_rows(
        **{"images": IMAGES[None], "image_shape": (8, 8), "title": ""} | given
    )


def scatter(z, **given):
    return figures.latent_scatter(np.asarray(z, float), **given)


def triangle(shares):
    return figures.ternary(np.asarray(shares, float), names="abc", title="")


def walk_of_two(images, shape, names):
    return figures.walk(images, ["one", "two"], shape, column_names=names)


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        (
            rows_of_ten,
            {"images": IMAGES},
            r"images must have the shape \[R, C, D\], not empty",
        ),
        (rows_of_ten, {"row_names": "ab"}, "row_names must be one for each of 1, got 2"),
        (rows_of_ten, {"column_names": "ab"}, "column_names must be one for each of 10, got 2"),
        (rows_of_ten, {"framed": [1, 2]}, "framed must be one for each of 1, got 2"),
        (rows_of_ten, {"image_shape": (8, 9)}, "image_shape must be of the 64 values"),
        (rows_of_ten, {"image_shape": (4, 8, 2)}, r"with 1, 3 or 4 channels, got \(4, 8, 2\)"),
        (scatter, {"z": [[0, np.nan]]}, r"z must be finite, got nan at index \(0, 1\)"),
        (scatter, {"z": np.eye(12), "corners": "abc"}, "corners must be one for each of 12"),
        (scatter, {"z": np.eye(2), "corners": "abc"}, "corners must be one for each of 2 cat"),
        (figures.lattice, {"z": [[0, np.inf], [1, 2]]}, "z must be finite, got inf"),
        (triangle, {"shares": [[0, np.nan, 1]]}, "shares must be finite, got nan"),
        (heat_maps, {"panels": {}}, "panels must be a dict of arrays by name, got an empty one"),
        (heat_maps, {"panels": np.eye(2)}, "panels must be a dict of arrays by name, got ndarray"),
        (heat_maps, {"column_names": "abc"}, "column_names must be one for each of 2 columns"),
        (heat_maps, {"row_names": "a"}, "row_names must be one for each of 2 rows, got 1"),
        (heat_maps, {"numbers": np.eye(3)}, r"numbers must have the shape of the one panel, got"),
        (top_columns, {"shares": -np.eye(2)}, "shares must be at least 0, got -1.0"),
        (top_columns, {"shares": np.full((2, 2), np.nan)}, "shares must be at least 0, got nan"),
        (top_columns, {"names": "a"}, "names must be one for each of 2, got 1"),
        (top_columns, {"column_names": "a"}, "column_names must be one for each of 2, got 1"),
        (top_columns, {"top": 0}, "top must be at least 1, got 0"),
        (
            walk_of_two,
            {"images": np.eye(2), "shape": None, "names": "abc"},
            "column_names must be one for each of 2 values",
        ),
        (
            walk_of_two,
            {"images": np.ones((2, 4)), "shape": (2, 2), "names": "abcd"},
            "no image, got 4 for the shape",
        ),
    ],
)
def test_bad_input(make, given, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make(**given)


def test_bad_names_of_reconstructions():
    with pytest.raises(ValueError, match="names must be one for each of 10 examples, got 2"):
        figures.reconstructions(IMAGES, IMAGES, (8, 8), names="ab")


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
