"""A saved model: what another process makes of it, damage, refusals, the methods' checks."""

import json
import os
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import anndata
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import polars as pl
import pytest

import jaxvae
from jaxvae import Batch, latents, likelihoods, networks, objectives, priors, transforms
from jaxvae.apps import cli, description, encodings, runs, saved_models
from jaxvae.data import datasets
from jaxvae.model import public_names
from jaxvae.saved_models import DamagedModelError, SavedModel
from jaxvae.training import whole_files

SMALL = {"layers": 1, "hidden_units": 8}
COUNTS = np.random.default_rng(0).integers(0, 5, (7, 6)).astype(np.float32)
X = COUNTS / 4
Y = np.array([0, 1, 2, 0, 1, 2, 0])
NAMES = ("cat", "dog", "owl")
HEADS = {"kind": networks.DirichletHead(3), "style": networks.NormalHead(2)}


class Coder(nn.Module):
    """A module of the user's, with batch norm."""

    width: int
    is_encoder: bool = False

    @nn.compact
    def __call__(self, x):
        h = nn.relu(nn.BatchNorm()(nn.Dense(8)(x)))
        h = nn.Dense(self.width)(nn.Dropout(0.5)(h))
        return (h[:, :2], nn.softplus(h[:, 2:]) + 0.1) if self.is_encoder else h


def labelled():
    network = jaxvae.dense_dirichlet_network(6, 3, **SMALL)
    return jaxvae.dirichlet_vae(network), Batch(X, Y)


def counted():
    network = networks.of_counts(networks.dense_network(6, networks.LogitsHead(3), **SMALL))
    prior = priors.mixture(latents.concrete(0.5), 2)
    likelihood = likelihoods.negative_binomial()
    return jaxvae.bind(network, latents.concrete(0.5), prior, likelihood), Batch(COUNTS)


def side_by_side():
    vae = jaxvae.bind(
        networks.dense_network(6, HEADS, **SMALL),
        latents.product(kind=latents.dirichlet, style=latents.normal),
        priors.product(
            kind=priors.from_labels(frequencies="learned"),
            style=priors.learned(priors.standard_normal()),
        ),
        likelihoods.normal(0.5, learned=True, per_dimension=True),
        objectives.iwae(2),
        transform=transforms.divided_by(np.float32(0.3)),
    )
    return vae, Batch(X, Y)


def in_other_units():
    vae = jaxvae.bind(
        jaxvae.dense_normal_network(6, 2, dtype=jnp.bfloat16, **SMALL),
        latents.logistic_normal,
        priors.learned(priors.standard_normal()),
        likelihoods.normal(0.5, learned=True, per_dimension=True),
        transform=transforms.standardized(X.mean(axis=0), np.float32(0.3)),
    )
    return vae, Batch(X)


def conditional():
    condition = np.eye(2, dtype=np.float32)[Y % 2]
    vae = jaxvae.normal_vae(jaxvae.dense_normal_network(6, 2, **SMALL), likelihood="bernoulli")
    return vae, Batch(X, condition=condition)


def original():
    network = jaxvae.dense_normal_network(6, 2, **SMALL)
    return jaxvae.normal_vae(network, objective="original", prior_variance=2.0), Batch(X)


def convolutional():
    network = networks.convolutional_dirichlet_network((4, 4), 3, channels=(2,), hidden_units=8)
    x = np.random.default_rng(1).random((7, 4, 4), np.float32)
    vae = jaxvae.dirichlet_vae(network, prior=priors.symmetric(0.5), likelihood="bernoulli")
    return vae, Batch(x)


def users():
    jaxvae.register("coder", Coder)
    network = jaxvae.flax_network(Coder(4, True), Coder(6))
    return jaxvae.normal_vae(network, likelihood=likelihoods.poisson()), Batch(COUNTS)


MODELS = {
    "labelled": labelled, "counted": counted, "side_by_side": side_by_side,
    "conditional": conditional, "original": original, "convolutional": convolutional,
    "users": users, "in_other_units": in_other_units,
}  # fmt: skip
ELSEWHERE = ("labelled", "counted", "side_by_side", "conditional", "users")


@pytest.fixture(autouse=True)
def forgotten(monkeypatch):
    monkeypatch.setattr(public_names, "_registered", {})


