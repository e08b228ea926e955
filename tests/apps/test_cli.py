"""The command line, run as a user runs it."""

import contextlib
import dataclasses
import gzip
import json
import os
import pty
import subprocess
import sys
import termios
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from safetensors.numpy import load_file

import jaxvae
from conftest import results_of
from jaxvae import _failures
from jaxvae.apps import (
    chosen,
    cli,
    description,
    encodings,
    experiments,
    model_parts,
    options,
    outputs,
    results,
    runs,
)
from jaxvae.apps.runs import Run
from jaxvae.training import run_folder

FIRST_RUNS = Path(__file__).parents[1] / "data" / "runs_0.1"
SMALL = ["--layers", "1", "--hidden-units", "16", "--batch-size", "256"]


def train(out, *options):
    return cli.main(["train", "--out", str(out), "--epochs", "2", *SMALL, *options])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "dirichlet"
    assert train(folder, "--model", "dirichlet") == 0
    return folder


def test_train_writes_its_files(run):
    files = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    files = {name for name in files if not name.startswith("checkpoints/")}
    pictures = ("latent", "reconstructions", "generated", "corners", "blend", "ternary", "loss")
    assert files == {
        "config.json",
        "metrics.jsonl",
        "summary.json",
        "params.safetensors",
        "manifest.json",
        *(f"figures/{name}.png" for name in pictures),
        "figures/walk.gif",
    }
    config = json.loads((run / "config.json").read_text())
    assert set(config) == {"model", "data", "training", "origin"}
    assert (config["origin"]["name"], config["origin"]["train_examples"]) == ("digits", 1437)
    model = config["model"]
    assert (model["latent_dim"], model["data_shape"]) == (10, [64])
    assert [model[part]["kind"] for part in ("latent", "prior")] == ["dirichlet", "from_labels"]
    assert (config["training"]["seed"], config["data"]["dataset"]) == (0, "digits")
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    names = {"epoch", "loss", "reconstruction", "kl", "seconds", "images_per_second"}
    names |= {"skipped", "validation_loss"}
    assert [line["epoch"] for line in lines] == [0, 1]
    assert all(set(line) == names for line in lines)
    summary = json.loads((run / "summary.json").read_text())
    assert {
        "model", "dataset", "objective", "epochs", "final_loss", "test_loss", "test_accuracy",
        "seconds_per_epoch", "images_per_second", "compile_seconds", "version", "jax", "python",
    } <= set(summary)  # fmt: skip
    assert summary["final_loss"] == lines[-1]["loss"]
    assert summary["epochs"] == 2
    assert all(not isinstance(summary[name], dict | list) for name in {*summary} - {"notes"})
    assert all(isinstance(note, str) for note in summary["notes"])


def test_the_scale_of_a_normal_is_learned(run):
    """By name; the file of a run says so."""
    model = json.loads((run / "config.json").read_text())["model"]
    assert model["likelihood"]["learned"]
    start = np.log(np.exp(-1) - 1e-3)
    params = load_file(run / "params.safetensors")
    assert params["likelihood/log_scale"] != pytest.approx(start, abs=1e-3)
    assert params["likelihood/log_scale"] == pytest.approx(start, abs=0.1)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_the_errors_of_a_summary(run, digits, factor):
    """Of a decoder that gives zeros, in the model's units, whatever the user's are."""
    opened = runs.open_run(run)
    transform = model_parts.DividedBy(number=factor)
    model = dataclasses.replace(opened.config.model, transform=transform)
    zeros = jax.tree.map(np.zeros_like, opened.params)
    zero = Run(opened.folder, opened.config, description.build(model), zeros, opened.data)
    found = results.test_metrics(zero)
    x, mean = digits.x_test / factor, digits.x_train.mean(axis=0) / factor
    assert found["test_rmse"] == pytest.approx(np.sqrt(np.mean(x**2)), rel=1e-5)
    assert found["baseline_rmse"] == pytest.approx(np.sqrt(np.mean((x - mean) ** 2)), rel=1e-5)
    share = 1 - np.mean(x**2) / np.mean((x - mean) ** 2)
    assert found["test_explained"] == pytest.approx(share, rel=1e-5)
    terms = found["test_reconstruction"] + found["test_kl"]
    assert found["test_nelbo"] == pytest.approx(terms, rel=1e-6)


def test_a_line_holds_what_a_record_has_more():
    record = jaxvae.EpochRecord(0, 4.0, 3.0, 1.0, 0.5, 9.0, np.zeros(2), more={"kl_style": 0.25})
    line = results.line(record)
    assert line.endswith("}\n")
    fields = json.loads(line)
    assert (fields["kl_style"], fields["loss"]) == (0.25, 4.0)
    assert not {"more", "batch_losses"} & set(fields)


def test_evaluate_repeats_the_summary(run, capsys):
    assert cli.main(["evaluate", str(run)]) == 0
    printed = capsys.readouterr().out
    shown, summary = results_of(printed), json.loads((run / "summary.json").read_text())
    names = {
        "loss (negative ELBO)": "test_loss",
        "reconstruction term": "test_reconstruction",
        "KL divergence": "test_kl",
        "reconstruction error (RMSE)": "test_rmse",
        "share of the variance explained": "test_explained",
        "accuracy of the category": "test_accuracy",
        "categories in use": "z_in_use",
    }
    assert shown.keys() == names.keys()
    for label, name in names.items():
        assert shown[label] == pytest.approx(summary[name], abs=1e-4)
    assert f"the mean example's: {summary['baseline_rmse']:.4f}" in printed
    assert f"{summary['z_in_use']} of 10" in printed


def test_figures_draws_again(run):
    for path in (run / "figures").iterdir():
        path.unlink()
    assert cli.main(["figures", str(run)]) == 0
    assert len(list((run / "figures").glob("*.png"))) == 7
    with Image.open(run / "figures" / "walk.gif") as walk:
        assert walk.n_frames == 60
    assert (run / "figures" / "walk.gif").stat().st_size < 500_000


