"""`jaxvae explore` without a browser: what the page holds, and that it decodes like the model."""

import base64
import dataclasses
import io
import json
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from untrained import run_of, write_run

import jaxvae
from jaxvae import likelihoods, networks, transforms
from jaxvae.apps import description, runs
from jaxvae.apps.cli import main
from jaxvae.apps.explore import dense_decoder, examples, lattices, looks, page, spaces
from jaxvae.apps.model_parts import Categorical, Dense, NormalLatent, StandardNormal
from jaxvae.apps.options import DataOptions, TrainingOptions
from jaxvae.apps.run_config import Config

# A value that the page decodes may be off by so much of the range in which it is shown: the bound
# of the page itself, dense_decoder.LARGEST_ERROR, is ten times as wide.
TOLERANCE = 0.002


@pytest.fixture(scope="module")
def digits_run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("digits") / "mine")


@pytest.fixture(scope="module")
def digits_page(digits_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("page") / "explore.html"
    assert main(["explore", str(digits_run), "--out", str(out)]) == 0
    return out.read_text()


def payload_of(text):
    (found,) = re.findall(r'<script id="payload" type="application/json">(.*?)</script>', text)
    return json.loads(found)


def array(packed):
    """Base64 as the page reads it."""
    raw = np.frombuffer(base64.b64decode(packed["data"]), np.dtype(packed["dtype"]))
    numbers = raw.reshape(packed["shape"]).astype(np.float64)
    if "low" not in packed:
        return numbers
    low, high = np.array(packed["low"]), np.array(packed["high"])
    return np.where(numbers == 65535, np.nan, low + numbers / 65534 * (high - low))


def decoded(told, z):
    """What the page decodes, from the numbers that are embedded in it and nothing else."""
    decoder, h = told["decoder"], z
    activations = {
        "relu": lambda x: np.maximum(x, 0),
        "tanh": np.tanh,
        "softplus": lambda x: np.logaddexp(x, 0),
        "silu": lambda x: x / (1 + np.exp(-x)),
    }
    outputs = {
        "identity": lambda x: x,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "exp": np.exp,
        "softmax": lambda x: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True),
    }
    for i, layer in enumerate(decoder["layers"]):
        kernel = array(layer["kernel"])
        kernel = kernel * array(layer["step"]) if "step" in layer else kernel
        h = h @ kernel + array(layer["bias"])
        if i < len(decoder["layers"]) - 1:
            h = activations[decoder["activation"]](h)
    h = outputs[decoder["output"]](h)
    h = np.sinh(h) if decoder["curve"] == "sinh" else h
    return np.array(decoder["centre"]) + np.array(decoder["width"]) * h


def assert_decodes_alike(run, told, tolerance=TOLERANCE):
    z = run.draw(jax.random.key(7), 100)
    side_by_side = np.concatenate([run.space.of(part, z) for part in run.space.parts], axis=1)
    room = np.array(told["look"]["high"]) - np.array(told["look"]["low"])
    error = np.abs(decoded(told, side_by_side) - run.decode(z)) / room
    assert error.max() < tolerance
    assert told["decoder"]["error"] < tolerance


def test_the_page_is_one_file_that_loads_nothing(digits_page):
    assert len(digits_page.encode()) < page.LARGEST
    assert not re.search(r"(?:https?|ftp|ws)s?://|//[a-z0-9.-]+\.[a-z]{2,}/", digits_page)
    assert not re.findall(r"<(?:script|img|iframe|object|embed)[^>]*\ssrc=", digits_page)
    assert re.findall(r"<link[^>]*>", digits_page) == ['<link rel="icon" href="data:,">']
    assert "default-src 'none'" in digits_page
    assert not re.findall(r"\b(?:fetch|XMLHttpRequest|import)\(", digits_page)
    assert not re.findall(r"\{\{\w+\}\}", digits_page)


def test_the_page_holds_the_run(digits_page, digits_run):
    told = payload_of(digits_page)
    assert told["space"]["categories"]["names"] == [str(k) for k in range(10)]
    assert told["about"]["name"] == "digits"
    assert told["about"]["run"] == "mine"
    assert told["look"]["kind"] == "image"
    held = told["examples"]
    assert held["count"] == 300
    assert np.bincount(held["labels"]).min() >= 29  # of each label equally many, about
    run = runs.open_run(digits_run)
    x = run.data.x_test[held["places"]]
    z = run.model.encode(x)
    for name, part in (("shares", "category"), ("style", "style")):
        np.testing.assert_allclose(array(held[name]), z[part], rtol=2e-3, atol=2e-3)
    names = [run.data.label_names[label] for label in run.data.y_test[held["places"]]]
    assert [held["names"][label] for label in held["labels"]] == names