def params_of(vae, data):
    """Parameters whose bits are all in use."""
    params = vae.init(jax.random.key(0), data._replace(y=None))
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [
        leaf + 0.1 * jax.random.uniform(k, leaf.shape, leaf.dtype)
        for leaf, k in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(tree, moved)


def saved(path, name):
    vae, data = MODELS[name]()
    params = params_of(vae, data)
    return jaxvae.save(path, vae, params, data=data), vae, params, data


def outputs(model, data):
    """What a loaded model makes, as a flat dict of arrays."""
    key = jax.random.key(3)
    x, condition = data._replace(y=None), data.condition
    z = model.encode(x)
    made = {
        "encode": z,
        "posterior": model.posterior(x),
        "reconstruct": model.reconstruct(x),
        "decode": model.decode(z, condition=condition),
        "evaluate": model.evaluate(x, data.y, key=key)._asdict(),
    }
    made["generate"] = model.generate(7, key=key, condition=condition)
    if model.vae.parts.prior.uses_labels:
        made["category"] = model.generate(4, key=key, category=2)
    leaves = jax.tree.leaves_with_path(made)
    return {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}


def assert_same_bits(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert (a[name].dtype, a[name].shape) == (b[name].dtype, b[name].shape), name
        assert a[name].tobytes() == b[name].tobytes(), name


@pytest.mark.parametrize("name", MODELS)
def test_there_and_back(name, tmp_path):
    """The same parts, the same bits, and what the functions of the library make of them."""
    path, vae, params, data = saved(tmp_path / "deep" / "mine", name)
    assert sorted(file.name for file in path.iterdir()) == sorted(saved_models.FILES)
    assert [file.name for file in path.parent.iterdir()] == ["mine"]
    model = jaxvae.load(path)
    assert model.vae.parts == vae.parts
    assert jax.tree.structure(model.params) == jax.tree.structure(params)
    for own, other in zip(jax.tree.leaves(model.params), jax.tree.leaves(params), strict=True):
        assert (own.dtype, own.shape) == (other.dtype, other.shape)
        assert np.asarray(own).tobytes() == np.asarray(other).tobytes()
    x, key = data._replace(y=None), jax.random.key(3)
    found = {
        "z": model.encode(x),
        "terms": model.evaluate(x, data.y, key=key)._asdict(),
        "made": model.generate(7, key=key, condition=data.condition),
    }
    known = {
        "z": jaxvae.encode_mean(vae, params, x),
        "terms": jaxvae.evaluate(key, vae, params, data)._asdict(),
        "made": jaxvae.generate(key, vae, params, *count(vae), condition=data.condition),
    }
    assert jax.tree.structure(found) == jax.tree.structure(known)
    for own, other in zip(jax.tree.leaves(found), jax.tree.leaves(known), strict=True):
        np.testing.assert_array_equal(own, other)
    if name != "users":
        again = pickle.loads(pickle.dumps(model))
        assert (again.vae, again.description) == (model.vae, model.description)


def count(vae):
    """Seven of z; where the network does not say its width, of the width that all here have."""
    return [7 if vae.parts.network.latent_shape is not None else (7, 2)]


WORKER = """
import sys
from pathlib import Path

import jax
import numpy as np

jax.config.update("jax_numpy_rank_promotion", "raise")
sys.path.insert(0, sys.argv[2])
import test_saved_models as tests

folder = Path(sys.argv[1])
for name in tests.ELSEWHERE:
    _, data = tests.MODELS[name]()
    made = tests.outputs(tests.jaxvae.load(folder / name), data)
    np.savez(folder / f"{name}.npz", **made)
"""


def test_another_process_makes_the_same_bits(tmp_path):
    expected = {}
    for name in ELSEWHERE:
        path, _, _, data = saved(tmp_path / name, name)
        expected[name] = outputs(jaxvae.load(path), data)
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(tmp_path), here], capture_output=True, text=True,
        timeout=300, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name in ELSEWHERE:
        with np.load(tmp_path / f"{name}.npz") as made:
            assert_same_bits(dict(made), expected[name])


def test_every_flipped_bit_is_found_and_its_file_is_named(tmp_path):
    path, *_ = saved(tmp_path / "mine", "labelled")
    files = {file.name: file.read_bytes() for file in sorted(path.iterdir())}
    places = [(name, place) for name, whole in files.items() for place in range(8 * len(whole))]
    generator = np.random.default_rng(0)
    chosen = [places[i] for i in generator.choice(len(places), 240, replace=False)]
    of_manifest = [place for place in places if place[0] == "manifest.json"]
    chosen += [of_manifest[i] for i in generator.choice(len(of_manifest), 60, replace=False)]
    assert {name for name, _ in chosen} == set(saved_models.FILES)
    for name, place in chosen:
        flipped = bytearray(files[name])
        flipped[place // 8] ^= 1 << place % 8
        (path / name).write_bytes(flipped)
        with pytest.raises(DamagedModelError, match=f"mine is damaged: {name} was changed"):
            jaxvae.load(path)
        (path / name).write_bytes(files[name])
    jaxvae.load(path)
    for name in files:
        (path / name).unlink()
        with pytest.raises(DamagedModelError, match=name):
            jaxvae.load(path)
        (path / name).write_bytes(files[name])


def test_what_lies_beside_a_model_is_no_damage(tmp_path):
    """As a clone of what `jaxvae push` made has it, or a desktop."""
    path, _, params, _ = saved(tmp_path / "mine", "labelled")
    for name in (".git/objects/ab", "figures/loss.png", "README.md", ".DS_Store"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("not a model's")
    jax.tree.map(np.testing.assert_array_equal, jaxvae.load(path).params, params)
    for name in ("model.json", "params.safetensors"):
        saved_models.manifest.write(path, ({"model.json", "params.safetensors"} - {name}))
        with pytest.raises(DamagedModelError, match=f"manifest.json lacks {name}"):
            jaxvae.load(path)


def test_equal_models_make_equal_files(tmp_path):
    for name in ("a", "b"):
        saved(tmp_path / name, "side_by_side")
    for file in saved_models.FILES:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


# --- where it lies


def test_what_is_there_stays(tmp_path, monkeypatch):
    path, vae, params, _ = saved(tmp_path / "mine", "labelled")
    with pytest.raises(FileExistsError, match="where a model is saved; replace=True"):
        jaxvae.save(path, vae, params)
    other = jax.tree.map(lambda leaf: leaf + 1, params)
    monkeypatch.setattr(saved_models.manifest, "write", lambda folder: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        jaxvae.save(path, vae, other, replace=True)
    with pytest.raises(ZeroDivisionError):
        jaxvae.save(tmp_path / "other", vae, other)
    monkeypatch.undo()
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]
    jax.tree.map(np.testing.assert_array_equal, jaxvae.load(path).params, params)
    jaxvae.save(path, vae, other, replace=True)
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]
    jax.tree.map(np.testing.assert_array_equal, jaxvae.load(path).params, other)


@pytest.mark.parametrize("name", ["file", "folder", "model with more"])
def test_what_is_no_model_is_not_replaced(tmp_path, name):
    path, vae, params, _ = saved(tmp_path / "model with more", "original")
    (path / "notes.txt").touch()
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "notes.txt").touch()
    with pytest.raises(FileExistsError, match="path must be new, empty, or a saved model"):
        jaxvae.save(tmp_path / name, vae, params, replace=True)
    if name == "model with more":
        with pytest.raises(FileExistsError, match=r"which holds notes\.txt beside the model"):
            jaxvae.save(tmp_path / name, vae, params, replace=True)
        assert (path / "notes.txt").exists()
    assert (tmp_path / "file").exists()
    assert (tmp_path / "folder" / "notes.txt").exists()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("hf://ann/digits", "path must be a folder on this machine, got hf://.* `jaxvae push`"),
        (Path("hf://ann/digits"), "path must be a folder on this machine"),
        ("", "path must not be empty"),
        (None, "path must be a path, got None"),
    ],
)
@pytest.mark.parametrize("replace", [True, False])
def test_what_is_no_path_is_refused(tmp_path, monkeypatch, path, message, replace):
    where, vae, params, _ = saved(tmp_path / "mine", "labelled")
    other = jax.tree.map(lambda leaf: leaf + 1, params)
    monkeypatch.chdir(where)
    with pytest.raises((ValueError, TypeError), match=message):
        jaxvae.save(path, vae, other, replace=replace)
    jax.tree.map(np.testing.assert_array_equal, jaxvae.load(where).params, params)
    assert len(list(where.iterdir())) == 3