@pytest.fixture(scope="module")
def normal_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "normal"
    assert train(folder, "--model", "normal") == 0
    return folder


def test_generate(run, tmp_path):
    """The same seed gives the same examples, in each kind of file; a category has its own."""
    command = ["generate", str(run), "--count", "12", "--out"]
    for name in ("a.npy", "a.npz", "a.png"):
        assert cli.main([*command, str(tmp_path / name)]) == 0
    images = np.load(tmp_path / "a.npy")
    assert images.shape == (12, 8, 8)
    with np.load(tmp_path / "a.npz") as arrays:
        np.testing.assert_array_equal(arrays["x"], images)
        opened = runs.open_run(run)
        key = jax.random.key(0)
        np.testing.assert_array_equal(
            arrays["z"], opened.vae.sample_prior(opened.params, key, (12, 10))
        )
        decoded = opened.vae.decode(opened.params, arrays["z"])
        np.testing.assert_allclose(images.reshape(12, 64), decoded, rtol=1e-5, atol=1e-6)
    with Image.open(tmp_path / "a.png") as picture:
        assert min(picture.size) > 50
    many = ["generate", str(run), "--count", "500", "--category", "3", "--out"]
    assert cli.main([*many, str(tmp_path / "three.npz"), "--seed", "1"]) == 0
    with np.load(tmp_path / "three.npz") as arrays:
        mean = arrays["z"].mean(axis=0)  # of the prior: 1.5 and nine times 0.5, by 6
    assert mean[3] == pytest.approx(1.5 / 6, abs=0.033)  # 5 standard errors
    np.testing.assert_allclose(np.delete(mean, 3), 0.5 / 6, atol=0.021)


@pytest.fixture(scope="module")
def table_run(tmp_path_factory):
    """Of a table with labels; the noise of its likelihood is 0.25 in units of its deviations."""
    folder = tmp_path_factory.mktemp("runs")
    rng, kinds = np.random.default_rng(0), np.repeat(["cat", "dog"], 60)
    size = np.where(kinds == "cat", 100, 300) + rng.normal(0, 20, 120)
    pd.DataFrame({"size": size, "category": size / 7, "kind": kinds}).to_csv(
        folder / "pets.csv", index=False
    )
    options = ["--data", str(folder / "pets.csv"), "--label", "kind"]
    assert train(folder / "run", *options, "--likelihood-scale", "0.25") == 0
    return folder / "run"


def test_rows_of_a_table_are_generated_with_noise(table_run, tmp_path, capsys):
    """Of the scale that the likelihood has, around the means, whose z are the same."""
    capsys.readouterr()
    command = ["generate", str(table_run), "--count", "4000", "--out"]
    made = {}
    for name, own in {
        "rows.csv": [],
        "again.parquet": ["--noise", "yes"],
        "means.csv": ["--noise", "no"],
        "dogs.csv": ["--noise", "no", "--category", "dog"],
    }.items():
        assert cli.main([*command, str(tmp_path / name), *own]) == 0
        path = tmp_path / name
        made[name] = (pd.read_parquet if name.endswith("t") else pd.read_csv)(path)
    printed = capsys.readouterr().out
    assert printed.count("Each value is drawn from the likelihood; --noise no") == 2
    assert printed.count("Each value is the mean given its z, without noise.") == 2
    rows, means = made["rows.csv"], made["means.csv"]
    np.testing.assert_allclose(made["again.parquet"]["size"], rows["size"], rtol=1e-6)
    scale = runs.open_run(table_run).data.look.scale.width
    for column, unit in zip(("size", "category"), scale, strict=True):
        noise = (rows[column] - means[column]) / unit
        assert noise.std() == pytest.approx(0.25, rel=0.08)  # 7 standard errors
        assert abs(noise.mean()) < 7 * 0.25 / 4000**0.5
    # As what the rows are drawn from: another column is called category already.
    assert set(rows["jaxvae_category"]) == {"cat", "dog"}
    assert (rows["jaxvae_category"] == means["jaxvae_category"]).all()
    assert list(made["dogs.csv"].columns) == ["size", "category"]
    opened, key = runs.open_run(table_run), jax.random.key(0)
    largest = opened.draw(key, 4000)["category"].argmax(axis=1)
    assert rows["jaxvae_category"].tolist() == np.array(["cat", "dog"])[largest].tolist()


def test_what_is_no_table_is_generated_as_means(run, table_run, tmp_path):
    """Unless noise is asked for; an .npy of a table too, as before there was the option."""
    for folder, name in ((run, "x.csv"), (table_run, "rows.npy"), (run, "x.npy")):
        command = ["generate", str(folder), "--count", "5", "--out"]
        assert cli.main([*command, str(tmp_path / f"1-{name}")]) == 0
        assert cli.main([*command, str(tmp_path / f"2-{name}"), "--noise", "no"]) == 0
        assert cli.main([*command, str(tmp_path / f"3-{name}"), "--noise", "yes"]) == 0
        one, two, three = ((tmp_path / f"{k}-{name}").read_bytes() for k in (1, 2, 3))
        assert one == two != three
    assert "category" in (tmp_path / "1-x.csv").read_text().partition("\n")[0]


def test_interpolate_between_categories(run, tmp_path):
    command = ["interpolate", str(run), "--categories", "2", "7", "--out"]
    for name in ("a.npz", "a.png", "a.gif", "a.npy"):
        assert cli.main([*command, str(tmp_path / name)]) == 0
    with np.load(tmp_path / "a.npz") as arrays:
        share = np.linspace(0, 1, 9)[:, None]
        expected = (1 - share) * np.eye(10)[2] + share * np.eye(10)[7]
        np.testing.assert_allclose(arrays["z"], expected)
        np.testing.assert_array_equal(arrays["x"], np.load(tmp_path / "a.npy"))
        assert arrays["x"].shape == (9, 8, 8)
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.n_frames == 36 + 34
    assert (tmp_path / "a.gif").stat().st_size < 500_000


