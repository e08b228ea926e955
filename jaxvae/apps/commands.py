"""What the command line does with a trained run: evaluate, draw, generate, interpolate, encode."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from tqdm import tqdm

from jaxvae._output import say
from jaxvae.apps import options, outputs, results, runs
from jaxvae.apps.model_parts import kind
from jaxvae.apps.runs import Run
from jaxvae.data.batches import Batch
from jaxvae.data.files import read_arrays, read_idx
from jaxvae.model import evaluation
from jaxvae.numerics import checks

BATCH_SIZE = 1024  # examples a compiled call, of `encode`

RunPath = tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]


@dataclass(frozen=True)
class Evaluate:
    """Print the loss and, where it has one, the accuracy of a run on its test data."""

    folder: RunPath
    """A folder that `jaxvae train` wrote, or one of the checkpoints in it."""

    def run(self) -> int:
        results.print_results(results.test_metrics(runs.open_run(self.folder)))
        return 0


@dataclass(frozen=True)
class Figures:
    """Draw a run's pictures again."""

    folder: RunPath
    """A folder that `jaxvae train` wrote, or one of the checkpoints in it."""

    def run(self) -> int:
        from jaxvae.apps import (
            gallery,  # Matplotlib is slow to import, and `evaluate` needs none of it
        )

        gallery.draw(runs.open_run(self.folder))
        return 0


@dataclass(frozen=True)
class Generate:
    """Make new examples: draw z from a run's prior, and decode it."""

    folder: RunPath
    """A folder that `jaxvae train` wrote, or one of the checkpoints in it."""
    count: int = 100
    """How many."""
    category: int | None = None
    """Draw from the prior of this label; for a Dirichlet whose prior is made from labels."""
    seed: int = 0
    """Of the draws."""
    out: Path | None = None
    """A .png: a picture of all. An .npy: the examples, as --data takes them. An .npz: them as x,
    and z. None: generated.png, or where that is there generated-2.png."""
    force: bool = False
    """Replace a file that is there."""

    def run(self) -> int:
        checks.axis_length("count", self.count)
        options.check_seed(self.seed)

        def write(path: Path) -> None:
            run = runs.open_run(self.folder)
            _write_decoded(path, run, *self._draw(run))

        endings = (".png", ".npy", ".npz")
        out = outputs.write_new(self.out, "generated.png", endings, write, replace=self.force)
        say(f"{self.count} examples in {out}")
        return 0

    def _draw(self, run: Run) -> tuple[np.ndarray, str]:
        """The draws, and what to call them."""
        key, params = jax.random.key(self.seed), run.params
        if self.category is None:
            z = run.vae.sample_prior(params, key, (self.count, run.config.model.latent_dim))
            return runs.on_host(z), "Decoded draws from the prior"
        assert run.vae.parts is not None
        if not run.vae.parts.prior.uses_labels:
            raise ValueError(
                "category must be left out except for a Dirichlet run whose prior is made from "
                f"labels, got {self.category}"
            )
        _check_categories("category", [self.category], run)
        labels = jnp.full(self.count, self.category, jnp.int32)
        z = runs.on_host(run.vae.sample_prior(params, key, Batch(y=labels)))
        return z, f"Decoded draws from the prior of category {self.category}"


@dataclass(frozen=True)
class Interpolate:
    """Decode the straight way from one point of a run's latent space to another."""

    folder: RunPath
    """A folder that `jaxvae train` wrote, or one of the checkpoints in it."""
    categories: tuple[int, int] | None = None
    """From one corner of the simplex to another; for a Dirichlet run."""
    examples: tuple[int, int] | None = None
    """From one test example to another, by their places in the test data."""
    steps: int | None = None
    """How many, both ends included; None: 9, or 36 for a .gif."""
    out: Path | None = None
    """A .png: a strip. A .gif: an animation. An .npy: the examples. An .npz: them as x, and z.
    None: interpolation.png, or where that is there interpolation-2.png."""
    force: bool = False
    """Replace a file that is there."""

    def run(self) -> int:
        if (self.categories is None) == (self.examples is None):
            given = "neither" if self.categories is None else "both"
            raise ValueError(f"one of categories and examples must be given, got {given}")
        steps = 36 if self.out is not None and self.out.suffix == ".gif" else 9
        if self.steps is not None:
            steps = checks.axis_length("steps", self.steps, minimum=2)

        def write(path: Path) -> None:
            run = runs.open_run(self.folder)
            (start, end), (first, last) = self._ends(run)
            z = outputs.path_between(start, end, steps)
            _write_decoded(path, run, z, f"From {first} to {last}")

        endings = (".png", ".gif", ".npy", ".npz")
        out = outputs.write_new(self.out, "interpolation.png", endings, write, replace=self.force)
        say(f"{steps} steps in {out}")
        return 0

    def _ends(self, run: Run) -> tuple[np.ndarray, list[str]]:
        """The two points [2, K], and what to call them."""
        if self.categories is not None:
            assert run.vae.parts is not None
            corners = run.vae.parts.latent.landmarks(run.config.model.latent_dim)
            if not corners:
                name = kind(run.config.model.latent).replace("_", " ").capitalize()
                raise ValueError(
                    f"categories must be left out for a {name} run, got {self.categories}"
                )
            _check_categories("categories", self.categories, run)
            ends = np.stack([corners[str(k)] for k in self.categories])
            return ends, [f"category {k}" for k in self.categories]
        rows = list(self.examples or ())
        x, y = run.data.x_test, run.data.y_test
        for row in rows:
            if not 0 <= row < len(x):
                raise ValueError(f"examples must be from 0 to {len(x) - 1}, got {row}")
        labels = ["" if y is None else f" (label {y[row]})" for row in rows]
        names = [f"example {row}{label}" for row, label in zip(rows, labels, strict=True)]
        return evaluation.encode_mean(run.vae, run.params, x[rows]), names