def test_an_empty_folder_and_a_relative_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    path, *_ = saved("mine", "original")
    assert path == Path("mine")
    assert jaxvae.load("mine").description.data_shape == (6,)


@pytest.mark.parametrize("name", ["nothing", "empty"])
def test_what_is_not_there(tmp_path, name):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="path must name a saved model or a run"):
        jaxvae.load(tmp_path / name)


# --- what it knows of its data


def test_a_data_set_tells_shapes_and_names(tmp_path):
    x = np.random.default_rng(0).random((20, 4, 4), np.float32)
    data = datasets.from_arrays(x, np.arange(20) % 3)
    vae, _ = convolutional()
    params = vae.init(jax.random.key(0), x[:1])
    data = data._replace(label_names=NAMES)
    model = jaxvae.load(jaxvae.save(tmp_path / "mine", vae, params, data=data))
    own = model.description
    assert own.data_shape == own.image_shape == (4, 4)
    assert own.label_names == NAMES
    assert own.data_kind == data.kind
    # Its prior is not made from labels: its categories are not theirs, and have no names.
    np.testing.assert_array_equal(model.categories(x), model.encode(x).argmax(axis=1))


@pytest.mark.parametrize(
    ("name", "shape"),
    [("labelled", (6,)), ("counted", (6,)), ("convolutional", (4, 4)), ("original", (6,))],
)
def test_a_ready_made_network_says_the_shape(name, shape):
    assert saved_models._shape_by_network(MODELS[name]()[0]) == shape