def test_interpolate_between_examples(normal_run, tmp_path, digits):
    out = tmp_path / "a.npz"
    command = ["interpolate", str(normal_run), "--examples", "4", "0", "--steps", "3"]
    assert cli.main([*command, "--out", str(out)]) == 0
    opened = runs.open_run(normal_run)
    ends = jaxvae.encode_mean(opened.vae, opened.params, digits.x_test[[4, 0]])
    with np.load(out) as arrays:
        np.testing.assert_allclose(arrays["z"][[0, 2]], ends, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(arrays["z"][1], ends.mean(axis=0), rtol=1e-5, atol=1e-6)
    assert cli.main([*command, "--out", str(tmp_path / "a.gif")]) == 0


@pytest.mark.parametrize("kind", ["run", "normal_run"])
def test_encode(kind, request, tmp_path, digits, monkeypatch):
    """In batches, the last of them padded: as the model's own `encode` gives it at once."""
    folder = request.getfixturevalue(kind)
    monkeypatch.setattr(encodings, "BATCH_SIZE", 100)
    images = digits.x_test.reshape(-1, 8, 8)[:250]
    np.save(tmp_path / "x.npy", images)
    np.savez(tmp_path / "x.npz", x=images.reshape(250, 64), y=digits.y_test[:250])
    opened = runs.open_run(folder)
    posterior = opened.vae.encode(opened.params, digits.x_test[:250])
    if kind == "run":
        mean = jaxvae.encode_mean(opened.vae, opened.params, digits.x_test[:250])
        expected = {"mean": mean, "concentration": posterior}
    else:
        expected = dict(zip(("loc", "scale"), posterior, strict=True))
    for file, out in (("x.npy", "z.npz"), ("x.npz", "z.npy"), ("x.npy", "z.csv")):
        paths = [str(folder), str(tmp_path / file), "--out", str(tmp_path / out)]
        assert cli.main(["encode", *paths]) == 0
    close = {"rtol": 1e-5, "atol": 1e-6}
    first = next(iter(expected.values()))
    np.testing.assert_allclose(np.load(tmp_path / "z.npy"), first, **close)
    beside = {"id", "category", "name"} if kind == "run" else {"id"}
    with np.load(tmp_path / "z.npz") as arrays:
        assert set(arrays) == set(expected) | beside
        for name in expected:
            np.testing.assert_allclose(arrays[name], expected[name], **close)
        if kind == "run":
            assert arrays["category"].tolist() == first.argmax(axis=1).tolist()
            assert arrays["name"].tolist() == [str(k) for k in first.argmax(axis=1)]
    header, *lines = (tmp_path / "z.csv").read_text().splitlines()
    assert header.split(",")[len(beside)] == f"{next(iter(expected))}_0"
    table = np.array([line.split(",")[len(beside) :] for line in lines], float)
    np.testing.assert_allclose(table, np.concatenate(list(expected.values()), axis=1), **close)


def test_encode_reads_idx_images(tmp_path, run):
    """Bytes divided by 256, as MNIST's are."""
    images = np.arange(3 * 64, dtype=np.uint8).reshape(3, 8, 8)
    header = b"\0\0\x08\3" + np.array(images.shape, ">u4").tobytes()
    (tmp_path / "images.gz").write_bytes(gzip.compress(header + images.tobytes()))
    (tmp_path / "images-ubyte").write_bytes(header + images.tobytes())
    np.save(tmp_path / "images.npy", images / 256)
    for name in ("images.gz", "images.npy", "images-ubyte"):
        out = str(tmp_path / f"{name}.npy")
        assert cli.main(["encode", str(run), str(tmp_path / name), "--out", out]) == 0
    latents = np.load(tmp_path / "images.npy.npy")
    for name in ("images.gz.npy", "images-ubyte.npy"):
        np.testing.assert_array_equal(np.load(tmp_path / name), latents)


def test_pictures_for_a_run_on_a_table_are_refused_in_words(tmp_path, capsys):
    (tmp_path / "a.csv").write_text("a,b\n" + "1,2\n3,5\n" * 10)
    assert train(tmp_path / "run", "--data", str(tmp_path / "a.csv")) == 0
    (tmp_path / "pictures").mkdir()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "pictures" / "a.png")
    capsys.readouterr()
    assert cli.main(["encode", str(tmp_path / "run"), str(tmp_path / "pictures")]) == 1
    error = capsys.readouterr().err
    assert "pictures: it must be a table with the columns that the model knows, a, b" in error


def test_pictures_of_several_sizes_are_not_resized_by_encode(tmp_path, run, capsys):
    """It has no option for it, so that none is advised."""
    (tmp_path / "mixed").mkdir()
    for k in (8, 9):
        Image.fromarray(np.zeros((k, 8), np.uint8)).save(tmp_path / "mixed" / f"{k}.png")
    assert cli.main(["encode", str(run), str(tmp_path / "mixed")]) == 1
    error = capsys.readouterr().err
    assert "pictures must have one size" in error
    assert "--image-size" not in error
    assert "give all of them the size of those that the run was trained on" in error


