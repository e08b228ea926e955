"""Twenty inputs as people have them, made here, from the file to the trained model and back."""

import csv
import gzip
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anndata
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import polars as pl
import pytest
import scipy.io
import scipy.sparse
from PIL import Image

import jaxvae
from conftest import results_of
from jaxvae import transforms
from jaxvae.apps import cli, gallery, runs
from jaxvae.estimators import DirichletVAEClassifier, NormalVAE

N = 60
RNG = np.random.default_rng(7)
SMALL = ["--epochs", "1", "--layers", "1", "--hidden-units", "8", "--batch-size", "32"]
COLUMNS = ("length", "mass", "depth", "age", "price", "share")
UNITS = RNG.normal(size=(N, 6)) * [1, 1e3, 0.01, 20, 5, 0.1] + [0, 1e4, 0, -300, 5, 0]
UNITS = UNITS.astype(np.float32)
COUNTS = RNG.poisson(0.6, (N, 8)).astype(np.float32)
COUNTS[:, 0] += 1  # no row is empty
GENES = tuple(f"gene{k}" for k in range(8))
NORMAL = ["--model", "normal"]  # compiles in half the time
IMAGES = RNG.integers(0, 256, (N, 6, 5), dtype=np.uint8)
COLOURS = RNG.integers(0, 256, (N, 4, 5, 3), dtype=np.uint8)
SERIES = (RNG.normal(size=(N, 24, 2)) * [3, 50] + [0, 400]).astype(np.float32)
ANIMALS = [("cat", "dog", "owl")[k % 3] for k in range(N)]
IDS = [f"id-{k}" for k in range(N)]
WORDS = ("red", "blue", "green", "soft", "hard", "warm", "cold", "old")
TEXTS = [" ".join(RNG.choice(WORDS, 5)) for _ in range(N)]
# A single outlier is at most the root of N deviations away: of 60 rows none is found.
HEAVY = np.concatenate([np.tile(UNITS, (3, 1)), np.full((3 * N, 1), 3.0, np.float32)], axis=1)
HEAVY[5, 3] = 3e8
HOLES = UNITS.copy()
HOLES[::7, 1] = HOLES[3, :3] = np.nan


@dataclass
class Case:
    """A kind of input.

    Attributes:
      write: writes it into a folder, and says where.
      options: of `jaxvae train`.
      x: what it holds, in its own units and order [N, ...]; None for texts.
      labels: by name, "" where one is missing; names: of all; ids: of the rows.
      transform: that the model keeps.
      held_out: so many of its first rows are once more what the file itself holds out.
    """

    write: Callable[[Path], Path]
    options: list[str] = field(default_factory=list)
    x: Any = None
    labels: list[str] | None = None
    names: tuple[str, ...] | None = None
    ids: list[str] | None = None
    columns: tuple[str, ...] | None = None
    kind: str = "table"
    shape: tuple[int, ...] = ()
    transform: Any = None
    said: str = ""
    held_out: int = 0


CASES: dict[str, Case] = {}


def case(name, **options):
    """Register a function that writes an input."""

    def decorate(write):
        CASES[name] = Case(write, **options)
        return write

    return decorate


BY_NAME = {"labels": ANIMALS, "names": ("cat", "dog", "owl")}
BYTES = {"transform": transforms.divided_by(255.0), "said": "bytes, divided by 255"}
OF_COLUMNS = {"columns": COLUMNS, "said": "columns, each standardised"}


@case("npz", x=UNITS, **BY_NAME, said="columns, each standardised")
def write_npz(folder):
    np.savez(folder / "mine.npz", x=UNITS, y=np.array(ANIMALS))
    return folder / "mine.npz"


@case(
    "keras",
    x=IMAGES,
    labels=[str(100 * (k % 2)) for k in range(N)],
    names=("0", "100"),
    kind="images",
    shape=(6, 5),
    held_out=10,
    **BYTES,
)
def write_keras(folder):
    y = 100 * (np.arange(N) % 2)[:, None]
    arrays = {"x_train": IMAGES, "y_train": y, "x_test": IMAGES[:10], "y_test": y[:10]}
    np.savez(folder / "keras.npz", **arrays)
    return folder / "keras.npz"


@case("bunch", x=UNITS, **BY_NAME, **OF_COLUMNS)
def write_bunch(folder):
    target = np.arange(N) % 3
    names = {"target_names": np.array(["cat", "dog", "owl"]), "feature_names": np.array(COLUMNS)}
    np.savez(folder / "bunch.npz", data=UNITS, target=target, DESCR=np.array("a set"), **names)
    return folder / "bunch.npz"


@case(
    "csr",
    options=NORMAL,
    x=COUNTS,
    kind="counts",
    transform=transforms.identity(),
    said="counts up to",
)
def write_csr(folder):
    scipy.sparse.save_npz(folder / "rows.npz", scipy.sparse.csr_array(COUNTS))
    return folder / "rows.npz"


@case("npy", options=NORMAL, x=IMAGES, kind="images", shape=(6, 5), **BYTES)
def write_npy(folder):
    np.save(folder / "images.npy", IMAGES)
    return folder / "images.npy"


@case(
    "series",
    options=NORMAL,
    x=SERIES,
    kind="series",
    shape=(24, 2),
    said="series of 24 x 2 (steps x values)",
)
def write_series(folder):
    np.save(folder / "series.npy", SERIES)
    return folder / "series.npy"


