"""The pages of a run: which there are, which points they decode, and what their texts say.

The models are not trained: what a page shows does not hang on how well it does.
"""

import json
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from jaxvae.apps import chosen, description, gallery, pages, runs, samples
from jaxvae.apps.drawing import Columns, Pictures, drawing_of
from jaxvae.apps.latent_space import rows as rows_of
from jaxvae.apps.options import DataOptions, Options, TrainingOptions
from jaxvae.apps.run_config import Config
from jaxvae.data import datasets
from jaxvae.data.batches import Batch

RNG = np.random.default_rng(0)
NAMES = ("ant", "bee", "cat")
LABELS = np.repeat([0, 1, 2], 20)


def table(columns, labels=True):
    x = RNG.normal(size=(60, columns)) * np.arange(1, columns + 1) + 7 * np.arange(columns)
    x[:, 0] += 5 * LABELS
    y = [NAMES[label] for label in LABELS] if labels else None
    return datasets.from_arrays(x, y, column_names=[f"column {k}" for k in range(columns)])


def run_of(folder, data, **options):
    """A run whose model was not trained."""
    own = chosen.resolve(Options(layers=1, hidden_units=8, **options), data)
    model = chosen.describe(own, data)
    vae = description.build(model)
    params = vae.init(jax.random.key(0), Batch(np.asarray(data.x_train[:1], np.float32)))
    config = Config(model=model, data=DataOptions(), training=TrainingOptions())
    return runs.Run(folder, config, vae, params, data)