def test_what_was_generated_can_be_encoded(run, tmp_path):
    images, latents = str(tmp_path / "x.npy"), str(tmp_path / "z.npy")
    assert cli.main(["generate", str(run), "--count", "5", "--out", images]) == 0
    assert cli.main(["encode", str(run), images, "--out", latents]) == 0
    assert np.load(latents).shape == (5, 10)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "generate RUN --category 10",
            "6, 7 and 2 more, got 10",
        ),
        ("generate RUN --category -1", "category must be one of 0, 1, 2"),
        (
            "generate NORMAL --category 1",
            "category must be left out except for a run whose prior is made from labels, got 1",
        ),
        ("generate RUN --out a.jpg", ".png, .npy, .npz, .csv, .parquet, got a.jpg"),
        ("generate RUN --out nowhere/a.png", "out must be in a folder that exists, got nowhere"),
        ("interpolate RUN", "one of categories and examples must be given, got neither"),
        ("interpolate RUN --categories 0 1 --examples 0 1", "must be given, got both"),
        ("interpolate RUN --categories 0 10", "categories must be one of 0, 1, 2"),
        ("interpolate NORMAL --categories 0 1", "categories must be left out for a Normal run"),
        ("interpolate RUN --examples 0 360", "examples must be from 0 to 359, got 360"),
        ("interpolate RUN --examples -1 3", "examples must be from 0 to 359, got -1"),
        ("interpolate RUN --categories 0 1 --steps 1", "steps must be at least 2, got 1"),
        ("encode RUN missing.npy", "path must name an existing file or folder, got missing.npy"),
        ("encode RUN x.xlsx", "path must name an existing file or folder, got x.xlsx"),
        ("encode RUN y.npz", "y.npz: x must have the shape [N, D] (rank 2), got (3,)"),
        ("encode RUN narrow.npy", "file must hold examples of 64 values as the run's data, got 5"),
        ("encode RUN nan.npy", "nan.npy: x must be finite, got nan at index (1, 0)"),
        (
            "encode RUN nan.npy --out z.txt",
            ".npz, .csv, .npy, .parquet, .h5ad, got z.txt",
        ),
    ],
)
def test_bad_use_of_a_run(run, normal_run, tmp_path, monkeypatch, capsys, line, message):
    monkeypatch.chdir(tmp_path)
    np.savez("y.npz", y=np.zeros(3))
    np.save("narrow.npy", np.zeros((3, 5)))
    np.save("nan.npy", np.where(np.arange(128).reshape(2, 64) == 64, np.nan, 0))
    before = sorted(tmp_path.iterdir())
    words = [{"RUN": str(run), "NORMAL": str(normal_run)}.get(word, word) for word in line.split()]
    assert cli.main(words) == 1
    error = capsys.readouterr().err
    assert error.startswith("jaxvae: error: ")
    assert message in error
    assert error.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_that_is_there_is_replaced_by_force_alone(run, tmp_path, capsys, monkeypatch):
    out = tmp_path / "mine.npy"
    out.write_bytes(b"mine")
    command = ["generate", str(run), "--count", "2", "--out", str(out)]
    assert cli.main(command) == 1
    assert "out must be a new file, or be replaced with --force" in capsys.readouterr().err
    with monkeypatch.context() as context:
        context.setattr(np, "save", fails_half_way)
        assert cli.main([*command, "--force"]) == 1
    assert "disk full" in capsys.readouterr().err
    assert out.read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npy"]
    assert cli.main([*command, "--force"]) == 0
    assert np.load(out).shape == (2, 8, 8)


def fails_half_way(path, array):
    path.write_bytes(b"half")
    raise OSError("disk full")


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ["--model", "normal"],
        ["--model", "normal", "--latent-dim", "3", "--likelihood", "bernoulli"],
        ["--model", "normal", "--objective", "original", "--prior-variance", "3"],
        ["--objective", "original", "--head", "relu"],
        ["--prior", "symmetric", "--latent-dim", "6", "--kl-weight", "0.5"],
        ["--prior", "learned"],
        ["--likelihood", "bernoulli", "--activation", "tanh"],
    ],
    ids=" ".join,
)
def test_each_kind_of_model(tmp_path, options):
    assert train(tmp_path / "run", *options) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert np.isfinite(summary["test_loss"])
    labelled = not {"normal", "symmetric", "learned"} & set(options[:2])
    assert (summary["test_accuracy"] is not None) == labelled


@pytest.fixture(scope="module")
def images_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "images"
    options = ["--network", "convolutional", "--channels", "2", "4", "--hidden-units", "8"]
    options += ["--model", "dirichlet"]
    command = ["train", "--out", str(folder), "--epochs", "1", "--batch-size", "512", *options]
    assert cli.main([*command, "--likelihood", "bernoulli"]) == 0
    return folder


def test_a_convolutional_network(images_run, tmp_path, digits, capsys):
    """It sees images; files hold examples as those of a dense one."""
    opened = runs.open_run(images_run)
    assert opened.config.model.data_shape == (8, 8)
    assert opened.data.x_train.shape == (1437, 8, 8)
    assert opened.params["encoder"]["trunk"]["conv_0"]["kernel"].shape == (3, 3, 1, 2)
    assert cli.main(["evaluate", str(images_run)]) == 0
    shown = results_of(capsys.readouterr().out)
    summary = json.loads((images_run / "summary.json").read_text())
    assert shown["loss (negative ELBO)"] == pytest.approx(summary["test_loss"], abs=1e-4)
    assert (summary["network"], summary["likelihood"]) == ("convolutional", "bernoulli")
    np.save(tmp_path / "x.npy", digits.x_test[:5])
    out = str(tmp_path / "z.npz")
    assert cli.main(["encode", str(images_run), str(tmp_path / "x.npy"), "--out", out]) == 0
    posterior = opened.vae.encode(opened.params, digits.x_test[:5].reshape(5, 8, 8))
    with np.load(out) as arrays:
        np.testing.assert_allclose(
            arrays["concentration"], posterior.concentration, rtol=1e-4, atol=1e-6
        )
    out = str(tmp_path / "x.npz")
    command = ["generate", str(images_run), "--count", "3", "--category", "2", "--out", out]
    assert cli.main(command) == 0
    with np.load(out) as arrays:
        assert arrays["x"].shape == (3, 8, 8)