@case(
    "csv",
    options=["--label", "species", "--ids", "name", "--leave-out", "note"],
    x=UNITS,
    ids=IDS,
    labels=["" if k % 20 == 0 else name for k, name in enumerate(ANIMALS)],
    names=("cat", "dog", "owl"),
    **OF_COLUMNS,
)
def write_csv(folder):
    table = pd.DataFrame(UNITS, columns=list(COLUMNS))
    species = [None if k % 20 == 0 else name for k, name in enumerate(ANIMALS)]
    table = table.assign(name=IDS, species=species, note="as it was")
    table.to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


@case(
    "parquet",
    options=["--latent-dim", "3"],
    x=UNITS,
    labels=[str(k % 2 == 0) for k in range(N)],
    names=("False", "True"),
    **OF_COLUMNS,
)
def write_parquet(folder):
    table = pd.DataFrame(UNITS, columns=list(COLUMNS)).assign(label=np.arange(N) % 2 == 0)
    table.to_parquet(folder / "table.parquet")
    return folder / "table.parquet"


@case(
    "tsv zipped",
    x=UNITS,
    labels=["" if k % 20 == 0 else ("3", "10", "25")[k % 3] for k in range(N)],
    names=("3", "10", "25"),
    **OF_COLUMNS,
)
def write_tsv(folder):
    """Numbers with gaps for labels, -1 where one is missing."""
    table = pd.DataFrame(UNITS, columns=list(COLUMNS))
    table = table.assign(Class=[-1 if k % 20 == 0 else (3, 10, 25)[k % 3] for k in range(N)])
    table.to_csv(folder / "table.tsv.gz", sep="\t", index=False)
    return folder / "table.tsv.gz"


@case("csv with holes", options=["--missing", "mask", *NORMAL], x=HOLES, **OF_COLUMNS)
def write_holes(folder):
    pd.DataFrame(HOLES, columns=list(COLUMNS)).to_csv(folder / "holes.csv", index=False)
    return folder / "holes.csv"


@case(
    "csv with heavy tails",
    options=NORMAL,
    x=HEAVY,
    columns=(*COLUMNS, "always"),
    said="1 of 7 constant, 1 with heavy tails",
)
def write_heavy(folder):
    table = pd.DataFrame(HEAVY, columns=[*COLUMNS, "always"])
    table.to_csv(folder / "heavy.csv", index=False)
    return folder / "heavy.csv"


@case(
    "csv unscaled",
    options=["--scale", "none", *NORMAL],
    x=UNITS[:, ::2],
    columns=COLUMNS[::2],
    transform=transforms.identity(),
    said="60 rows of 3 columns; the numbers stay as they are",
)
def write_unscaled(folder):
    table = pd.DataFrame(UNITS[:, ::2], columns=list(COLUMNS[::2]))
    table.to_csv(folder / "table.csv", index=False)
    return folder / "table.csv"