@pytest.fixture(scope="module")
def joint(tmp_path_factory):
    """On digits that have three labels, with the records of a training."""
    whole = datasets.load_digits()
    few = whole.y_train < 3, whole.y_test < 3
    data = whole._replace(
        x_train=whole.x_train[few[0]],
        y_train=whole.y_train[few[0]],
        x_test=whole.x_test[few[1]],
        y_test=whole.y_test[few[1]],
        label_names=NAMES,
    )
    run = run_of(tmp_path_factory.mktemp("joint"), data, style_dim=4)
    record = {"epoch": 0, "loss": 3.0, "reconstruction": 2.0, "kl": 1.0, "validation_loss": 3.5}
    (run.folder / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    return run


@pytest.fixture(scope="module")
def joint_pages(joint):
    return drawn(joint, joint.data)


def drawn(run, data):
    made = pages.pages_of(run, data)
    if "walk.gif" in made:  # of one that is never saved Matplotlib warns
        made["walk.gif"]._draw_was_started = True
    return made


def texts(figure):
    found = [figure.get_suptitle(), *(text.get_text() for text in figure.texts)]
    for ax in figure.axes:
        found += [ax.get_title(), ax.get_xlabel(), ax.get_ylabel()]
        found += [text.get_text() for text in ax.texts]
    return [text.replace("\n", " ") for text in found]


def pixels(figure):
    return [np.asarray(image.get_array()) for image in figure.axes[0].images]


def test_the_pages_of_a_joint_run(joint, capsys):
    gallery.draw(joint)
    names = {path.name for path in (joint.folder / "figures").iterdir()}
    assert names == {
        "blend.png", "category.png", "corners.png", "generated.png", "loss.png",
        "reconstructions.png", "style.png", "styles.png", "ternary.png", "walk.gif",
    }  # fmt: skip
    for path in (joint.folder / "figures").iterdir():
        with Image.open(path) as picture:
            assert 200 < min(picture.size) < max(picture.size) < 1600
        assert path.stat().st_size < 300_000
    said = capsys.readouterr().out
    assert all(name in said for name in names)


def test_the_styles_of_a_joint_run(joint, joint_pages):
    """A row is an example, its original first; then its style in each category."""
    page = joint_pages["styles.png"]
    whole = pixels(page)
    assert len(whole) == 10 * 4
    data, z = joint.data, joint.model.encode(joint.data.x_test)
    most = (4, 3, 3)
    rows = np.concatenate([np.flatnonzero(data.y_test == k)[: most[k]] for k in range(3)])
    for i, row in enumerate(rows):
        np.testing.assert_allclose(whole[4 * i].ravel(), data.x_test[row], atol=1e-6)
        own = {"category": np.eye(3), "style": np.tile(z["style"][row], (3, 1))}
        made = np.clip(joint.decode(own), 0, 1).reshape(3, 8, 8)
        np.testing.assert_allclose(whole[4 * i + 1 : 4 * i + 4], made, atol=1e-5)
    labels = [f"label {NAMES[data.y_test[row]]}" for row in rows]
    assert [text for text in texts(page) if text.startswith("label")] == labels
    assert ["original", *NAMES] == [text for text in texts(page) if text in ("original", *NAMES)]
    left = [image.get_extent()[0] for image in page.axes[0].images]
    framed = [left.index(frame.get_bbox().x0) for frame in page.axes[0].patches]
    assert framed == [1 + int(data.y_test[row]) for row in rows]


def test_the_draws_of_each_category(joint, joint_pages):
    """Rows by name: as many as there are labels, each of draws from its own prior."""
    assert len(pixels(joint_pages["generated.png"])) == 3 * pages.DRAWS
    assert [text for text in texts(joint_pages["generated.png"]) if text in NAMES] == [*NAMES]
    points, extent = pages._generated_points(joint, None)
    assert extent is None
    largest = points["category"].reshape(3, pages.DRAWS, 3).argmax(axis=-1)
    assert (largest == np.arange(3)[:, None]).mean() > 0.9


def test_the_walk_moves_the_category_alone(joint):
    points, _ = pages._points(joint, None, None)
    assert (points["walk"]["style"] == 0).all()
    assert points["walk"]["category"].shape == (3 * pages.STEPS, 3)
    np.testing.assert_array_equal(points["walk"]["category"][:: pages.STEPS], np.eye(3))


def test_points_are_decoded_as_one_by_one(joint):
    """More of them than one call takes; each page gets its own."""
    z = joint.space.point(category=RNG.dirichlet(np.ones(3), 263), style=RNG.normal(size=(263, 4)))
    parts = {"few": slice(3), "many": slice(3, 261), "last": slice(261, 263)}
    made = pages.decoded(joint, {name: rows_of(z, part) for name, part in parts.items()})
    whole = joint.decode(z)
    assert [*made] == [*parts]
    for name, part in parts.items():
        np.testing.assert_allclose(made[name], whole[part], atol=1e-6)


def test_axes_and_notes_say_what_they_show(joint_pages):
    assert any("4 style dimensions" in text for text in texts(joint_pages["style.png"]))
    assert "The style is held at 0." in texts(joint_pages["corners.png"])
    assert not any("projection" in text for text in texts(joint_pages["category.png"]))
    assert not any("scaled to a sum" in text for text in texts(joint_pages["ternary.png"]))
    assert [text for text in texts(joint_pages["reconstructions.png"]) if text in NAMES]


def test_a_table(tmp_path):
    """Heat maps by column, in each column's standard deviations; numbers in the user's units."""
    run = run_of(tmp_path, table(5))
    made = drawn(run, run.data)
    x = run.data.x_train
    originals, again = pixels(made["reconstructions.png"])
    assert originals.shape == again.shape == (6, 5)
    expected = (run.data.x_test - x.mean(axis=0)) / x.std(axis=0)
    np.testing.assert_allclose(originals, expected, atol=1e-4)
    columns = [f"column {k}" for k in range(5)]
    for name in ("reconstructions.png", "corners.png", "blend.png", "generated.png", "styles.png"):
        assert set(columns) <= set(texts(made[name])), name
        assert any("standard deviations" in text for text in texts(made[name]))
    corners = run.decode(run.space.corners())
    (shown,) = pixels(made["corners.png"])
    np.testing.assert_allclose(shown, (corners - x.mean(axis=0)) / x.std(axis=0), atol=1e-4)
    assert f"{corners[2, 1]:.3g}" in texts(made["corners.png"])


def test_a_table_without_its_data(tmp_path):
    """In the units that the model sees, and said."""
    run = run_of(tmp_path, table(5))
    made = drawn(run, None)
    assert set(made) == {"blend.png", "corners.png", "generated.png", "walk.gif"}
    assert any("in the units that the model sees" in text for text in texts(made["corners.png"]))
    scale = run.data.look.scale
    (shown,) = pixels(made["corners.png"])
    expected = (run.decode(run.space.corners()) - scale.centre) / scale.width
    np.testing.assert_allclose(shown, expected, atol=1e-4)


@pytest.mark.parametrize("labels", [True, False], ids=["labels", "no labels"])
def test_a_wide_table_of_two_dimensions(tmp_path, labels):
    """A Normal in the plane: a lattice; of 50 columns 40 are shown, which is said."""
    run = run_of(tmp_path, table(50, labels), model="normal")
    made = drawn(run, run.data)
    assert set(made) == {"latent.png", "reconstructions.png", "generated.png"}
    assert {array.shape[1] for array in pixels(made["generated.png"])} == {40}
    assert any("40 of 50 columns" in text for text in texts(made["generated.png"]))
    rows = ["ant", "cat"] if labels else ["example 0", "example 5"]
    assert set(rows) <= set(texts(made["reconstructions.png"]))


def test_counts(tmp_path):
    """Shares of each row's total; of each category the columns with the largest."""
    rates = np.ones((3, 12))
    rates[range(3), [2, 5, 7]] = 20
    data = datasets.from_arrays(
        RNG.poisson(rates[LABELS]), [NAMES[label] for label in LABELS], kind="counts",
        column_names=[f"word {k}" for k in range(12)],
    )  # fmt: skip
    run = run_of(tmp_path, data, network="dense")
    made = drawn(run, data)
    originals, again = pixels(made["reconstructions.png"])
    expected = data.x_test / data.x_test.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(originals, expected, atol=1e-6)
    np.testing.assert_allclose(again.sum(axis=1), 1, rtol=1e-5)
    corners = run.decode(run.space.corners())
    words = [text for text in texts(made["corners.png"]) if text.startswith("word")]
    best = [f"word {k}" for k in corners.argmax(axis=1)]
    assert words[::8] == best
    assert any("share" in text for text in texts(made["generated.png"]))


def test_columns_that_are_constant_or_missing(tmp_path):
    """Neither divides by 0; what is missing is no number, and no mean holds it."""
    x = RNG.random((60, 3))  # from 0 to 1, so that the model sees them as they are
    x[:, 1] = 0.4
    x[::3, 2] = np.nan
    data = datasets.from_arrays(x, missing="mask")
    drawing = drawing_of(run_of(tmp_path, data, missing="mask", model="normal"), data, 3)
    scaled = drawing.scaled(np.where(data.mask_train, data.x_train, np.nan))
    assert (np.isnan(scaled) == ~data.mask_train).all()
    np.testing.assert_allclose(np.nanmean(scaled, axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.nanstd(scaled, axis=0), [1, 0, 1], atol=1e-5)


def test_how_examples_are_drawn(tmp_path):
    """By what they are; of probabilities of each value's categories, by these."""
    run = run_of(tmp_path, table(4), model="normal")
    assert isinstance(drawing_of(run, run.data, 4), Columns)
    of_categories = drawing_of(run, run.data, 8)
    assert isinstance(of_categories, Columns)
    assert of_categories.names[:3] == ("column 0 = 0", "column 0 = 1", "column 1 = 0")
    series = datasets.from_arrays(RNG.normal(size=(30, 12, 2)))
    assert drawing_of(run_of(tmp_path, series), series, 24).shape == (12, 2)
    bytes_ = datasets.from_arrays(np.full((20, 5, 4), 255, np.uint8))
    drawing = drawing_of(run_of(tmp_path, bytes_), bytes_, 20)
    assert isinstance(drawing, Pictures)
    assert drawing.shown(np.full(20, 255.0)).max() == 1


@pytest.mark.parametrize(("channels", "drawn"), [(2, 1), (5, 3)])
def test_channels_that_are_no_colours(tmp_path, channels, drawn):
    """The first ones are drawn, and it is said."""
    x = RNG.random((30, 6, 5, channels)).astype(np.float32)
    data = datasets.from_arrays(x)
    drawing = drawing_of(run_of(tmp_path, data), data, 30 * channels)
    shown = drawing.shown(data.x_train)
    np.testing.assert_array_equal(
        shown.reshape(-1, 6, 5, drawn), np.delete(x, np.s_[9::10], axis=0)[..., :drawn]
    )
    assert f"of {channels} channels." in drawing.note
    for figure in (
        drawing.several(data.x_test, "Three"),
        drawing.pairs(data.x_test, data.x_test, (), range(3)),
        drawing.groups(data.x_test[None], ["all"], "Groups"),
        drawing.lattice(data.x_train[:4], "Four", (0, 1, 0, 1)),
    ):
        figure.savefig(tmp_path / "figure.png")


def test_counts_as_shares_where_their_means_lie_below_0(tmp_path):
    """Of a Normal likelihood: what is below 0 is no share."""
    counts = datasets.from_arrays(RNG.poisson(2.0, (30, 6)), kind="counts")
    drawing = drawing_of(run_of(tmp_path, counts, likelihood="normal"), counts, 6)
    corners = np.array([[3.0, 1, 0, 0, -0.1, 0], [-1, -1, -1, -1, -1, -1]])
    np.testing.assert_allclose(drawing.scaled(corners), [[0.75, 0.25, *[0] * 4], [0] * 6])
    drawing.corners(corners, ["a", "b"], "").savefig(tmp_path / "figure.png")


def test_examples_are_of_all_labels_though_the_data_are_sorted():
    data = table(3)
    assert data.y_test.tolist() == sorted(data.y_test)
    assert data.y_test[pages._different(data)].tolist() == [0, 0, 1, 1, 2, 2]
    assert samples.evenly(100, 5).tolist() == [0, 25, 50, 74, 99]
    assert samples.evenly(3, 5).tolist() == [0, 1, 2]
    unlabelled = data._replace(y_test=np.full(6, -1))
    assert pages._different(unlabelled).tolist() == [*range(6)]


def test_decoded_points_go_to_a_file(joint, tmp_path):
    """As a grid, and as a walk there and back."""
    z = joint.space.point(category=np.eye(3)[[0, 1, 2, 0]])
    x = joint.decode(z)
    gallery.save_decoded(tmp_path / "four.png", joint, z, x, "Four draws")
    with Image.open(tmp_path / "four.png") as picture:
        assert picture.size[0] > picture.size[1]
    gallery.save_decoded(tmp_path / "four.gif", joint, z, x, "From a draw to another")
    with Image.open(tmp_path / "four.gif") as walk:
        assert walk.n_frames == 6
    assert isinstance(drawing_of(joint, None, 64).several(x, "Four"), Figure)


@pytest.mark.parametrize(("name", "write"), [("loss.png", "savefig"), ("walk.gif", "save")])
def test_a_picture_that_fails_leaves_the_one_before(tmp_path, name, write):
    def half(path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    (tmp_path / name).write_bytes(b"before")
    with pytest.raises(OSError, match="No space left on device"):
        gallery._save_all(tmp_path, {name: SimpleNamespace(**{write: half})})
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]