def test_a_shape_that_no_one_says_is_asked_for(tmp_path):
    vae, data = users()
    with pytest.raises(ValueError, match="data must be given, one example is enough"):
        jaxvae.save(tmp_path / "mine", vae, params_of(vae, data))
    network = jaxvae.dense_normal_network((6, 3), 2, **SMALL)
    vae = jaxvae.normal_vae(network, likelihood=likelihoods.categorical())
    params = vae.init(jax.random.key(0), np.zeros((1, 6)))
    with pytest.raises(ValueError, match="data must be given"):
        jaxvae.save(tmp_path / "mine", vae, params)
    path = jaxvae.save(tmp_path / "mine", vae, params, data=np.zeros((1, 6)))
    assert jaxvae.load(path).description.data_shape == (6,)


def test_names_of_labels_and_numbers(tmp_path):
    vae, data = labelled()
    params, key = params_of(vae, data), jax.random.key(5)
    what = description.of(vae, data_shape=(6,), label_names=NAMES)
    model = jaxvae.load(saved_models.write(tmp_path / "mine", what, params))
    for y in (Y, [NAMES[k] for k in Y], np.array(NAMES)[Y], np.eye(3)[Y]):
        assert model.evaluate(X, y, key=key) == jaxvae.evaluate(key, vae, params, X, Y)
    np.testing.assert_array_equal(
        model.generate(3, key=key, category="owl"), model.generate(3, key=key, category=2)
    )
    np.testing.assert_array_equal(
        model.generate(3, key=key, category=np.int64(2)),
        jaxvae.generate(key, vae, params, 3, y=[2, 2, 2]),
    )
    np.testing.assert_array_equal(
        model.categories(X), np.array(NAMES)[jaxvae.encode_mean(vae, params, X).argmax(axis=1)]
    )
    # Labels that are numbers by name stay what they were in the user's data.
    what = description.of(vae, data_shape=(6,), label_names=("0", "100", "900"))
    numbered = SavedModel(vae, params, what)
    assert numbered.evaluate(X, np.array([0, 100, 900])[Y], key=key).loss == pytest.approx(
        model.evaluate(X, Y, key=key).loss, rel=0, abs=0
    )
    np.testing.assert_array_equal(
        numbered.generate(3, key=key, category=900), model.generate(3, key=key, category=2)
    )
    with pytest.raises(ValueError, match="category must be one of 0, 100, 900, got 2"):
        numbered.generate(3, key=key, category=2)


def test_a_category_where_the_network_does_not_say_its_width(tmp_path):
    encoder = networks.Encoder(networks.DirichletHead(3), networks.MLP(1, 8, nn.relu))
    decoder = networks.Decoder(6, networks.MLP(1, 8, nn.relu))
    vae = jaxvae.dirichlet_vae(jaxvae.flax_network(encoder, decoder))
    params = params_of(vae, Batch(X, Y))
    model = jaxvae.load(jaxvae.save(tmp_path / "mine", vae, params, data=X))
    key = jax.random.key(0)
    assert model.generate(4, key=key).shape == (4, 6)
    drawn = model.generate(4, key=key, category=1)
    assert drawn.shape == (4, 6)
    assert not np.array_equal(drawn, model.generate(4, key=key, category=2))


# --- what is refused


def model_of(name, **names):
    vae, data = MODELS[name]()
    condition = None if data.condition is None else data.condition.shape[1:]
    what = description.of(vae, data_shape=data.x.shape[1:], condition_shape=condition, **names)
    return SavedModel(vae, params_of(vae, data), what)


KEY = jax.random.key(0)