def test_a_convolutional_network_needs_images(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((20, 5)))
    command = ["train", "--data", str(tmp_path / "x.npy"), "--network", "convolutional"]
    assert cli.main([*command, "--out", str(tmp_path / "run")]) == 1
    assert "network must be dense for examples that are no images" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_logistic_normal(tmp_path):
    """A latent of another family on the simplex: its corners, its pictures, its fields."""
    folder = tmp_path / "run"
    assert train(folder, "--model", "logistic_normal", "--prior-variance", "2") == 0
    assert (folder / "figures" / "corners.png").exists()
    assert json.loads((folder / "summary.json").read_text())["test_accuracy"] is None
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((3, 64)))
    for command, rest in (
        ("encode", [str(tmp_path / "x.npy")]),
        ("interpolate", ["--categories", "0", "9", "--steps", "3"]),
    ):
        out = ["--out", str(tmp_path / f"{command}.npz")]
        assert cli.main([command, str(folder), *rest, *out]) == 0
    with np.load(tmp_path / "encode.npz") as arrays:
        assert list(arrays) == ["mean", "loc", "scale", "id", "category"]
        np.testing.assert_allclose(arrays["mean"], jax.nn.softmax(arrays["loc"]), rtol=1e-5)
    with np.load(tmp_path / "interpolate.npz") as arrays:
        np.testing.assert_allclose(arrays["z"][1, [0, 9]], 0.5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "likelihood", ["poisson", "negative_binomial", "multinomial", "dirichlet_multinomial"]
)
def test_counts(tmp_path, likelihood):
    counts = np.random.default_rng(0).poisson(3.0, (200, 12))
    np.save(tmp_path / "counts.npy", counts)
    options = ["--data", str(tmp_path / "counts.npy"), "--likelihood", likelihood]
    assert train(tmp_path / "run", "--model", "normal", *options) == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["likelihood"] == likelihood
    assert np.isfinite(summary["test_nelbo"])
    assert 1 < summary["baseline_rmse"] < 2.5  # sqrt(3)
    # Of a model that is hardly trained; a multinomial's mean has the example's total.
    assert summary["test_rmse"] < 4
    assert train(tmp_path / "not", "--likelihood", likelihood) == 1  # the digits are no counts


@pytest.mark.slow
@pytest.mark.parametrize("labels", [True, False])
def test_a_users_file(tmp_path, labels):
    x, y = np.random.default_rng(0).random((120, 5, 6)), np.arange(120) % 4
    np.savez(tmp_path / "mine.npz", **({"x": x, "y": y} if labels else {"x": x}))
    assert train(tmp_path / "run", "--data", str(tmp_path / "mine.npz")) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    # With labels joint: four categories and a style of three, an eighth of the thirty values.
    assert (config["model"]["prior"]["kind"], config["model"]["latent_dim"]) == (
        ("from_labels", 4 + 3) if labels else ("standard_normal", 2)
    )
    assert cli.main(["evaluate", str(tmp_path / "run")]) == 0


@pytest.mark.slow
def test_same_seed_same_parameters(tmp_path, run):
    assert train(tmp_path / "again", "--model", "dirichlet") == 0
    first, again = (path / "params.safetensors" for path in (run, tmp_path / "again"))
    assert first.read_bytes() == again.read_bytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "0"], "epochs must be at least 1, got 0"),
        (["--batch-size", "-1"], "batch_size must be at least 1, got -1"),
        (["--layers", "0"], "layers must be at least 1, got 0"),
        (["--latent-dim", "1", "--prior", "symmetric"], "latent_dim must be at least 2, got 1"),
        (["--latent-dim", "0"], "latent_dim must be at least 10, the number of labels, got 0"),
        (["--latent-dim", "5"], "latent_dim must be at least 10, the number of labels, got 5"),
        (["--learning-rate", "nan"], "learning_rate must be finite and above 0, got nan"),
        (["--model", "normal", "--head", "relu"], "head must be left out except with --model d"),
        (["--prior-variance", "2"], "prior_variance must be left out except with --model normal"),
        (["--data-dir", "mnist"], "data_dir must be left out except with --dataset mnist"),
        (["--seed", "-1"], "seed must be at least 0, got -1"),
        (["--seeds", "0"], "seeds must be at least 1, got 0"),
        (["--devices", "99"], "devices must be at most 8 here, got 99"),
        (["--distributed", "auto", "--seeds", "2"], "seeds must be 1 with distributed, got 2"),
        (["--distributed", "here"], "distributed must be auto or ADDRESS:PORT,COUNT,INDEX, got h"),
        (["--distributed", "a:1,2,2"], "distributed must have an INDEX from 0 to COUNT - 1"),
        (["--kl-weight", "-0.5"], "kl_weight must be finite and at least 0, got -0.5"),
        (["--data", "missing.npz"], "existing file or folder, got missing.npz"),
        (["--dataset", "mnist", "--data-dir", "nowhere"], "nowhere lacks train-images"),
        (["--objective", "original", "--likelihood", "bernoulli"], "likelihood must be"),
        (
            ["--prior", "symmetric", "--smoothness", "0.7"],
            "smoothness must be left out except with --model joint or dirichlet and --prior labels",
        ),
        (
            ["--prior", "symmetric", "--total-concentration", "6"],
            "total_concentration must be left out except with --model joint or dirichlet and --pri",
        ),
        (  # the digits have labels, so that is their prior
            ["--prior-concentration", "2"],
            "prior_concentration must be left out except with --model joint or dirichlet and --pri",
        ),
        (
            ["--model", "normal", "--prior-concentration", "2"],
            "prior_concentration must be left out except with --model joint or dirichlet",
        ),
        (["--dataset", "mnist", "--data", "a.npz"], "dataset must be left out with --data, got m"),
        (
            ["--patience", "3", "--hold-out", "0"],
            "hold_out must be above 0 where patience is given, got 0.0",
        ),
        (
            ["--hidden-units", str(10**21)],
            f"hidden_units must be from 1 to 2147483647, got {10**21}",
        ),
        (
            ["--latent-dim", str(10**12)],
            "latent_dim must be from 2 to 2147483647, got 1000000000000",
        ),
    ],
)
def test_errors_are_one_line_and_leave_nothing(tmp_path, capsys, options, message):
    out = tmp_path / "new" / "run"
    assert cli.main(["train", "--out", str(out), *options]) == 1
    error = capsys.readouterr().err
    assert error.startswith("jaxvae: error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [["--network", "topics"], ["--likelihood", "poisson"]])
def test_what_is_no_count_is_refused_before_training_is_spoken_of(tmp_path, capsys, options):
    assert train(tmp_path / "run", *options) == 1
    out, error = capsys.readouterr()
    assert not out
    assert "x must hold counts, integers of at least 0, for a" in error
    assert " likelihood, got 0." in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("large", "said"),
    [
        (["when"], "column 'when' must hold numbers of at most 1e+18 in size, got 1.7e+18; leave"),
        (["when", "b c"], "columns when, b c must hold numbers of at most 1e+18 in size, got"),
        ([], "x must hold numbers of at most 1e+18 in size, got 1.7e+18; divide them by"),
    ],
)
def test_numbers_beyond_what_is_scaled_are_refused_before_training(tmp_path, capsys, large, said):
    table = {"a": np.arange(30.0), "when": np.arange(30.0), "b c": np.arange(30.0)}
    for name in large or ["when"]:
        table[name] = 1.7e18 + np.arange(30) * 1e12
    data = tmp_path / ("mine.csv" if large else "mine.npy")
    if large:
        pd.DataFrame(table).to_csv(data, index=False)
    else:
        np.save(data, np.column_stack(list(table.values())))
    assert train(tmp_path / "run", "--data", str(data)) == 1
    out, error = capsys.readouterr()
    assert not out
    assert error.startswith(f"jaxvae: error: {data}: {said}")
    assert ("--leave-out when 'b c'," in error) == (len(large) == 2)
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == [data]