def test_thumbnails_are_the_examples(digits_page, digits_run):
    held = payload_of(digits_page)["examples"]
    sprite = held["sprite"]
    kind, content = sprite["source"].split(",")
    assert kind == "data:image/png;base64"
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))
    place = 47
    top, left = 8 * (place // sprite["columns"]), 8 * (place % sprite["columns"])
    data = runs.open_run(digits_run).data
    own = data.x_test[held["places"][place]].reshape(8, 8) / data.value_range[1]
    np.testing.assert_allclose(pixels[top : top + 8, left : left + 8] / 255, own, atol=0.51 / 255)


def test_a_joint_model_decodes_alike(digits_page, digits_run):
    assert_decodes_alike(runs.open_run(digits_run), payload_of(digits_page))


NETWORK = {"layers": 2, "hidden_units": 16}


@pytest.mark.parametrize(
    ("likelihood", "transform", "activation"),
    [
        ("bernoulli", None, "relu"),
        ("poisson", None, "tanh"),
        ("multinomial", None, "softplus"),
        ("normal", transforms.divided_by(255), "silu"),
        ("normal", transforms.standardized([5.0, -3.0, 0.0, 100.0], [2.0, 1.0, 9.0, 30.0]), "relu"),
        ("normal", transforms.arcsinh(2.0, 3.0), "relu"),
    ],
    ids=["bernoulli", "poisson", "multinomial", "bytes", "columns", "tails"],
)
def test_what_is_embedded_decodes_alike(likelihood, transform, activation):
    vae = jaxvae.normal_vae(
        jaxvae.dense_normal_network(4, 3, activation=activation, **NETWORK),
        likelihood=getattr(likelihoods, likelihood)(),
        transform=transform or transforms.identity(),
    )
    run = run_of(vae, (4,))
    told = page.told(run, None)
    assert told["decoder"]["activation"] == activation
    assert_decodes_alike(run, told)


def test_a_joint_model_in_wrappers_decodes_alike():
    heads = {"style": networks.NormalHead(3), "category": networks.DirichletHead(4)}
    network = networks.scaled_parts(networks.dense_network(6, heads, **NETWORK), category=5.0)
    latent = jaxvae.latents.product(category=jaxvae.latents.dirichlet, style=jaxvae.latents.normal)
    prior = jaxvae.priors.product(
        category=jaxvae.priors.symmetric(1.0), style=jaxvae.priors.standard_normal()
    )
    vae = jaxvae.bind(network, latent, prior, likelihoods.normal())
    run = run_of(vae, (6,))
    told = page.told(run, None)
    assert_decodes_alike(run, told)
    factors = {part["role"]: part["factor"] for part in told["space"]["parts"]}
    assert factors == pytest.approx({"categories": 5.0, "style": 1.0})


@pytest.mark.parametrize(("layers", "hidden_units"), [(2, 256), (2, 512)])
def test_the_default_for_mnist_is_small(layers, hidden_units):
    network = jaxvae.dense_dirichlet_network(784, 10, layers=layers, hidden_units=hidden_units)
    vae = jaxvae.dirichlet_vae(network, prior=jaxvae.priors.symmetric(1.0))
    run = run_of(vae, (784,), image_shape=(28, 28))
    told = page.told(run, None)
    assert told["decoder"]["layers"][0]["kernel"]["dtype"] == "f2"
    # With room for the 300 examples, which noise would not compress.
    assert len(page.fill(told).encode()) + 300 * 784 * 4 / 3 < page.LARGEST
    assert_decodes_alike(run, told)


def test_bytes_where_halves_are_too_long():
    network = jaxvae.dense_normal_network(4, 2, **NETWORK)
    run = run_of(jaxvae.normal_vae(network), (4,))
    z = run.draw(jax.random.key(3), 50)
    found = dense_decoder.find(run, z)
    room = np.ptp(run.decode(z), axis=0)
    weights = sum(kernel.size for kernel, _ in found.layers)
    own, error = dense_decoder.packed(found, run, z, room, 2 * weights)
    assert {layer["kernel"]["dtype"] for layer in own["layers"]} == {"i1"}
    assert 0 < error < dense_decoder.LARGEST_ERROR
    wrong = np.abs(decoded({"decoder": own}, z) - run.decode(z)) / room
    assert wrong.max() == pytest.approx(error, rel=1e-3)
    assert dense_decoder.packed(found, run, z, room, weights) is None


@pytest.fixture(scope="module")
def convolutional():
    network = networks.convolutional_dirichlet_network((8, 8), 3, channels=(4,), hidden_units=8)
    vae = jaxvae.dirichlet_vae(network, prior=jaxvae.priors.symmetric(1.0))
    return run_of(vae, (8, 8), image_shape=(8, 8))


def test_another_decoder_shows_points_that_were_decoded(convolutional):
    told = page.told(convolutional, None)
    decoder = told["decoder"]
    shares = array(decoder["shares"])
    assert decoder["kind"] == "lattice"
    assert len(shares) == decoder["count"] > 50
    np.testing.assert_allclose(shares[:3], np.eye(3))
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=2e-3)
    sprite = decoder["sprite"]
    content = base64.b64decode(sprite["source"].partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(content))) / 255
    look = looks.look_of(convolutional.config.model, None, convolutional.decode(shares))
    for i in (0, 2, decoder["count"] - 1):
        top, left = (8 * k for k in divmod(i, sprite["columns"]))
        own = looks.pictures(look, convolutional.decode(np.float32(shares[i : i + 1])))[0]
        shown = pixels[top : top + 8, left : left + 8]
        np.testing.assert_allclose(shown, np.clip(own, 0, 1), atol=0.02)