@pytest.mark.parametrize(
    ("name", "call", "message"),
    [
        ("labelled", lambda m: m.encode(X[:, :5]), r"x must have the shape \[N, 6\], got \(7, 5\)"),
        ("labelled", lambda m: m.encode(X[0]), r"x must have the shape \[N, 6\], got \(6,\)"),
        ("labelled", lambda m: m.posterior(X[None]), r"x must have the shape \[N, 6\]"),
        ("labelled", lambda m: m.reconstruct(X * np.nan), "x must be finite, got nan at index"),
        ("labelled", lambda m: m.decode(X), r"z must have the shape \[N, 3\], got \(7, 6\)"),
        ("labelled", lambda m: m.evaluate(X, key=KEY), "y must"),
        (
            "labelled",
            lambda m: m.evaluate(X, ["cat"] * 6 + ["cow"], key=KEY),
            r"y must hold labels of cat, dog, owl, got 'cow' at index 6",
        ),
        ("labelled", lambda m: m.evaluate(X, Y + 1, key=KEY), "y must be from 0 to 2, got 3 at"),
        (
            "labelled",
            lambda m: m.generate(3, key=KEY, category="cow"),
            "category must be one of cat, dog, owl, got cow",
        ),
        (
            "labelled",
            lambda m: m.generate(3, key=KEY, category=3),
            "category must be from 0 to 2, got 3",
        ),
        ("labelled", lambda m: m.generate(0, key=KEY), "count must be at least 1, got 0"),
        (
            "convolutional",
            lambda m: m.generate(3, key=KEY, category=0),
            "category must be None where the prior is not made from labels, got 0",
        ),
        (
            "convolutional",
            lambda m: m.encode(np.zeros((2, 16))),
            r"x must have the shape \[N, 4, 4\], got \(2, 16\)",
        ),
        (
            "side_by_side",
            lambda m: m.decode(X),
            "z must be a dict of the parts kind, style, got nd",
        ),
        (
            "side_by_side",
            lambda m: m.decode({"kind": X}),
            "z must be a dict of the parts kind, style, got kind",
        ),
        (
            "side_by_side",
            lambda m: m.decode({"kind": X, "style": X}),
            r"z\['kind'\] must have the shape \[N, 3\]",
        ),
        ("conditional", lambda m: m.encode(X), "x must be a jaxvae.Batch with the condition"),
        (
            "conditional",
            lambda m: m.encode(Batch(X, condition=X)),
            r"condition must have the shape \[N, 2\], got \(7, 6\)",
        ),
        ("original", lambda m: m.categories(X), "model must have one latent on the simplex"),
        (
            "labelled",
            lambda m: m.decode([[0, 1, np.nan]]),
            r"^z must be finite, got nan at index \(0, 2\)",
        ),
        (
            "side_by_side",
            lambda m: m.decode({"kind": np.ones((3, 3)), "style": np.ones((2, 2))}),
            "^z must have as many rows in each part, got 3 in kind, 2 in style",
        ),
        (
            "side_by_side",
            lambda m: m.decode({"kind": np.ones((1, 3)), "style": np.full((1, 2), np.inf)}),
            r"^z\['style'\] must be finite, got inf",
        ),
        (
            "conditional",
            lambda m: m.decode(np.ones((3, 2))),
            r"^condition must be given, \[3, 2\], as the model was trained with one, got None",
        ),
        (
            "conditional",
            lambda m: m.decode(np.ones((3, 2)), condition=np.ones((2, 2))),
            r"^condition must have the shape \[3, 2\], got \(2, 2\)",
        ),
        (
            "conditional",
            lambda m: m.generate(2, key=KEY, condition=np.full((2, 2), np.nan)),
            "^condition must be finite, got nan",
        ),
        ("conditional", lambda m: m.generate(2, key=KEY), r"^condition must be given, \[2, 2\]"),
        (
            "labelled",
            lambda m: m.decode(np.ones((2, 3)), condition=np.ones((2, 1))),
            "^condition must be None: the model was trained without one, got ndarray",
        ),
        *(
            (name, lambda m, call=call, value=value: getattr(m, call)(value), message)
            for name, value, message in (
                ("users", -COUNTS, "^x must hold counts, integers of at least 0, .* got -"),
                ("counted", COUNTS + 0.5, "^x must hold counts, .* got"),
                ("convolutional", np.full((2, 4, 4), 1.5), r"^x must lie in \[0, 1\]"),
            )
            for call in ("encode", "posterior", "reconstruct")
        ),
    ],
)
def test_what_does_not_fit_is_refused_by_name(name, call, message):
    model = model_of(name, label_names=NAMES if name == "labelled" else None)
    with pytest.raises(ValueError, match=message):
        call(model)


def test_parts_of_text_are_refused_by_name():
    with pytest.raises(TypeError, match=r"^z\['kind'\] must hold real numbers"):
        model_of("side_by_side").decode({"kind": [["a", "b", "c"]], "style": [[0, 0]]})


def test_columns_are_found_by_their_names():
    """In any order and beside others, as `jaxvae encode` finds them."""
    names = tuple("abcdef")
    model = model_of("labelled", column_names=names)
    frame = pd.DataFrame(X, columns=list(names))
    expected = model.encode(X)
    for other in (
        frame,
        frame[list("fedcba")],
        frame.assign(more=1)[["more", *"bacdef"]],
        pl.DataFrame(frame.to_dict("list")).select(list("fabcde")),
        pd.DataFrame(X),  # without names
    ):
        np.testing.assert_array_equal(model.encode(other), expected)
    backwards = frame[list("fedcba")]
    np.testing.assert_array_equal(model.reconstruct(backwards), model.reconstruct(X))
    np.testing.assert_array_equal(model.categories(Batch(backwards)), model.categories(X))
    with pytest.raises(
        ValueError, match=r"^x must have the columns that the model knows, and lack"
    ):
        model.encode(frame.rename(columns={"a": "z"}))
    with pytest.raises(ValueError, match=r"^x must have each column once, got a more than once"):
        model.encode(pd.concat([frame, frame[["a"]]], axis=1))