def test_one_example_is_one(tmp_path, capsys):
    np.save(tmp_path / "two.npy", np.eye(2, 3))
    assert train(tmp_path / "run", "--data", str(tmp_path / "two.npy")) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Training a normal VAE on 1 example; 1 is for the test." in printed
    np.save(tmp_path / "one.npy", np.eye(1, 3))
    out = tmp_path / "z.csv"
    command = ["encode", str(tmp_path / "run"), str(tmp_path / "one.npy"), "--out", str(out)]
    assert cli.main(command) == 0
    assert "The latent of 1 example is in" in capsys.readouterr().out


@pytest.mark.parametrize("average", ["1.5", "1", "-0.1"])
def test_an_average_that_is_none_is_called_by_its_option(tmp_path, capsys, average):
    assert train(tmp_path / "run", "--average", average) == 1
    error = capsys.readouterr().err
    assert f"average must be from 0 to below 1, got {float(average)}" in error


def test_a_label_option_without_labels(tmp_path, capsys):
    """The prior is then the symmetric one, which no one named."""
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((20, 4)))
    options = ["--data", str(tmp_path / "x.npy"), "--smoothness", "0.7"]
    assert train(tmp_path / "run", *options) == 1
    assert "smoothness must be left out except with" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


class BugError(Exception):
    pass


OUT_OF_MEMORY = "RESOURCE_EXHAUSTED: Out of memory allocating 4000000000000 bytes."


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (MemoryError(), 1, "jaxvae: error: out of memory: MemoryError\n"),
        (jax.errors.JaxRuntimeError(OUT_OF_MEMORY), 1, f"jaxvae: error: {OUT_OF_MEMORY}\n"),
        (OSError("disk\nfull"), 1, "jaxvae: error: disk full\n"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (BugError("a bug"), None, ""),
        (RuntimeError("a bug"), None, ""),
        (jax.errors.JaxRuntimeError("INTERNAL: a bug"), None, ""),
    ],
    ids=repr,
)
@pytest.mark.parametrize("seeds", [1, 2])
@pytest.mark.parametrize("made", [[], ["new"], ["new", "new/run"]])
def test_a_start_that_fails(tmp_path, capsys, monkeypatch, error, status, line, seeds, made):
    """One line, but for a bug; and what was there before the start is there after it, no more."""

    def fail(*_, **__):
        raise error

    for name in made:
        (tmp_path / name).mkdir()
    monkeypatch.setattr(experiments, "fit", fail)
    monkeypatch.setattr(experiments, "fit_many", fail)
    if status is None:
        with pytest.raises(type(error), match="a bug"):
            train(tmp_path / "new" / "run", "--seeds", str(seeds))
    else:
        assert train(tmp_path / "new" / "run", "--seeds", str(seeds)) == status
    assert capsys.readouterr().err == line
    assert sorted(tmp_path.rglob("*")) == sorted(tmp_path / name for name in made)


def test_a_run_whose_first_epoch_is_done_is_kept(tmp_path, monkeypatch):
    """Its lines are on the disk, though no checkpoint came after them."""
    record = jaxvae.EpochRecord(0, 4.0, 3.0, 1.0, 0.5, 2874.0, np.zeros(2, np.float32))
    synced, fsync = [], os.fsync

    def spy(handle):
        synced.append((os.fstat(handle).st_ino, os.fstat(handle).st_size))
        fsync(handle)

    def fail_later(*_, on_epoch, **__):
        on_epoch(record, None)
        raise MemoryError

    monkeypatch.setattr(os, "fsync", spy)
    monkeypatch.setattr(experiments, "fit", fail_later)
    assert train(tmp_path / "run", "--model", "normal") == 1
    metrics = tmp_path / "run" / "metrics.jsonl"
    assert metrics.read_text().count("\n") == 1
    assert (metrics.stat().st_ino, metrics.stat().st_size) in synced
    assert not list((tmp_path / "run").glob(".*"))


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["bogus", "cuda"])
def test_a_device_that_is_not_there(tmp_path, platform):
    done = subprocess.run(
        [sys.executable, "-m", "jaxvae", "train", "--out", str(tmp_path / "new" / "run"), *SMALL],
        env=os.environ | {"JAX_PLATFORMS": platform},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"jaxvae: error: JAX has no device here with JAX_PLATFORMS='{platform}"
    )
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


BROKEN = "raise RuntimeError('jaxlib is too old;\\n this jax needs another')"
CTRL_C = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(20)
except BaseException:  # as some packages do
    pass