@case(
    "pictures",
    options=["--image-size", "6", "5"],
    x=IMAGES,
    labels=[("cat", "dog")[k // 30] for k in range(N)],
    names=("cat", "dog"),
    ids=[f"{('cat', 'dog')[k // 30]}/{k:03}.png" for k in range(N)],
    kind="images",
    shape=(6, 5),
    **BYTES,
)
def write_pictures(folder):
    """One of them is twice as large: it is made smaller like all."""
    root = folder / "pictures"
    for k, picture in enumerate(IMAGES):
        label = root / ("cat", "dog")[k // 30]
        label.mkdir(parents=True, exist_ok=True)
        own = np.kron(picture, np.ones((2, 2), np.uint8)) if k == 3 else picture
        Image.fromarray(own).save(label / f"{k:03}.png")
    return root


@case(
    "pictures in colour",
    options=NORMAL,
    x=COLOURS,
    ids=[f"{k:03}.png" for k in range(N)],
    kind="images",
    shape=(4, 5, 3),
    **BYTES,
)
def write_colours(folder):
    (folder / "colours").mkdir()
    for k, picture in enumerate(COLOURS):
        Image.fromarray(picture).save(folder / "colours" / f"{k:03}.png")
    return folder / "colours"


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return header + array.astype(np.uint8).tobytes()


OF_IDX = {
    "x": IMAGES,
    "labels": [str(k % 2) for k in range(N)],
    "names": ("0", "1"),
    "kind": "images",
    "shape": (6, 5),
    **BYTES,
}


@case("idx folder", **OF_IDX, held_out=10)
def write_idx_folder(folder):
    for part, rows in (("train", N), ("t10k", 10)):
        (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(IMAGES[:rows]))
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(rows) % 2))
    return folder


@case("idx zipped", **OF_IDX)
def write_idx_zipped(folder):
    for name, array in (("images-idx3", IMAGES), ("labels-idx1", np.arange(N) % 2)):
        (folder / f"train-{name}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
    return folder / "train-images-idx3-ubyte.gz"


@case(
    "h5ad",
    options=["--layer", "counts", "--label", "cell"],
    x=COUNTS,
    **BY_NAME,
    ids=IDS,
    columns=GENES,
    kind="counts",
    transform=transforms.identity(),
    said="counts",
)
def write_h5ad(folder):
    obs = pd.DataFrame({"cell": pd.Categorical(ANIMALS), "depth": COUNTS.sum(1)}, index=IDS)
    adata = anndata.AnnData(np.log1p(COUNTS), obs=obs, var=pd.DataFrame(index=list(GENES)))
    adata.layers["counts"] = scipy.sparse.csr_matrix(COUNTS)
    adata.write_h5ad(folder / "cells.h5ad")
    return folder / "cells.h5ad"


@case(
    "mtx",
    options=NORMAL,
    x=COUNTS,
    kind="counts",
    transform=transforms.identity(),
    said="counts up to",
)
def write_mtx(folder):
    scipy.io.mmwrite(folder / "rows.mtx", scipy.sparse.coo_matrix(COUNTS.astype(int)))
    return folder / "rows.mtx"


@case(
    "10x",
    options=NORMAL,
    x=COUNTS,
    ids=IDS,
    columns=GENES,
    kind="counts",
    transform=transforms.identity(),
    said="counts up to",
)
def write_10x(folder):
    scipy.io.mmwrite(folder / "matrix.mtx", scipy.sparse.coo_matrix(COUNTS.T.astype(int)))
    (folder / "barcodes.tsv").write_text("\n".join(IDS) + "\n")
    (folder / "genes.tsv").write_text("".join(f"E{gene}\t{gene}\n" for gene in GENES))
    return folder


COUNTED = np.array([[text.split().count(word) for word in sorted(WORDS)] for text in TEXTS])
OF_TEXTS = {
    "options": ["--words", "8", *NORMAL],
    "kind": "counts",
    "transform": transforms.identity(),
    "said": "counts",
}


@case("txt", **OF_TEXTS)
def write_txt(folder):
    (folder / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    return folder / "texts.txt"


@case("csv of texts", **OF_TEXTS | {"options": ["--text", "review", "--label", "stars"]}, **BY_NAME)
def write_texts(folder):
    pd.DataFrame({"review": TEXTS, "stars": ANIMALS}).to_csv(folder / "texts.csv", index=False)
    return folder / "texts.csv"


@case(
    "folder of texts",
    **OF_TEXTS | {"options": []},
    labels=[("bad", "fair", "good")[k // 20] for k in range(N)],
    names=("bad", "fair", "good"),
    ids=[f"{('bad', 'fair', 'good')[k // 20]}/{k:03}.txt" for k in range(N)],
)
def write_text_folder(folder):
    for k, text in enumerate(TEXTS):
        own = folder / "texts" / ("bad", "fair", "good")[k // 20]
        own.mkdir(parents=True, exist_ok=True)
        (own / f"{k:03}.txt").write_text(text)
    return folder / "texts"


@pytest.fixture(scope="session")
def inputs(tmp_path_factory):
    """Each input in a folder of its own."""
    root = tmp_path_factory.mktemp("inputs")
    found = {}
    for name, own in CASES.items():
        (root / name.replace(" ", "-")).mkdir()
        found[name] = own.write(root / name.replace(" ", "-"))
    return found


def train(path, out, *options):
    """Of a Dirichlet unless another model is asked for: its z is one array."""
    model = [] if "--model" in options else ["--model", "dirichlet"]
    return cli.main(["train", "--data", str(path), "--out", str(out), *SMALL, *model, *options])


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


DRAWN = ("csv", "keras", "series", "csr")  # of these the pictures are drawn


def has_data(run):
    try:
        return run.data is not None
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("name", CASES)
def test_from_the_file_to_the_model_and_back(name, inputs, tmp_path, monkeypatch, capsys):
    """Train, load, encode, generate, draw; the last two also when the data are gone."""
    own, path, run = CASES[name], inputs[name], tmp_path / "run"
    drawn = []
    if name not in DRAWN:
        monkeypatch.setattr(gallery, "draw", lambda run: drawn.append(has_data(run)))
    assert train(path, run, *own.options) == 0
    assert own.said in " ".join(capsys.readouterr().out.split())
    model = jaxvae.load(run)
    about = model.description
    assert about.label_names == own.names
    assert about.data_kind == own.kind
    if own.columns is not None:
        assert about.column_names == own.columns
    assert about.image_shape == (own.shape if own.kind == "images" else None)
    assert about.series_shape == (own.shape if own.kind == "series" else None)
    if own.transform is not None:
        assert model.vae.parts.transform == own.transform
    config = json.loads((run / "config.json").read_text())["model"]
    assert config["likelihood"]["kind"] == ("multinomial" if own.kind == "counts" else "normal")

    check_units(model, own)
    check_encode(run, path, model, own, tmp_path)
    with_data = sorted(file.name for file in (run / "figures").glob("*")) if not drawn else None
    moved = path.parent if name in ("idx folder", "10x") else path
    gone = moved.with_name(f"{moved.name}.gone")
    moved.rename(gone)
    try:
        check_without_data(run, own, tmp_path, with_data, drawn)
    finally:
        gone.rename(moved)


def check_units(model, own):
    """What the model makes lies where the user's numbers lie: it answers in their units."""
    width = int(np.prod(model.description.data_shape))
    z = model.encode(np.zeros((3, width), np.float32)) if own.x is None else model.encode(flat(own))
    assert np.isfinite(z).all()
    again = model.decode(z)
    made = model.generate(200, key=jax.random.key(0))
    assert (again.shape, made.shape) == ((len(z), width), (200, width))
    if own.x is None or own.kind == "counts" or "none" in own.options:
        assert np.isfinite(made).all()
        return
    x = np.asarray(own.x, np.float64).reshape(len(own.x), -1)
    low, high = np.nanmin(x, axis=0), np.nanmax(x, axis=0)
    spread = np.where(high > low, high - low, 1.0)
    spread *= 3 if "normal" in own.options else 1  # its z go far
    for decoded in (again, made):
        if "tails" in own.said:  # of an outlier the decoder's own is far out, any way
            decoded = np.median(decoded, axis=0)
        assert (decoded > low - spread).all()
        assert (decoded < high + spread).all()
    if own.kind == "images":
        assert made.max() > 10  # bytes, not their shares


def flat(own):
    """Examples as a user gives them to a loaded model: a mask for those with holes."""
    x = np.asarray(own.x, np.float32).reshape(len(own.x), -1)
    seen = np.isfinite(x)
    return x if seen.all() else jaxvae.Batch(np.where(seen, x, 0), mask=seen)


def check_encode(run, path, model, own, folder):
    """One row for each example, in the file's order, by its names; what it holds out at the end."""
    if own.held_out:
        more = slice(own.held_out)
        x, labels = np.concatenate([own.x, own.x[more]]), [*own.labels, *own.labels[more]]
        own = replace(own, x=x, labels=labels)
    assert cli.main(["encode", str(run), str(path), "--out", str(folder / "z.csv")]) == 0
    rows = rows_of(folder / "z.csv")
    count = N if own.x is None else len(own.x)
    assert [row["id"] for row in rows] == (own.ids or [str(k) for k in range(count)])
    if own.labels is None:
        assert "label" not in rows[0]
    else:
        assert [row["label"] for row in rows] == own.labels
    first = next(key for key in rows[0] if key.endswith("_0")).removesuffix("0")
    mean = np.array([[float(row[key]) for key in row if key.startswith(first)] for row in rows])
    if own.x is not None:
        np.testing.assert_allclose(mean, model.encode(flat(own)), rtol=1e-4, atol=1e-5)
    if "normal" in own.options:
        assert (first, mean.shape[1]) == ("loc_", 2)
        assert not {"category", "name"} & set(rows[0])
        return
    assert [int(row["category"]) for row in rows] == mean.argmax(axis=1).tolist()
    names = (*own.names, "2")  # of a category beyond the labels its number
    assert [row["name"] for row in rows] == [names[k] for k in mean.argmax(axis=1)]


def check_without_data(run, own, folder, with_data, drawn):
    out = folder / "x.npy"
    command = ["generate", str(run), "--count", "3", "--out", str(out)]
    if "normal" not in own.options:
        command += ["--category", own.names[-1]]
    assert cli.main(command) == 0
    width = int(np.prod(runs.open_run(run).config.model.data_shape))
    shape = own.shape if own.kind in ("images", "series") else (width,)
    assert np.load(out).shape == (3, *shape)
    shutil.rmtree(run / "figures", ignore_errors=True)
    assert cli.main(["figures", str(run)]) == 0
    if with_data is None:
        assert drawn == [True, False]
        return
    left = sorted(file.name for file in (run / "figures").iterdir())
    shown = {"reconstructions.png", "ternary.png"}
    shown |= {"latent.png", "category.png", "style.png", "styles.png"}
    assert left == [name for name in with_data if name not in shown]
    assert "generated.png" in left
    for file in (run / "figures").iterdir():
        with Image.open(file) as picture:
            assert min(picture.size) > 50


OF_API = ("npz", "keras", "series", "csv with holes", "pictures in colour", "h5ad")
KEY = jax.random.key(0)


@pytest.mark.parametrize("name", OF_API)
def test_by_the_library(name, inputs):
    """`datasets.load`, `transforms.fitted`, `fit`: what the command line does, in four calls."""
    own = CASES[name]
    reading = {
        "csv with holes": {"missing": "mask"},
        "h5ad": {"layer": "counts", "label": "cell"},
    }.get(name, {})
    data = jaxvae.datasets.load(inputs[name], **reading)
    assert (data.kind, data.label_names) == (own.kind, own.names)
    x, mask = data.x_train, data.mask_train
    if name == "keras":
        np.testing.assert_array_equal(x, IMAGES.reshape(N, -1))
    transform = transforms.fitted(x, images=data.kind == "images")
    if own.transform is not None:
        assert transform == own.transform
    width = x.shape[1]
    network = jaxvae.dense_normal_network(width, 2, layers=1, hidden_units=8)
    likelihood = jaxvae.likelihoods.multinomial() if own.kind == "counts" else None
    vae = jaxvae.bind(
        network,
        jaxvae.latents.normal,
        jaxvae.priors.standard_normal(),
        likelihood or jaxvae.likelihoods.normal(learned=True),
        transform=transform,
    )
    batch = jaxvae.Batch(x, data.y_train, mask=mask)
    options = {"batch_size": 32, "epochs": 1, "optimizer": optax.adam(1e-3)}
    state, history = jaxvae.fit(KEY, vae, batch, **options)
    assert np.isfinite(history.epochs[-1].loss)
    z = jaxvae.encode_mean(vae, state.params, jaxvae.Batch(data.x_test, mask=data.mask_test))
    assert z.shape == (data.x_test.shape[0], 2)
    made = jaxvae.generate(KEY, vae, state.params, (5, 2))
    assert made.shape == (5, width)
    assert np.isfinite(made).all()


TABLE = pd.DataFrame(UNITS, columns=list(COLUMNS))
X = {
    "array": UNITS,
    "pandas": TABLE,
    "polars": pl.from_pandas(TABLE),
    "jax": jnp.asarray(UNITS),
    "list": UNITS.tolist(),
    "sparse": scipy.sparse.csr_array(COUNTS),
    "bytes": IMAGES.reshape(N, -1),
}
ESTIMATOR = {"layers": 1, "hidden_units": 8, "epochs": 1, "random_state": 0}


@pytest.mark.parametrize("name", X)
def test_by_an_estimator(name):
    """Tables of any library, sparse rows and bytes; it answers in their units."""
    x = X[name]
    vae = NormalVAE(**ESTIMATOR).fit(x)
    z = vae.transform(x)
    again = vae.inverse_transform(z)
    assert (z.shape, len(again)) == ((N, 2), N)
    if name == "sparse":
        assert again.shape == COUNTS.shape
        return
    own = np.asarray(x, np.float64)
    assert (np.abs(again - own.mean(0)) < 5 * own.std(0)).all()
    if name in ("pandas", "polars"):
        assert vae.feature_names_in_.tolist() == list(COLUMNS)
        np.testing.assert_array_equal(z, NormalVAE(**ESTIMATOR).fit(UNITS).transform(UNITS))


@pytest.mark.parametrize("y", [ANIMALS, pd.Series(ANIMALS), np.arange(N) % 3 * 100])
def test_a_classifier_of_labels_by_name(y):
    vae = DirichletVAEClassifier(**ESTIMATOR).fit(TABLE, y)
    assert vae.classes_.tolist() == sorted(set(np.asarray(y).tolist()))
    assert set(vae.predict(TABLE)) <= set(np.asarray(y).tolist())
    assert vae.predict_proba(TABLE).shape == (N, 3)


def test_an_estimator_of_a_table_with_holes():
    with pytest.raises(ValueError, match="NaN"):
        NormalVAE(**ESTIMATOR).fit(HOLES)
    vae = NormalVAE(missing="mask", **ESTIMATOR).fit(HOLES)
    assert np.isfinite(vae.transform(HOLES)).all()
    assert np.abs(vae.inverse_transform(vae.transform(HOLES))[:, 1] - 1e4).max() < 1e4


def write_wrong(folder):
    """Files that no model can be trained on as they are, by their names."""

    def table(name, **columns):
        pd.DataFrame(UNITS[:, :2], columns=["a", "b"]).assign(**columns).to_csv(
            folder / name, index=False
        )

    table("text.csv", town=["Paris"] * N)
    table("fractions.csv", y=UNITS[:, 0])
    table("ids.csv")
    big = pd.DataFrame({"a": np.arange(200.0), "label": [f"n{k}" for k in range(200)]})
    big.to_csv(folder / "ids.csv", index=False)
    table("missing.csv", label=[None] * N)
    table("nan.csv", c=[np.nan, *range(N - 1)])
    table("only.csv", y=["one"] * N)
    np.savez(folder / "only.npz", x=UNITS, y=["one"] * N)
    table("hole.csv", c=[np.nan if k == 19 else k for k in range(N)])  # of the held-out tenth
    holes = np.zeros((N, 2, 2))
    holes[19, 1, 0] = np.inf
    np.save(folder / "hole.npy", holes)
    table("infinite.csv", c=[np.inf, *range(N - 1)])
    dates = pd.DataFrame({"a": UNITS[:, 0], "label": pd.date_range("2020-01-01", periods=N)})
    dates.to_parquet(folder / "dates.parquet")
    (folder / "empty.csv").write_text("")
    (folder / "header.csv").write_text("a,b\n")
    (folder / "ragged.csv").write_text("a,b\n1,2\n3\n4,5\n")
    (folder / "a.xlsx").write_text("")
    (folder / "a.pkl").write_bytes(b"\x80\x04N.")
    (folder / "a.xyz").write_text("")
    np.save(folder / "pickled.npy", np.array([{}, []], object), allow_pickle=True)
    np.save(folder / "one.npy", np.zeros((1, 3)))
    np.save(folder / "flat.npy", np.zeros(7))
    np.savez(folder / "short.npz", x=np.zeros((5, 3)), y=[1, 2])
    np.savez(folder / "names.npz", pictures=np.zeros((5, 3)), colours=np.zeros(5))
    (folder / "cut.parquet").write_bytes(b"PAR1" + bytes(99))
    (folder / "cut.h5ad").write_bytes(b"\x89HDF" + bytes(99))
    (folder / "sizes").mkdir()
    for k in (4, 5):
        Image.fromarray(np.zeros((k, 4), np.uint8)).save(folder / "sizes" / f"{k}.png")
    (folder / "nothing").mkdir()
    (folder / "words.txt").write_text("! ? !\n")


WRONG = [
    ("text.csv", "column 'town' must hold numbers, got 'Paris' in row 1; name the label column"),
    ("text.csv --label city", "--label must name a column, got 'city'; it has a, b, town"),
    ("text.csv --label town --ids id", "--ids must name a column, got 'id'"),
    ("text.csv --leave-out city", "--leave-out must name columns, got city; it has a, b, town"),
    ("text.csv --label a --leave-out town", "a measurement is no label; for bins use names"),
    ("text.csv --label town --layer counts", "--layer does not apply to it, got 'counts'"),
    ("fractions.csv --label y", "a measurement is no label; for bins use names, as text"),
    ("ids.csv", "column 'label' must name categories, got 200 different ones for 200 examples"),
    ("ids.csv", "; --leave-out label trains without labels"),
    (
        "missing.csv",
        "column 'label' must hold a label, got 60 that are missing; --leave-out",
    ),
    ("only.csv", "column 'y' has one label, 'one'; categories need at least two: --leave-out y"),
    ("only.npz", "y has one label, 'one'; categories need at least two: --label none trains"),
    ("hole.csv", "column 'c' must be finite, got nan in row 20; with missing=mask"),
    ("hole.npy", "x must be finite, got inf at index (19, 1, 0)"),
    ("text.csv --label town --kind counts", "column 'a' must hold counts, integers of at least 0"),
    ("nan.csv", "column 'c' must be finite, got nan in row 1; with missing=mask (--missing mask)"),
    ("infinite.csv --missing mask", "column 'c' must be finite, got inf in row 1"),
    ("dates.parquet", "column 'label' must name categories, got dates or durations"),
    ("empty.csv", "empty.csv"),
    ("header.csv", "must hold at least one row, got a header alone"),
    ("ragged.csv", "its rows must have as many cells as the first, 2, got 1 in line 3"),
    ("a.xlsx", "or be a folder; save it as CSV"),
    ("a.pkl", "it is refused, for reading it can run code; save arrays by np.savez as an .npz"),
    ("a.xyz", "must end in .npz, .npy, .csv"),
    ("no.csv", "path must name an existing file or folder"),
    ("pickled.npy", "must name a whole NumPy file of numbers"),
    ("one.npy", "x must have at least 2 examples to hold one out, got 1"),
    ("flat.npy", "reshape(-1, 1) makes each of its numbers an example"),
    ("short.npz", "y must have one label for each of 5 examples, got 2"),
    ("names.npz", "must hold x and, if wanted, y, x_test, y_test"),
    ("cut.parquet", "is not a whole Parquet file"),
    ("cut.h5ad", "is not a whole .h5ad file"),
    ("sizes", "pictures must have one size"),
    ("sizes", "--image-size 4 4 resizes all of them"),
    ("sizes --image-size 4 4 4", "image_size must be one number or height and width"),
    ("nothing", "must hold pictures, .txt files, MNIST's four files"),
    ("words.txt", "its texts must hold words of two or more letters, got 1 without any"),
]


@pytest.fixture(scope="session")
def wrong(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wrong")
    write_wrong(folder)
    return folder


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.startswith("jaxvae: error: ")
    assert error.count("\n") == 1
    return error


@pytest.mark.parametrize(("line", "words"), WRONG)
def test_a_wrong_one_is_refused_in_one_line(line, words, wrong, tmp_path, capsys):
    """It says what to do, names the file, and nothing is left."""
    name, *options = line.split()
    assert train(wrong / name, tmp_path / "run", *options) == 1
    error = one_line(capsys)
    assert words in error
    if not line.startswith("sizes --"):
        assert name in error
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def animals(inputs, tmp_path_factory):
    """A run on a CSV with names of columns and of labels, and a copy of its data."""
    folder = tmp_path_factory.mktemp("animals")
    table = pd.DataFrame(UNITS, columns=list(COLUMNS)).assign(label=ANIMALS)
    table.to_csv(folder / "own.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "draw", lambda run: None)
        assert train(folder / "own.csv", folder / "run") == 0
    return folder, table


def evaluated(capsys):
    found = results_of(capsys.readouterr().out)
    assert len(found) > 3
    return found


def test_data_that_moved_or_changed(animals, tmp_path, capsys):
    """Moved, they are found by --data and give the same numbers; changed, they are refused, and
    taken by --other-data.
    """
    folder, table = animals
    run = str(folder / "run")
    capsys.readouterr()
    assert cli.main(["evaluate", run]) == 0
    before = evaluated(capsys)
    (folder / "own.csv").rename(tmp_path / "elsewhere.csv")
    try:
        assert cli.main(["evaluate", run]) == 1
        assert "--data says where the run's data lie now" in one_line(capsys)
        assert cli.main(["evaluate", run, "--data", str(tmp_path / "elsewhere.csv")]) == 0
        assert evaluated(capsys) == before
    finally:
        (tmp_path / "elsewhere.csv").rename(folder / "own.csv")
    changed = table.copy()
    changed.loc[9, "length"] += 1
    changed.to_csv(tmp_path / "changed.csv", index=False)
    command = ["evaluate", run, "--data", str(tmp_path / "changed.csv")]
    assert cli.main(command) == 1
    error = one_line(capsys)
    assert "data must be what the run was trained on" in error
    assert "--other-data takes it all the same" in error
    assert cli.main([*command, "--other-data"]) == 0
    assert evaluated(capsys) != before


def test_other_data_are_read_by_the_models_names(animals, tmp_path, capsys):
    """Columns in another order and more of them, fewer labels: the same examples, the same loss."""
    folder, table = animals
    command = ["evaluate", str(folder / "run"), "--other-data", "--data"]
    capsys.readouterr()
    assert cli.main([*command, str(folder / "own.csv")]) == 0
    before = evaluated(capsys)
    other = table[[*reversed(table.columns)]].assign(more=1)
    other.to_csv(tmp_path / "other.csv", index=False)
    assert cli.main([*command, str(tmp_path / "other.csv")]) == 0
    assert evaluated(capsys) == before
    owls = table[table.label == "owl"]
    owls.to_csv(tmp_path / "owls.csv", index=False)
    assert cli.main([*command, str(tmp_path / "owls.csv")]) == 0
    capsys.readouterr()
    table.replace({"label": {"owl": "cow"}}).to_csv(tmp_path / "cows.csv", index=False)
    assert cli.main([*command, str(tmp_path / "cows.csv")]) == 1
    assert "column 'label' must hold labels of cat, dog, owl, got 'cow' in row 3" in one_line(
        capsys
    )
    table.drop(columns="label").to_csv(tmp_path / "none.csv", index=False)
    assert cli.main([*command, str(tmp_path / "none.csv")]) == 1
    assert f"{tmp_path / 'none.csv'}: it must hold labels in a column that is" in one_line(capsys)


def test_the_runs_own_data_with_more_columns_or_without_labels(animals, tmp_path, capsys):
    """More columns change nothing, as of `jaxvae encode`; what is advised is an option that the
    command has.
    """
    folder, table = animals
    command = ["evaluate", str(folder / "run"), "--data"]
    capsys.readouterr()
    assert cli.main([*command, str(folder / "own.csv")]) == 0
    before = evaluated(capsys)
    for name, value in (("word", "text"), ("number", 1.5)):
        more = tmp_path / f"{name}.csv"
        table.assign(**{name: value}).to_csv(more, index=False)
        assert cli.main([*command, str(more)]) == 0
        assert evaluated(capsys) == before
    changed = table.assign(word="text")
    changed.loc[9, "length"] += 1
    changed.to_csv(tmp_path / "changed.csv", index=False)
    table.drop(columns="label").to_csv(tmp_path / "none.csv", index=False)
    for name in ("changed", "none"):
        assert cli.main([*command, str(tmp_path / f"{name}.csv")]) == 1
        error = one_line(capsys)
        assert "--other-data takes it all the same" in error
        assert "--leave-out" not in error
        assert "--label" not in error
    table.drop(columns="age").to_csv(tmp_path / "few.csv", index=False)
    assert cli.main([*command, str(tmp_path / "few.csv")]) == 1
    assert "the columns that the model knows, and lacks age" in one_line(capsys)


@pytest.mark.parametrize("known", [slice(None, None, 3), slice(1, 2)])
def test_how_many_labels_are_known_is_said(tmp_path, capsys, monkeypatch, known):
    """And of how many examples an accuracy is; without a label for the test there is none."""
    monkeypatch.setattr(gallery, "draw", lambda run: None)
    labels = np.full(N, None, object)
    labels[known] = np.resize(["cat", "dog"], N)[known] if known.step else "cat"
    labels[2] = "dog"
    table = pd.DataFrame(UNITS, columns=list(COLUMNS)).assign(label=labels)
    table.to_csv(tmp_path / "some.csv", index=False)
    capsys.readouterr()
    assert train(tmp_path / "some.csv", tmp_path / "run") == 0
    printed = " ".join(capsys.readouterr().out.split())
    held_out = np.arange(N) % 10 == 9
    here = table.label.notna().to_numpy()
    of_train, of_test = int(here[~held_out].sum()), int(here[held_out].sum())
    assert (
        f"Labels are known of {of_train} of 54 examples to train on, and of {of_test} of 6 for the "
        "test."
    ) in printed
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    if of_test:
        said = "example" if of_test == 1 else "examples"
        assert re.search(
            rf"accuracy of the category [\d.]+ of the {of_test} {said} with a", printed
        )
        assert summary["test_labels"] == of_test
    else:
        assert "accuracy" not in printed
        assert summary["test_accuracy"] is None


def test_other_data_of_another_format(inputs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gallery, "draw", lambda run: None)
    assert train(inputs["csv"], tmp_path / "run", *CASES["csv"].options) == 0
    np.savez(tmp_path / "own.npz", x=UNITS, y=np.array(ANIMALS))
    command = ["evaluate", str(tmp_path / "run"), "--other-data", "--data"]
    assert cli.main([*command, str(tmp_path / "own.npz")]) == 0


def test_encode_takes_what_a_file_holds_out_too(inputs, tmp_path, monkeypatch):
    """All examples, those held out after the others."""
    monkeypatch.setattr(gallery, "draw", lambda run: None)
    assert train(inputs["keras"], tmp_path / "run", *CASES["keras"].options) == 0
    with np.load(inputs["keras"]) as arrays:
        y = np.concatenate([arrays["y_train"], arrays["y_test"]]).ravel()
    out = tmp_path / "z.npz"
    assert cli.main(["encode", str(tmp_path / "run"), str(inputs["keras"]), "--out", str(out)]) == 0
    with np.load(out) as arrays:
        assert arrays["label"].tolist() == [str(label) for label in y]
        assert len(arrays["mean"]) == len(y) == len(set(arrays["id"].tolist()))


def test_fewer_categories_than_labels(inputs, tmp_path, capsys):
    options = [*CASES["csv"].options, "--latent-dim", "2"]
    assert train(inputs["csv"], tmp_path / "run", *options) == 1
    assert "latent_dim must be at least 3, the number of labels, got 2" in capsys.readouterr().err


def test_encode_finds_columns_by_name(animals, tmp_path, capsys):
    folder, table = animals
    outs = []
    for name, own in (
        ("same", table),
        ("reversed", table[[*reversed(table.columns)]].assign(more="text")),
        ("without labels", table.drop(columns="label")),
        ("polars", pl.from_pandas(table)),
    ):
        path = tmp_path / f"{name}.parquet"
        own.write_parquet(path) if name == "polars" else own.to_parquet(path)
        out = tmp_path / f"{name}.npy"
        assert cli.main(["encode", str(folder / "run"), str(path), "--out", str(out)]) == 0
        outs.append(np.load(out))
    for out in outs[1:]:
        np.testing.assert_array_equal(out, outs[0])
    capsys.readouterr()
    table.drop(columns=["age", "price"]).to_csv(tmp_path / "few.csv", index=False)
    assert cli.main(["encode", str(folder / "run"), str(tmp_path / "few.csv")]) == 1
    assert "the columns that the model knows, and lacks age, price" in one_line(capsys)
    np.save(tmp_path / "narrow.npy", UNITS[:, :4])
    assert cli.main(["encode", str(folder / "run"), str(tmp_path / "narrow.npy")]) == 1
    assert "must have the 6 that the model knows, in their order; got 4" in one_line(capsys)
    holes = table.copy()
    holes.loc[3, "age"] = np.nan
    holes.to_csv(tmp_path / "holes.csv", index=False)
    assert cli.main(["encode", str(folder / "run"), str(tmp_path / "holes.csv")]) == 1
    error = one_line(capsys)
    assert "holes.csv: column 'age' must be finite, got nan in row 4; a run that" in error
    assert "--missing mask takes NaN" in error


def test_encode_reads_another_format_than_the_runs_own(inputs, tmp_path, monkeypatch, capsys):
    """What said how the run's own data are read (--label, --layer, ...) is of no use for an array,
    and no reason to refuse it: what the run generates it can encode, where it is no word's share.
    """
    monkeypatch.setattr(gallery, "draw", lambda run: None)
    for name in ("csv", "h5ad", "csv of texts", "pictures"):
        run, x = tmp_path / f"run {name}", tmp_path / f"{name}.npy"
        assert train(inputs[name], run, *CASES[name].options) == 0
        assert cli.main(["generate", str(run), "--count", "5", "--out", str(x)]) == 0
        if name in ("h5ad", "csv of texts"):
            capsys.readouterr()
            assert cli.main(["encode", str(run), str(x)]) == 1
            assert "hold counts" in one_line(capsys)
            np.save(x, np.rint(100 * np.load(x)))
        for path in (x, x.with_suffix(".npz")):
            if path != x:
                np.savez(path, x=np.load(x), y=np.arange(5))
            out = tmp_path / f"{path.name} z.npy"
            assert cli.main(["encode", str(run), str(path), "--out", str(out)]) == 0
            assert len(np.load(out)) == 5


def test_what_encode_writes(animals, tmp_path, capsys):
    """The same numbers and names as a CSV, a Parquet file and an .npz."""
    folder, _ = animals
    for ending in ("csv", "parquet", "npz"):
        out = tmp_path / f"z.{ending}"
        command = ["encode", str(folder / "run"), str(folder / "own.csv"), "--out", str(out)]
        assert cli.main(command) == 0
    text = pd.read_csv(tmp_path / "z.csv", dtype={"id": str})
    parquet = pd.read_parquet(tmp_path / "z.parquet")
    assert text.columns.tolist() == parquet.columns.tolist()
    for name in ("id", "label", "category", "name"):
        assert text[name].tolist() == parquet[name].tolist()
    assert text.label.tolist() == ANIMALS
    with np.load(tmp_path / "z.npz") as arrays:
        mean = parquet[[f"mean_{k}" for k in range(3)]].to_numpy()
        np.testing.assert_array_equal(arrays["mean"], mean)
        np.testing.assert_allclose(text[[f"mean_{k}" for k in range(3)]], mean, rtol=1e-6)
        assert arrays["label"].tolist() == ANIMALS
    capsys.readouterr()
    command = ["encode", str(folder / "run"), str(folder / "own.csv"), "--out"]
    assert cli.main([*command, str(tmp_path / "z.h5ad")]) == 1
    assert "out must not end in .h5ad where the file is none" in one_line(capsys)


def test_results_go_back_into_an_anndata(inputs, tmp_path, monkeypatch):
    """z in obsm, the category in obs; all else stays as it was."""
    monkeypatch.setattr(gallery, "draw", lambda run: None)
    run, path = tmp_path / "run", inputs["h5ad"]
    assert train(path, run, *CASES["h5ad"].options) == 0
    out = tmp_path / "z.h5ad"
    assert cli.main(["encode", str(run), str(path), "--out", str(out)]) == 0
    before, after = anndata.read_h5ad(path), anndata.read_h5ad(out)
    z = after.obsm["X_jaxvae"]
    np.testing.assert_allclose(z, jaxvae.load(run).encode(COUNTS), rtol=1e-4, atol=1e-6)
    names = np.array(["cat", "dog", "owl"])[z.argmax(axis=1)]
    assert after.obs["jaxvae_category"].tolist() == names.tolist()
    assert after.obs_names.tolist() == IDS
    np.testing.assert_array_equal(after.X, before.X)
    assert after.obs["cell"].tolist() == ANIMALS