def test_holes_in_other_data_of_a_saved_model_that_knows_them(tmp_path, capsys):
    x = np.tile(np.where(X > 0.9, np.nan, X), (3, 1))
    vae = jaxvae.normal_vae(jaxvae.dense_normal_network(6, 2, **SMALL))
    np.save(tmp_path / "x.npy", x)
    frame = pd.DataFrame(x).assign(whole=pd.array([1, None, 3] * 7, "Int64")).iloc[:, 1:]
    for name, data, code in (("holes", x, 0), ("frame", frame, 0), ("none", X, 1)):
        path = saved_models.save(tmp_path / name, vae, params_of(vae, Batch(X)), data=data)
        command = ["evaluate", str(path), "--data", str(tmp_path / "x.npy"), "--other-data"]
        assert cli.main(command) == code


@pytest.mark.parametrize("known", [True, False])
def test_a_frame_is_read_as_it_was_for_training(known):
    """Booleans and numbers of pandas' own, with NA, beside each other; a text is named."""
    model = model_of("labelled", column_names=tuple("abcdef") if known else None, masked=True)
    holes = np.where(np.arange(42).reshape(7, 6) % 5, X, np.nan)
    holes[:, 1] = np.arange(7) % 2
    frame = pd.DataFrame(holes, columns=list("abcdef"))
    mixed = frame.assign(
        b=frame.b.astype(bool), c=pd.array(holes[:, 2] * 4, "Float64"), d=frame.d.astype(object)
    )
    mixed["c"] = (mixed.c.astype("Int64") / 4).astype("Float64")
    expected = model.encode(holes)
    for own in (frame, mixed, pl.from_pandas(mixed.astype({"d": float}))):
        np.testing.assert_array_equal(model.encode(own), expected)
    with pytest.raises(ValueError, match=r"^x must hold numbers, got 'u' in row 1 of the column"):
        model.encode(frame.assign(a="u"))


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_columns_of_an_anndata_are_found_by_their_names():
    """Those that come twice too, as they were named when they were read."""
    names = ("a", "b", "b-1", "c", "d", "e")
    adata = anndata.AnnData(X, var=pd.DataFrame(index=["a", "b", "b", "c", "d", "e"]))
    for own in (names, ("a", "b", "b", "c", "d", "e")):  # of an earlier version
        model = model_of("labelled", column_names=own)
        np.testing.assert_array_equal(model.encode(adata), model.encode(X))
    model = model_of("labelled", column_names=names[::-1])
    np.testing.assert_array_equal(model.encode(adata), model.encode(X[:, ::-1]))
    masked = model_of("labelled", column_names=tuple("abcdef"), masked=True)
    holes = np.where(X > 0.9, np.nan, X)
    own = anndata.AnnData(holes[:, ::-1], var=pd.DataFrame(index=list("fedcba")))
    np.testing.assert_array_equal(masked.encode(own), masked.encode(holes))
    with pytest.raises(ValueError, match="must have each column once, got b more than once"):
        model_of("labelled", column_names=tuple("abcdef")).encode(
            anndata.AnnData(np.zeros((2, 7)), var=pd.DataFrame(index=list("abcdefb")))
        )


def test_what_is_no_number_is_not_given_back():
    """Of values too large for float32, as `jaxvae.reconstruct` does."""
    model, far = model_of("labelled"), np.full((2, 6), 3.4e38, np.float32)
    for call in (model.posterior, model.reconstruct, model.encode):
        with pytest.raises(ValueError, match=r"of example 0 is .* though params are finite"):
            call(far)
    with pytest.raises(
        ValueError, match=r"the mean of example [12] is .* though params are finite"
    ):
        model.decode([[1, 1, 1], [3.4e38, 3.4e38, 3.4e38], [-3.4e38, 3.4e38, 3.4e38]])


def test_what_is_of_another_kind_is_refused_by_name():
    model = model_of("labelled")
    with pytest.raises(TypeError, match="y must hold integers from 0 on, got names such as 'cat'"):
        model.evaluate(X, ["cat"] * 7, key=KEY)
    with pytest.raises(ValueError, match="category must be one of 0, 1, 2, got cat"):
        model.generate(3, key=KEY, category="cat")
    with pytest.raises(TypeError, match="key must be a typed key"):
        model.generate(3, key=3)