"""


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        (BROKEN, 1, "jax cannot be imported: jaxlib is too old; this jax needs another\n"),
        (
            "import nothing_like_it",
            1,
            "jax cannot be imported: No module named 'nothing_like_it'\n",
        ),
        ("import os; os.no", 1, "jax cannot be imported: module 'os' has no attribute 'no'\n"),
        (CTRL_C, 130, "interrupted\n"),
    ],
    ids=["runtime", "import", "attribute", "interrupt"],
)
def test_while_jax_is_imported(tmp_path, code, status, error):
    (tmp_path / "jax").mkdir()
    (tmp_path / "jax" / "__init__.py").write_text(code)
    root = str(Path(jaxvae.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "jaxvae", "evaluate", "RUN"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    start = "" if status == 130 else "jaxvae: error: "
    assert (done.returncode, done.stderr) == (status, start + error)
    library = subprocess.run(  # a program of one's own sees the exception
        [sys.executable, "-c", "import jaxvae"],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{root}"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert library.returncode == 1
    assert "Traceback" in library.stderr


def test_ctrl_c_is_not_lost_in_a_callback():
    def callback_and_more():
        _failures._raise_again(SimpleNamespace(exc_type=KeyboardInterrupt))
        time.sleep(20)

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        callback_and_more()
    assert time.monotonic() - started < 15


def test_links_in_a_ring(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("ring", "ring.npz"):
        (tmp_path / name).symlink_to(name)
    for line in ("evaluate ring", "train --data ring.npz", "train --out ring", "encode ring x.npy"):
        assert cli.main(line.split()) == 1, line
        error = capsys.readouterr().err
        assert error.startswith("jaxvae: error: ")
        assert error.count("\n") == 1
    assert len(list(tmp_path.iterdir())) == 2
    own = options.Options(data=tmp_path / "ring.npz")
    assert chosen.resolve(own, jaxvae.datasets.load_digits()).data is not None


def test_starts_in_the_same_second(tmp_path, monkeypatch, capsys):
    """Each gets a folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli.time, "strftime", lambda _: "NOW")
    monkeypatch.setattr(cli.experiments, "train_one", lambda *args: args[-1].joinpath("a").mkdir())
    for _ in range(3):
        cli.main(["train"])
    name = "joint-digits-NOW"
    folders = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert folders == [name, f"{name}-2", f"{name}-3"]
    assert f"The results go to runs/{name}-3" in capsys.readouterr().out


def test_many_starts_at_once(tmp_path):
    """One of them gets a folder that is named, and each another where a name is made for it."""
    barrier = threading.Barrier(8)

    def start(another):
        barrier.wait()
        try:
            with run_folder.new_run(tmp_path / "a" / "run", another=another) as folder:
                barrier.wait()
                (folder / "params.npz").touch()
                return folder.name
        except FileExistsError as error:
            barrier.wait()
            return str(error).partition(",")[0]

    with ThreadPoolExecutor(8) as pool:
        named = list(pool.map(start, [False] * 8))
        made = list(pool.map(start, [True] * 8))
    assert sorted(named) == ["out must be a new or empty folder"] * 7 + ["run"]
    assert len(set(made)) == 8
    assert "run" not in made


def test_a_file_that_another_process_wrote_meanwhile(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(path):
        out.write_bytes(b"theirs")
        path.write_bytes(b"ours")

    for out, default in ((Path("x.npy"), "y.npy"), (Path("y.npy"), "y.npy")):
        given = out if out.name != default else None
        if given is None:
            found = outputs.write_new(None, default, (".npy",), write, replace=False)
            assert found == Path("y-2.npy")
            assert found.read_bytes() == b"ours"
        else:
            with pytest.raises(FileExistsError, match="out must be a new file"):
                outputs.write_new(given, default, (".npy",), write, replace=False)
        assert out.read_bytes() == b"theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npy", "y-2.npy", "y.npy"]


def test_outputs_that_no_one_named(run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("generated.png", "generated-2.png"):
        assert cli.main(["generate", str(run), "--count", "2"]) == 0
        assert capsys.readouterr().out == f"2 new examples are in {name}\n"
    assert cli.main(["generate", str(run), "--count", "3", "--force"]) == 0
    assert capsys.readouterr().out == "3 new examples are in generated.png\n"
    assert len(list(tmp_path.iterdir())) == 2


WRONG_USAGE = [
    ("train --epochs ten", "--epochs must be a whole number, got ten"),
    ("train --epochs 1.5", "--epochs must be a whole number, got 1.5"),
    ("train --epochs=1.5", "--epochs must be a whole number, got 1.5"),
    ("train --epochs", "--epochs must be a whole number, got none"),
    ("train --epochs --quiet", "--epochs must be a whole number, got none"),
    ("train --learning-rate -x", "--learning-rate must be a number, got none"),
    ("train --learning-rate fast", "--learning-rate must be a number, got fast"),
    ("train --model gauss",
     "--model must be one of joint, dirichlet, normal, logistic_normal, got gauss"),
    ("train --model joint normal", "--model must be one value, got joint normal"),
    ("train --channels 8 many", "--channels must be a whole number, got many"),
    ("train --nonsense", "--nonsense must be an option of jaxvae train; jaxvae train --help lists"),
    ("train --epoch 3", "--epoch must be an option of jaxvae train; did you mean --epochs?"),
    ("train iris.csv",
     "iris.csv must be left out, or be an option's value: jaxvae train [options]"),
    ("train --latent-dim 2 x", "--latent-dim must be a whole number, got x"),
    ("evaluate", "RUN must be given: jaxvae evaluate RUN [options]"),
    ("evaluate a b", "b must be left out, or be an option's value: jaxvae evaluate RUN [options]"),
    ("encode a", "FILE must be given: jaxvae encode RUN FILE [options]"),
    ("interpolate a --categories setosa", "--categories must be two values, got setosa"),
    ("interpolate a --examples 1 b", "--examples must be a whole number, got b"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "message"), WRONG_USAGE)
def test_wrong_usage_is_status_two_in_words(tmp_path, capsys, monkeypatch, line, message):
    monkeypatch.chdir(tmp_path)
    assert cli.main(line.split()) == 2
    out, error = capsys.readouterr()
    assert error.startswith(f"jaxvae: error: {message}")
    assert error.count("\n") == 1
    assert not out
    assert not any(inside in error for inside in ("None", "class", "[bold]", "INT"))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("train", "--epochs None --learning-rate -1 --channels 8 16 --quiet --image-size=8"),
        ("train", "--latent_dim 3 --no-quiet --leave-out a b"),
        ("interpolate", "--categories a b run"),
        ("interpolate", "run --examples 0 -1"),
        ("compare", "--out a.png one two three"),
        ("compare", ""),
    ],
)
def test_right_usage_passes(name, line):
    assert cli._parsed(name, cli._command(name), line.split())


