"""What the command line does with a trained run: evaluate, draw, generate, interpolate, encode."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from jaxvae._output import say
from jaxvae.apps import encodings, options, outputs, results, runs
from jaxvae.apps.latent_space import path_between
from jaxvae.apps.latent_space import rows as rows_of
from jaxvae.apps.model_parts import kind
from jaxvae.apps.runs import Run
from jaxvae.data.batches import Batch
from jaxvae.data.flat import dense, len_of
from jaxvae.model import evaluation
from jaxvae.numerics import checks

RunPath = tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]


@dataclass(frozen=True)
class OnData:
    """What needs the data of the run."""

    folder: RunPath
    """A folder that `jaxvae train` wrote, or one of the checkpoints in it."""
    data: Path | None = None
    """Where the run's data lie now; None: where they lay when it was trained."""
    other_data: bool = False
    """Take data whose content is not what the run was trained on."""

    def open(self) -> Run:
        return runs.open_run(self.folder, data=self.data, other_data=self.other_data)


@dataclass(frozen=True)
class Evaluate(OnData):
    """Print the loss and, where it has one, the accuracy of a run on its test data."""

    def run(self) -> int:
        results.print_results(results.test_metrics(self.open()))
        return 0


@dataclass(frozen=True)
class Figures(OnData):
    """Draw a run's pictures again; without its data those that need none."""

    def run(self) -> int:
        from jaxvae.apps import (
            gallery,  # Matplotlib is slow to import, and `evaluate` needs none of it
        )

        gallery.draw(self.open())
        return 0


@dataclass(frozen=True)
class Generate:
    """Make new examples: draw z from a run's prior, and decode it."""

    folder: RunPath
    """A folder that `jaxvae train` wrote, or one of the checkpoints in it."""
    count: int = 100
    """How many."""
    category: str | None = None
    """Draw from the prior of this label, by its name; for a prior that is made from labels."""
    seed: int = 0
    """Of the draws."""
    out: Path | None = None
    """A .png: a picture of all. An .npy: the examples, as --data takes them; a .csv or .parquet:
    them by the names of their columns. An .npz: them as x, and z. None: generated.png, or where
    that is there generated-2.png."""
    force: bool = False
    """Replace a file that is there."""

    def run(self) -> int:
        checks.axis_length("count", self.count)
        options.check_seed(self.seed)

        def write(path: Path) -> None:
            run = runs.open_run(self.folder)
            _write_decoded(path, run, *self._draw(run))

        endings = (".png", ".npy", ".npz", ".csv", ".parquet")
        out = outputs.write_new(self.out, "generated.png", endings, write, replace=self.force)
        say(f"{self.count} examples in {out}")
        return 0

    def _draw(self, run: Run) -> tuple[Any, str]:
        """The draws, and what to call them."""
        key = jax.random.key(self.seed)
        if self.category is None:
            return run.draw(key, self.count), "Decoded draws from the prior"
        assert run.vae.parts is not None
        if not run.vae.parts.prior.uses_labels:
            raise ValueError(
                "category must be left out except for a run whose prior is made from labels, "
                f"got {self.category}"
            )
        number = run.model.category_number(self.category)
        title = f"Decoded draws from the prior of category {run.category_names[number]}"
        return run.draw(key, self.count, number), title


@dataclass(frozen=True)
class Interpolate(OnData):
    """Decode the straight way from one point of a run's latent space to another."""

    categories: tuple[str, str] | None = None
    """From one corner of the simplex to another, by the categories' names; for a Dirichlet run."""
    examples: tuple[int, int] | None = None
    """From one test example to another, by their places in the test data."""
    steps: int | None = None
    """How many, both ends included; None: 9, or 36 for a .gif."""
    out: Path | None = None
    """A .png: a strip. A .gif: an animation. An .npy, .csv or .parquet: the examples. An .npz: them
    as x, and z. None: interpolation.png, or where that is there interpolation-2.png."""
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
            run = self.open()
            ends, (first, last) = self._ends(run)
            z = path_between(rows_of(ends, 0), rows_of(ends, 1), steps)
            _write_decoded(path, run, z, f"From {first} to {last}")

        endings = (".png", ".gif", ".npy", ".npz", ".csv", ".parquet")
        out = outputs.write_new(self.out, "interpolation.png", endings, write, replace=self.force)
        say(f"{steps} steps in {out}")
        return 0

    def _ends(self, run: Run) -> tuple[Any, list[str]]:
        """Two points, and what to call them."""
        if self.categories is not None:
            known = run.category_names
            if not known:
                name = kind(run.config.model.latent).replace("_", " ").capitalize()
                raise ValueError(
                    f"categories must be left out for a {name} run, got {self.categories}"
                )
            numbers = [run.model.category_number(name, "categories") for name in self.categories]
            return rows_of(run.space.corners(), numbers), [f"category {known[k]}" for k in numbers]
        rows = list(self.examples or ())
        x, y, mask = run.data.x_test, run.data.y_test, run.data.mask_test
        count = len_of(x)
        for row in rows:
            if not 0 <= row < count:
                raise ValueError(f"examples must be from 0 to {count - 1}, got {row}")
        named = run.data.label_names
        labels = [
            "" if y is None or named is None or y[row] < 0 else f" (label {named[y[row]]})"
            for row in rows
        ]
        ends = [f"example {row}{label}" for row, label in zip(rows, labels, strict=True)]
        own = Batch(dense(x[rows]), mask=None if mask is None else mask[rows])
        return evaluation.encode_mean(run.vae, run.params, own), ends


@dataclass(frozen=True)
class Encode:
    """Write z for each example of a file, and its id, label and largest category beside it."""

    folder: RunPath
    """A folder that `jaxvae train` wrote, or one of the checkpoints in it."""
    file: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FILE")]]
    """Examples as the run was trained on, in any format that --data takes; columns are found by
    their names. Bytes of an IDX file are divided by 256 for a run on MNIST."""
    out: Path | None = None
    """A .csv, .parquet or .npz: loc and scale of a Normal, mean and concentration of a Dirichlet,
    and so for the others. An .npy: the means alone. An .h5ad, of one: a copy with z in obsm. None:
    latents.npz, or where that is there latents-2.npz."""
    force: bool = False
    """Replace a file that is there."""

    def run(self) -> int:
        examples = 0

        def write(path: Path) -> None:
            nonlocal examples
            run = runs.open_run(self.folder)
            encoding = encodings.encode_file(run, self.file)
            examples = len(encoding.ids)
            encodings.write(path, encoding, self.file)

        out = outputs.write_new(
            self.out, "latents.npz", encodings.ENDINGS, write, replace=self.force
        )
        say(f"{examples:,} posteriors in {out}")
        return 0


def _write_decoded(path: Path, run: Run, z: Any, title: str) -> None:
    """What points decode to, as the kind of file that the path's ending asks for."""
    x, shape = run.decode(z), run.config.model.image_shape
    if path.suffix in (".png", ".gif"):
        from jaxvae.apps import gallery

        gallery.save_decoded(path, run, z, x, title)
        return
    if path.suffix in (".csv", ".parquet"):
        names = run.config.model.column_names or tuple(map(str, range(x.shape[1])))
        outputs.write_table(path, dict(zip(names, x.T, strict=True)))
        return
    shape = shape or run.config.model.series_shape
    x = x if shape is None else x.reshape(-1, *shape)
    if path.suffix == ".npy":
        np.save(path, x)
        return
    arrays: dict[str, Any] = {"x": x} | run.space.arrays(z)
    np.savez(path, **arrays)