def test_what_cannot_be_saved(tmp_path):
    vae, data = labelled()
    params, path = params_of(vae, data), tmp_path / "mine"
    for wrong, message in (
        (params["encoder"], "params must be those of vae .* must hold the arrays"),
        (jax.tree.map(lambda leaf: leaf * jnp.nan, params), "params must be those .* be finite"),
        (
            jax.tree.map(lambda leaf: jnp.ravel(leaf)[:1], params),
            "params must be .* must be float32",
        ),
        (jax.tree.map(lambda leaf: 3, params), "params must be those of vae"),
    ):
        with pytest.raises(ValueError, match=message):
            jaxvae.save(path, vae, wrong)
    with pytest.raises(ValueError, match=r"params must be those of vae for data of the shape \(5,"):
        jaxvae.save(path, vae, params, data=X[:, :5])
    with pytest.raises(ValueError, match="data must be one array of examples"):
        jaxvae.save(path, vae, params, data={"a": X})
    with pytest.raises(ValueError, match="data must be one array of examples"):
        jaxvae.save(path, vae, params, data=X[0])
    with pytest.raises(TypeError, match=r"vae must be a jaxvae\.VAE"):
        jaxvae.save(path, None, params)
    with pytest.raises(ValueError, match=r"vae must be as jaxvae\.bind"):
        jaxvae.save(path, vae._replace(decode=print), params)
    network = jaxvae.flax_network(Coder(4, True), Coder(6))
    own = jaxvae.normal_vae(network)
    with pytest.raises(TypeError, match="encoder of flax_network must be registered to be saved"):
        jaxvae.save(path, own, params_of(own, Batch(X)), data=X)
    assert not list(tmp_path.iterdir())


def rewritten(path, change):
    """A saved model whose model.json was changed by one who writes its manifest too."""
    fields = json.loads((path / "model.json").read_text())
    change(fields)
    (path / "model.json").write_text(json.dumps(fields))
    (path / "manifest.json").unlink()
    saved_models.manifest.write(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda m: m.update(network={"make": "os.system", "with": {"command": "ls"}}),
            r"model\.json: network: name must be public in jaxvae, .* got 'os.system'",
        ),
        (lambda m: m.update(format=2), r"model\.json: format must be 1, got 2"),
        (lambda m: m.pop("latent"), r"model\.json: .* latent is missing"),
        (lambda m: m.update(data_shape=[7]), r"params\.safetensors: .* must be float32"),
        (lambda m: m.update(data_shape="x"), r"model\.json: "),
        (lambda m: m.update(data_shape=[-1]), r"params\.safetensors: .* must be float32"),
        (lambda m: m.update(prior={"name": "latents.normal"}), r"model\.json: prior must be"),
    ],
)
def test_what_a_file_must_not_say(tmp_path, change, message):
    path, *_ = saved(tmp_path / "mine", "labelled")
    rewritten(path, change)
    with pytest.raises(ValueError, match=message):
        jaxvae.load(path)


def test_a_module_that_is_not_registered_is_named(tmp_path):
    path, *_ = saved(tmp_path / "mine", "users")
    public_names._registered.clear()
    with pytest.raises(ValueError, match=r"registered by jaxvae\.register before .* got 'coder'"):
        jaxvae.load(path)


# --- the parameters' file


def test_every_type_of_number_survives(tmp_path):
    kinds = set(whole_files.DTYPES.values()) - {"int64", "uint64", "float64"}  # JAX has none
    params = {
        "b": {kind: np.arange(6).reshape(2, 3).T.astype(kind) for kind in kinds},
        "a": jnp.float32(0.1),
        "empty": np.zeros((0, 3), np.float32),
    }
    path = tmp_path / "params.safetensors"
    whole_files.save_params(path, params)
    again = whole_files.load_params(path, params)
    for own, other in zip(jax.tree.leaves(again), jax.tree.leaves(params), strict=True):
        assert (own.dtype, own.shape) == (other.dtype, other.shape)
        assert np.asarray(own).tobytes() == np.asarray(other).tobytes()
    with pytest.raises(ValueError, match=r"b must be of one of the types bool, .* got int4"):
        whole_files.save_params(path, {"b": jnp.ones(2, jnp.int4)})


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff" * 8, b"\xff" * 100, (2).to_bytes(8, "little") + b"{}x",
        (10**15).to_bytes(8, "little") + b"{}",
        *(
            len(header).to_bytes(8, "little") + header + bytes(8)
            for header in (
                b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,80]}}',
                b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}',
                b'{"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,8]}}',
                b'{"w":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}',
                b'{"w":{"dtype":"pickle","shape":[2],"data_offsets":[0,8]}}',
                b'{"w":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}',
                b"[" * 50000,
            )
        ),
    ],
)  # fmt: skip
def test_a_file_that_lies_is_one_error(tmp_path, content):
    path = tmp_path / "params.safetensors"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"params\.safetensors"):
        whole_files.load_params(path, {"w": jnp.zeros(2)})