def test_quiet_prints_the_folder_alone(tmp_path, capsys):
    """Whatever is trained and drawn; a script reads the line."""
    assert train(tmp_path / "run", "--quiet", "--model", "normal") == 0
    assert capsys.readouterr() == (f"{tmp_path / 'run'}\n", "")
    command = ["generate", str(tmp_path / "run"), "--count", "2", "--quiet"]
    assert cli.main([*command, "--out", str(tmp_path / "x.npy")]) == 0
    assert capsys.readouterr() == (f"{tmp_path / 'x.npy'}\n", "")
    assert train(tmp_path / "run", "--quiet") == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "out must be a new or empty folder" in printed.err


def test_a_folder_with_content_is_refused(run, capsys):
    before = (run / "params.safetensors").read_bytes()
    assert train(run) == 1
    assert "out must be a new or empty folder" in capsys.readouterr().err
    assert (run / "params.safetensors").read_bytes() == before


FIRST = json.loads((FIRST_RUNS / "normal" / "config.json").read_text())


def changed(config, part, **values):
    return config | {part: config[part] | values}


def test_a_run_that_is_damaged(run, tmp_path, capsys):
    assert cli.main(["evaluate", str(tmp_path)]) == 1
    assert "config.json" in capsys.readouterr().err
    config = json.loads((run / "config.json").read_text())
    for text, message in (
        ("{", "must hold a JSON object"),
        ("[]", "must hold a JSON object"),
        (json.dumps(config | {"depth": 3}), "got or lacks depth"),
        (json.dumps(config | {"data": 3}), "must hold an object in data, got 3"),
        (json.dumps(changed(config, "training", seed="x")), "options that `jaxvae train` takes"),
        (json.dumps(changed(config, "training", depth=3)), "options that `jaxvae train` takes"),
        (json.dumps(changed(config, "model", depth=3)), "got depth"),
        (json.dumps(changed(config, "model", format=2)), "format must be 1, got 2"),
        (json.dumps(changed(config, "model", data_shape=[8])), "path must hold a checkpoint"),
        (json.dumps(FIRST | {"depth": 3}), "got depth"),
        (json.dumps(FIRST | {"model": "gauss"}), "options that `jaxvae train` takes"),
        (json.dumps(config), "path must hold a checkpoint; there is none in"),
    ):
        (tmp_path / "config.json").write_text(text)
        assert cli.main(["evaluate", str(tmp_path)]) == 1
        assert message in capsys.readouterr().err


@pytest.mark.slow
def test_a_seed_that_fails_loses_nothing(tmp_path, capsys):
    options = ["--learning-rate", "1e30", "--model", "normal", "--seeds", "2"]
    assert train(tmp_path / "run", *options) == 1
    assert "member 0, step " in capsys.readouterr().err
    for seed in (0, 1):
        params = load_file(tmp_path / "run" / f"seed-{seed}" / "params.safetensors")
        assert all(np.isfinite(params[name]).all() for name in params)


@pytest.mark.slow
@pytest.mark.parametrize("options", [[], ["--seeds", "2"]])
def test_an_error_after_training_deletes_nothing(tmp_path, capsys, monkeypatch, options):
    def fail(*args, **options):
        raise ValueError("the test data do not fit")

    monkeypatch.setattr(results.evaluation, "evaluate", fail)
    # Nothing is held out: the loss on that would fail already after the first epoch.
    assert train(tmp_path / "run", "--hold-out", "0", *options) == 1
    assert "the test data do not fit" in capsys.readouterr().err
    assert list((tmp_path / "run").rglob("params.safetensors"))


def test_blown_up_run_keeps_its_last_good_parameters(tmp_path, capsys):
    assert train(tmp_path / "run", "--learning-rate", "1e30", "--model", "normal") == 1
    assert "step " in capsys.readouterr().err
    params = load_file(tmp_path / "run" / "params.safetensors")
    assert all(np.isfinite(params[name]).all() for name in params)


@pytest.mark.slow
def test_a_run_on_a_terminal_and_in_a_pipe(tmp_path):
    """One line that is rewritten; or a table. No line of either is wider than 80 columns."""
    long = tmp_path / ("a folder with a name that is long and has spaces " * 2).strip()
    command = [sys.executable, "-m", "jaxvae", "train", "--model", "normal", "--epochs", "3"]
    command += [*SMALL, "--out"]
    terminal, inner = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    with subprocess.Popen([*command, str(long)], stdout=inner, stderr=inner) as started:
        os.close(inner)
        shown = b""
        with contextlib.suppress(OSError):  # so ends a terminal that no one writes to
            while part := os.read(terminal, 4096):
                shown += part
    os.close(terminal)
    assert started.returncode == 0
    frames = [frame for line in shown.decode().splitlines() for frame in line.split("\r")]
    assert any(frame.startswith("epoch 0/3 |") and "compiling ..." in frame for frame in frames)
    assert not any("examples/s" in frame and "epoch " in frame for frame in frames)
    assert any(frame.startswith("3 epochs in ") for frame in frames)
    piped = subprocess.run(
        [*command, str(tmp_path / "b")], capture_output=True, text=True, check=True
    )
    assert piped.stderr == ""
    assert "\n  3/3  " in piped.stdout
    assert "\r" not in piped.stdout
    for line in (*frames, *piped.stdout.splitlines()):
        assert len(line) <= 80 or str(tmp_path) in line  # a path is not broken