@dataclass(frozen=True)
class Encode:
    """Write the posterior of z for each example in a file."""

    folder: RunPath
    """A folder that `jaxvae train` wrote, or one of the checkpoints in it."""
    file: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FILE")]]
    """Examples as the run was trained on: an .npy, an .npz with x, or images in an IDX file (a .gz
    or -ubyte), whose bytes are divided by 256 as MNIST's are."""
    out: Path | None = None
    """An .npz or a .csv: loc and scale of a Normal, mean and concentration of a Dirichlet, and so
    for the others. An .npy: the means alone. None: latents.npz, or where that is there
    latents-2.npz."""
    force: bool = False
    """Replace a file that is there."""

    def run(self) -> int:
        examples = 0

        def write(path: Path) -> None:
            nonlocal examples
            x = _read_examples(self.file)
            examples = len(x)
            run = runs.open_run(self.folder)
            shape = run.config.model.data_shape
            if x.shape[1] != math.prod(shape):
                raise ValueError(
                    f"file must hold examples of {math.prod(shape)} values as the run's "
                    f"data, got {x.shape[1]} in {self.file}"
                )
            arrays = _encode(run, x.reshape(-1, *shape))
            if path.suffix == ".npz":
                np.savez(path, **arrays)  # type: ignore[arg-type]
            elif path.suffix == ".npy":
                np.save(path, next(iter(arrays.values())))
            else:
                names = [f"{name}_{k}" for name, z in arrays.items() for k in range(z.shape[1])]
                table = np.concatenate(list(arrays.values()), axis=1)
                np.savetxt(path, table, "%.9g", ",", header=",".join(names), comments="")

        endings = (".npz", ".csv", ".npy")
        out = outputs.write_new(self.out, "latents.npz", endings, write, replace=self.force)
        say(f"{examples:,} posteriors in {out}")
        return 0


def _check_categories(name: str, categories: Sequence[int], run: Run) -> None:
    last = run.config.model.latent_dim - 1
    for category in categories:
        if not 0 <= category <= last:
            raise ValueError(f"{name} must be from 0 to {last}, got {category}")


def _write_decoded(path: Path, run: Run, z: np.ndarray, title: str) -> None:
    """What z [N, K] decodes to, as the kind of file that the path's ending asks for."""
    x, shape = run.decode(z), run.data.image_shape
    if path.suffix in (".png", ".gif"):
        from jaxvae.apps import gallery

        gallery.save_decoded(path, run, z, x, title)
        return
    x = x if shape is None else x.reshape(-1, *shape)
    np.save(path, x) if path.suffix == ".npy" else np.savez(path, x=x, z=z)


def _read_examples(path: Path) -> np.ndarray:
    """Examples [N, D] of a file; images [N, H, W] are flattened."""
    if path.suffix == ".gz" or path.name.endswith("-ubyte"):
        x = read_idx(path) / np.float32(256)
    elif path.suffix in (".npy", ".npz"):
        arrays = read_arrays(path)
        if "x" not in arrays:
            raise ValueError(f"file must hold x, got {sorted(arrays)} in {path}")
        x = arrays["x"]
    else:
        raise ValueError(f"file must end in .npy, .npz or .gz, got {path}")
    try:
        x = x.reshape(len(x), math.prod(x.shape[1:])) if x.ndim == 3 else x
        return checks.data_array("x", x)
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path}: {error}") from None


def _encode(run: Run, x: np.ndarray) -> dict[str, np.ndarray]:
    """The parameters of the posterior of each example by name; first the mean if it is none."""
    encode = jax.jit(run.vae.encode)
    size = min(BATCH_SIZE, len(x))
    parts = []
    for start in tqdm(range(0, len(x), size), unit="batch", delay=1, disable=None):
        batch = x[start : start + size]
        padding = ((0, size - len(batch)), *[(0, 0)] * (x.ndim - 1))  # one shape, compiled once
        posterior = jax.tree.map(runs.on_host, encode(run.params, np.pad(batch, padding)))
        parts.append(posterior)
    posterior = jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(x)], *parts)
    fields = {
        jax.tree_util.keystr(path, simple=True, separator="_"): leaf
        for path, leaf in jax.tree.leaves_with_path(posterior)
    }
    assert run.vae.parts is not None
    mean = run.vae.parts.latent.mean(posterior)
    if any(mean is leaf for leaf in fields.values()):
        return fields
    return {"mean": np.asarray(mean), **fields}