@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_parameters_of_another_model_are_refused(tmp_path, ending):
    path, like = tmp_path / f"params.{ending}", {"w": jnp.zeros(2)}
    for params, message in (
        ({"v": jnp.zeros(2)}, "another model"),
        ({"w": jnp.zeros(3)}, r"w must be float32 \(2,\)"),
        ({"w": jnp.zeros(2, jnp.float16)}, r"w must be float32 \(2,\), got float16"),
        ({"w": jnp.full(2, jnp.inf)}, "w must be finite"),
    ):
        whole_files.save_params(path, params)
        with pytest.raises(ValueError, match=rf"params\.{ending}: .*{message}"):
            whole_files.load_params(path, like)
    path.unlink()
    with pytest.raises(FileNotFoundError, match=rf"params\.{ending}"):
        whole_files.load_params(path, like)


def test_a_run_is_loaded_too(tmp_path, monkeypatch, digits):
    monkeypatch.chdir(tmp_path)
    small = ["--layers", "1", "--hidden-units", "8", "--likelihood", "bernoulli"]
    assert cli.main(["train", "--out", "run", "--epochs", "1", *small]) == 0
    model = jaxvae.load("run")
    z = model.encode(digits.x_test)
    assert {part: own.shape for part, own in z.items()} == {
        "category": (360, 10),
        "style": (360, 8),
    }
    path = saved_models.write("mine", model.description, model.params)
    again = jaxvae.load(path).encode(digits.x_test)
    for part, own in z.items():
        np.testing.assert_array_equal(again[part], own)


PIXELS = np.random.default_rng(2).integers(0, 256, (20, 4, 4), dtype=np.uint8)
# What a model was trained on, which bytes it is given, and what these are to the model.
OF_BYTES = {
    "bytes": (PIXELS, PIXELS, 1),
    "black and white": ((PIXELS > 99).astype(np.uint8), (PIXELS > 99).astype(np.uint8), 1),
    "shares": (PIXELS / np.float32(256), PIXELS, 256),
    "counts": (PIXELS % 5, PIXELS % 5, 1),
}


@pytest.mark.parametrize("name", OF_BYTES)
def test_the_command_line_encodes_bytes_as_the_model_does(name, tmp_path):
    """Divided by 256 for a model of shares alone, as for the run on MNIST that it may have been."""
    trained_on, x, divisor = OF_BYTES[name]
    is_counts = name == "counts"
    data = datasets.from_arrays(trained_on, kind="counts" if is_counts else "images")
    network = jaxvae.dense_normal_network(16, 2, **SMALL)
    likelihood = likelihoods.poisson() if is_counts else "normal"
    vae = jaxvae.normal_vae(network, likelihood=likelihood, transform=transforms.fitted(data))
    path = saved_models.save(tmp_path / "m", vae, params_of(vae, Batch(data.x_train)), data=data)
    np.save(tmp_path / "x.npy", x.reshape(20, 16) if is_counts else x)
    encoding = encodings.encode_file(runs.open_run(path), tmp_path / "x.npy")
    own = jaxvae.load(path).encode(x.reshape(20, 16).astype(np.float32) / divisor)
    np.testing.assert_allclose(encoding.means, own, rtol=1e-5, atol=1e-6)
    run = runs.open_run(path, data=tmp_path / "x.npy", other_data=True)  # as `jaxvae evaluate` does
    np.testing.assert_allclose(run.data.x_test, x.reshape(20, 16) / divisor)


def test_pictures_for_a_model_that_was_saved_without_its_data(tmp_path):
    """Where nothing says what its images were, an IDX file is taken as MNIST's own are."""
    vae = jaxvae.normal_vae(jaxvae.dense_normal_network(16, 2, **SMALL), likelihood="bernoulli")
    path = saved_models.save(tmp_path / "m", vae, params_of(vae, Batch(PIXELS.reshape(20, 16))))
    header = b"\0\0\x08\3" + np.array(PIXELS.shape, ">u4").tobytes()
    (tmp_path / "x.idx").write_bytes(header + PIXELS.tobytes())
    encoding = encodings.encode_file(runs.open_run(path), tmp_path / "x.idx")
    own = jaxvae.load(path).encode(PIXELS.reshape(20, 16) / np.float32(256))
    np.testing.assert_allclose(encoding.means, own, rtol=1e-5, atol=1e-6)


def test_importing_the_library_brings_none_of_it():
    code = """
        import sys, jaxvae
        assert "safetensors" not in sys.modules
        assert "jaxvae.apps" not in sys.modules
        assert {"load", "save", "register"} <= set(dir(jaxvae))
        jaxvae.save, jaxvae.load, jaxvae.register
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