def test_fewer_points_where_there_is_little_room(convolutional):
    look = looks.look_of(convolutional.config.model, None, np.zeros((2, 64)))
    space = spaces.space_of(convolutional, None)
    sizes = [lattices.packed(convolutional, space, look, size)["count"] for size in (10**6, 3000)]
    assert sizes[0] > sizes[1] >= 3


@pytest.mark.parametrize("shape", [(2, 200), (200, 2), (1, 300)], ids=str)
def test_an_image_that_is_flat_has_each_of_its_sides(shape):
    """Its short side has fewer pixels than become one along the long side."""
    x = np.random.default_rng(0).random((6, *shape))
    look = looks.Look("image", shape, np.zeros(1), np.ones(1), x.mean(axis=0).ravel(), ())
    made = looks.examples(look, x.reshape(6, -1), 10**6)["sprite"]
    factor = -(-max(shape) // looks.SAMPLE)
    sides = [max(1, side // factor) for side in shape]
    assert made["shape"] == sides
    content = base64.b64decode(made["source"].partition(",")[2])
    first = np.asarray(Image.open(io.BytesIO(content)))[: sides[0], : sides[1]] / 255
    blocks = [np.array_split(np.arange(n)[: m * min(factor, n)], m)
              for n, m in zip(shape, sides, strict=True)]  # fmt: skip
    expected = [[x[0][np.ix_(down, across)].mean() for across in blocks[1]] for down in blocks[0]]
    np.testing.assert_allclose(first, expected, atol=0.01)
    assert min(lattices._shown(look, x.reshape(6, -1))["sprite"]["shape"]) > 0


def test_without_the_data_the_page_works_and_says_so(digits_run, tmp_path, capsys, monkeypatch):
    def missing(config, *args, **options):
        raise FileNotFoundError("there is no file")

    monkeypatch.setattr(runs, "load_data", missing)
    out = tmp_path / "page.html"
    assert main(["explore", str(digits_run), "--out", str(out), "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}\n"
    assert said.err == "without the run's data, so the page holds no examples: there is no file\n"
    told = payload_of(out.read_text())
    assert told["examples"] is None
    assert told["space"]["style"]["by"] == "decoder"
    assert_decodes_alike(runs.open_run(digits_run), told)


def test_examples_that_the_model_cannot_encode_are_an_error(digits_run, tmp_path, monkeypatch):
    """Not a page without them: their data are at hand."""

    def wrong(*_):
        raise ValueError("the posterior mean of example 0 is nan")

    monkeypatch.setattr(examples.evaluation, "encode_mean", wrong)
    with pytest.raises(ValueError, match=r"^the posterior mean of example 0 is nan"):
        page.make(runs.open_run(digits_run))


def test_examples_are_left_out_on_demand(digits_run, tmp_path):
    out = tmp_path / "page.html"
    assert main(["explore", str(digits_run), "--without-examples", "--out", str(out)]) == 0
    assert payload_of(out.read_text())["examples"] is None


def test_a_table_shows_its_columns(tmp_path):
    rows = np.random.default_rng(0).normal([50, 2, 0], [10, 1, 3], (60, 3))
    lines = [",".join(f"{v:.4f}" for v in row) + f",{'ab'[i % 2]}" for i, row in enumerate(rows)]
    (tmp_path / "t.csv").write_text("\n".join(["height,width,depth,kind", *lines]) + "\n")
    run = runs.open_run(write_run(tmp_path / "run", data=tmp_path / "t.csv", label="kind"))
    told = page.told(run, examples.of_run(run))
    assert told["look"]["kind"] == "bars"
    assert told["look"]["names"] == ["height", "width", "depth"]
    assert told["examples"]["names"] == ["a", "b"]
    x = run.data.x_test[told["examples"]["places"]]
    np.testing.assert_allclose(array(told["examples"]["values"]), x, rtol=1e-4, atol=1e-3)
    low, high = (np.array(told["look"][end]) for end in ("low", "high"))
    assert (low < x.mean(axis=0)).all()
    assert (x.mean(axis=0) < high).all()


def test_no_name_ends_the_script(convolutional):
    told = page.told(convolutional, None)
    told["about"]["name"] = "</script><b>{{style}}"
    text = page.fill(told)
    assert "</script><b>" not in text
    assert payload_of(text)["about"]["name"] == "</script><b>{{style}}"


def test_a_model_that_cannot_be_shown_is_refused():
    model = description.Description(
        latent=NormalLatent(),
        prior=StandardNormal(),
        likelihood=Categorical(categories=5),
        network=Dense(layers=1, hidden_units=8),
        data_shape=(6,),
        latent_dim=2,
    )
    vae = description.build(model)
    params = vae.init(jax.random.key(0), jnp.zeros((1, 6)))
    config = Config(model=model, data=DataOptions(), training=TrainingOptions())
    with pytest.raises(ValueError, match=r"run must be .* the shape of an example, \(6,\), got 30"):
        page.told(runs.Run(Path("mine"), config, vae, params), None)


def test_a_model_with_a_condition_is_refused():
    vae = jaxvae.normal_vae(jaxvae.dense_normal_network(4, 2, **NETWORK))
    run = run_of(vae, (4,))
    config = dataclasses.replace(
        run.config, model=dataclasses.replace(run.config.model, condition_shape=(3,))
    )
    with pytest.raises(ValueError, match=r"run must be .* without a condition, got .* \(3,\)"):
        page.make(runs.Run(run.folder, config, vae, run.params))


def test_a_page_that_is_too_long_is_refused(monkeypatch, digits_run):
    monkeypatch.setattr(page, "LARGEST", 1000)
    with pytest.raises(ValueError, match=r"run must be a model whose page is at most .*\(64,\)"):
        page.make(runs.open_run(digits_run))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["RUN", "--out", "page.pdf"], "out must end in .html, got"),
        (["RUN", "--out", "there.html"], "out must be a new file"),
        (["RUN", "--out", "no/folder/page.html"], "out must be in a folder that exists"),
        (["nowhere"], "a run must hold config.json"),
        (["RUN", "--data", "small.csv"], "data must be"),
    ],
    ids=["ending", "there", "folder", "run", "data"],
)
def test_wrong_input(digits_run, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    Path("there.html").write_text("mine")
    Path("small.csv").write_text("a,b\n1.5,2\n3,4\n5,6\n")
    given = [str(digits_run) if one == "RUN" else one for one in arguments]
    assert main(["explore", *given]) == 1
    assert message in re.sub(r"\s+", " ", capsys.readouterr().err)
    assert Path("there.html").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"there.html", "small.csv"}


@pytest.mark.parametrize("categories", [3, 4, 10])
def test_wachspress_coordinates(categories):
    angles = 2 * np.pi * np.arange(categories) / categories - np.pi / 2
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    some = np.random.default_rng(0).dirichlet(np.full(categories, 0.5), 50)
    for place in some @ corners:
        shares = lattices.shares_at(place, categories)
        assert shares.min() >= 0
        np.testing.assert_allclose(shares.sum(), 1)
        np.testing.assert_allclose(shares @ corners, place, atol=1e-9)
    if categories == 3:
        found = [lattices.shares_at(share @ corners, 3) for share in some]
        np.testing.assert_allclose(found, some, atol=1e-9)
    side = 0.3 * corners[0] + 0.7 * corners[1]
    np.testing.assert_allclose(lattices.shares_at(side, categories)[:2], [0.3, 0.7], atol=1e-6)
    np.testing.assert_allclose(lattices.shares_at(corners[1], categories)[1], 1, atol=1e-6)
    assert lattices.shares_at(1.01 * corners[0], categories) is None
