"""What the command line does with a trained run: evaluate, draw, generate, interpolate, encode."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Annotated, Any, ClassVar, Literal

import jax
import numpy as np
import tyro

from jaxvae._output import say, say_made
from jaxvae.apps import (
    encodings,
    experiments,
    hub,
    options,
    outputs,
    results,
    results_table,
    runs,
)
from jaxvae.apps.latent_space import path_between
from jaxvae.apps.latent_space import rows as rows_of
from jaxvae.apps.model_parts import kind
from jaxvae.apps.runs import Run
from jaxvae.data.batches import Batch
from jaxvae.data.flat import dense, len_of
from jaxvae.model import evaluation
from jaxvae.numerics import checks
from jaxvae.training import run_folder

TABLES = (".csv", ".parquet")
NOISE = 1  # what the key of the draws of x is made of, beside the seed's

RunPath = tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]


@dataclass(frozen=True)
class OnData:
    """What needs the data of the run."""

    folder: RunPath
    """A folder that `jaxvae train` wrote, or one of the checkpoints in it."""
    data: Path | None = None
    """The place where the run's data lie now. Default: where they lay when it was trained."""
    other_data: bool = False
    """Take data whose content is not what the run was trained on."""

    def open(self, folder: Path | None = None) -> Run:
        path = self.folder if folder is None else folder
        return runs.open_run(path, data=self.data, other_data=self.other_data)

    def each(self) -> Iterator[Run]:
        """The run; of a folder that `jaxvae train --seeds` wrote the run of each seed."""
        for path in run_folder.seeds_in(self.folder) or [self.folder]:
            yield self.open(path)


@dataclass(frozen=True)
class Evaluate(OnData):
    """Measure a run on its test data: the loss and its terms, the error of the reconstructions,
    the accuracy where there is one, and how much of the latent is used. Of several seeds the means
    and standard deviations are printed."""

    EXAMPLES: ClassVar = (
        ("jaxvae evaluate runs/first", "a run on its test data"),
        ("jaxvae evaluate runs/eight", "the runs of jaxvae train --seeds 8"),
        ("jaxvae evaluate runs/iris --data new.csv --other-data", "a run on other data"),
    )

    def run(self) -> int:
        found = {}
        for run in self.each():
            self._refuse_without_labels(run)
            found[run.folder.name] = results.of_test(run)
        if len(found) > 1:
            say(f"{len(found)} runs: {', '.join(found)}")
        results_table.show(*found.values())
        results_table.show_notes(found)
        return 0

    def _refuse_without_labels(self, run: Run) -> None:
        """Refuse data without labels where the prior is made from labels, as the loss is then."""
        assert run.vae.parts is not None
        if run.vae.parts.prior.uses_labels and run.data.y_test is None:
            column = run.config.data.label
            of = "" if column is None else f" in the column {column!r}"
            if column is None and run.data.column_names is not None:
                of = " in a column that is called label, labels, target, class or y"
            raise ValueError(
                f"{self.data or run.name}: it must hold labels{of}, as the run's prior is made "
                "from them, got none; jaxvae encode takes it"
            )


@dataclass(frozen=True)
class Figures(OnData):
    """Draw the pictures of a run again, of several seeds those of each run. Where the run's data
    cannot be read, the pictures that need none are drawn."""

    EXAMPLES: ClassVar = (
        ("jaxvae figures runs/first", "into runs/first/figures"),
        ("jaxvae figures runs/eight", "the runs of jaxvae train --seeds 8"),
    )

    quiet: bool = False
    """Print the names of the folders with the pictures and nothing else."""

    def run(self) -> int:
        from jaxvae.apps import (
            gallery,  # Matplotlib is slow to import, and `evaluate` needs none of it
        )

        histories, vae = [], None
        for run in self.each():
            gallery.draw(run)
            if self.quiet:
                say_made("", run.folder / run_folder.FIGURES)
            vae = run.vae
            if records := run_folder.records(run.folder):
                histories.append([SimpleNamespace(**record) for record in records])
        if vae is not None and len(histories) > 1:
            experiments.draw_seeds(self.folder, vae, histories)
        return 0


@dataclass(frozen=True)
class Generate:
    """Make new examples: draw z from a run's prior, and decode it."""

    EXAMPLES: ClassVar = (
        ("jaxvae generate runs/first", "a picture of 100 new examples"),
        ("jaxvae generate runs/first --category 3", "of one label"),
        ("jaxvae generate runs/iris --count 1000 --out new.csv", "a table of new rows"),
    )

    folder: RunPath
    """A folder that `jaxvae train` wrote, or one of the checkpoints in it."""
    count: int = 100
    """The number of examples."""
    category: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Draw from the prior of this label alone. It needs a prior that is made from labels. Without
    it a .csv or .parquet of a model with categories has a column for each row's largest one."""
    noise: Literal["auto", "yes", "no"] = "auto"
    """Whether values are drawn from the likelihood around their means. auto: yes for rows of a
    table in a .csv or .parquet, where the likelihood is Normal; pictures and all else are means."""
    seed: int = 0
    """The draws follow from this number."""
    out: Path | None = None
    """The new file. A .png is a picture of all examples. An .npy, .csv or .parquet holds the
    examples, the last two by the names of their columns. An .npz holds them as x, and their z.
    Default: generated.png, or where that exists generated-2.png."""
    force: bool = False
    """Replace the file if it exists."""
    quiet: bool = False
    """Print the name of the file and nothing else."""

    def run(self) -> int:
        checks.axis_length("count", self.count)
        options.check_seed(self.seed)
        said = ""

        def write(path: Path) -> None:
            nonlocal said
            run = _opened(self.folder)
            (z, title), x = self._draw(run), None
            if noise := self._with_noise(run, path):
                x = run.sample(jax.random.fold_in(jax.random.key(self.seed), NOISE), z)
            beside = {} if self.category is not None else _largest_category(run, z)
            _write_decoded(path, run, z, title, x, beside)
            if path.suffix in TABLES:
                said = (
                    "Each value is drawn from the likelihood; --noise no writes the means."
                    if noise
                    else "Each value is the mean given its z, without noise."
                )

        endings = (".png", ".npy", ".npz", *TABLES)
        out = outputs.write_new(self.out, "generated.png", endings, write, replace=self.force)
        if said:
            say(said)
        say_made(
            f"{self.count:,} new {'example is' if self.count == 1 else 'examples are'} in", out
        )
        return 0

    def _with_noise(self, run: Run, path: Path) -> bool:
        """Whether values are drawn around their means."""
        model, parts = run.config.model, run.vae.parts
        assert parts is not None
        total = not getattr(model.likelihood, "takes_masks", True)
        if self.noise == "yes" and total:
            raise ValueError(
                f"noise must be no for a {kind(model.likelihood).replace('_', '-')} likelihood, "
                "which says nothing of an example's total, got yes"
            )
        if self.noise != "auto":
            return self.noise == "yes"
        is_table = model.image_shape is None and model.series_shape is None
        has_scale = getattr(model.likelihood, "has_scale", False) and parts.likelihood.normalized
        return path.suffix in TABLES and is_table and has_scale

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

    EXAMPLES: ClassVar = (
        ("jaxvae interpolate runs/first --categories 3 8", "from the digit 3 to the digit 8"),
        ("jaxvae interpolate runs/first --examples 0 5", "from one test example to another"),
        ("jaxvae interpolate runs/first --categories 3 8 --out walk.gif", "as an animation"),
    )

    categories: Annotated[tuple[str, str] | None, tyro.conf.arg(metavar="NAME NAME")] = None
    """From one category to another, by their names. It needs a latent with categories."""
    examples: tuple[int, int] | None = None
    """From one test example to another, by their places in the test data, the first of which is
    0."""
    steps: int | None = None
    """The number of points on the way, both ends included. Default: 9, or 36 for a .gif."""
    out: Path | None = None
    """The new file. A .png is a strip of pictures, a .gif an animation. An .npy, .csv or .parquet
    holds the examples. An .npz holds them as x, and their z. Default: interpolation.png, or where
    that exists interpolation-2.png."""
    force: bool = False
    """Replace the file if it exists."""
    quiet: bool = False
    """Print the name of the file and nothing else."""

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

        endings = (".png", ".gif", ".npy", ".npz", *TABLES)
        out = outputs.write_new(self.out, "interpolation.png", endings, write, replace=self.force)
        say_made(f"The {steps} steps of the way are in", out)
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

    EXAMPLES: ClassVar = (
        ("jaxvae encode runs/iris new.csv --out latents.csv", "a table of latents"),
        ("jaxvae encode runs/first images.npy", "arrays, into latents.npz"),
    )

    folder: RunPath
    """A folder that `jaxvae train` wrote, or one of the checkpoints in it."""
    file: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="FILE")]]
    """Examples such as the run was trained on, in any format that `jaxvae train --data` takes.
    Columns are found by their names. Bytes of an IDX file are divided by 256 for a run on MNIST."""
    out: Path | None = None
    """The new file. A .csv, .parquet or .npz holds the parameters of each posterior: loc and scale
    of a Normal, mean and concentration of a Dirichlet. An .npy holds the means alone. An .h5ad is
    a copy of FILE, itself an .h5ad, with z in obsm. Default: latents.npz, or where that exists
    latents-2.npz."""
    force: bool = False
    """Replace the file if it exists."""
    quiet: bool = False
    """Print the name of the file and nothing else."""

    def run(self) -> int:
        examples = 0

        def write(path: Path) -> None:
            nonlocal examples
            run = _opened(self.folder)
            encoding = encodings.encode_file(run, self.file)
            examples = len(encoding.ids)
            encodings.write(path, encoding, self.file)

        out = outputs.write_new(
            self.out, "latents.npz", encodings.ENDINGS, write, replace=self.force
        )
        what = (
            "latent of 1 example is" if examples == 1 else f"latents of {examples:,} examples are"
        )
        say_made(f"The {what} in", out)
        return 0


def _opened(path: Path) -> Run:
    """A run, or a saved model that may lie on the Hub."""
    return runs.open_run(hub.fetch(str(path)) if hub.is_address(path) else path)


def _largest_category(run: Run, z: Any) -> dict[str, Any]:
    """The name of the largest category of each point, as a column; none without categories."""
    part = run.space.categories
    if part is None:
        return {}
    taken = run.config.model.column_names or ()
    name = "category" if "category" not in taken else encodings.CATEGORY
    return {name: [run.category_names[k] for k in run.space.of(part, z).argmax(axis=1)]}


def _write_decoded(
    path: Path,
    run: Run,
    z: Any,
    title: str,
    x: np.ndarray | None = None,
    beside: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """What points decode to, as the kind of file that the path's ending asks for.

    Args:
      path: the file.
      run: the run.
      z: the points.
      title: of a picture.
      x: draws given them, or None for the means.
      beside: more columns of a table.
    """
    x = run.decode(z) if x is None else x
    shape = run.config.model.image_shape
    if path.suffix in (".png", ".gif"):
        from jaxvae.apps import gallery

        gallery.save_decoded(path, run, z, x, title)
        return
    if path.suffix in TABLES:
        names = run.config.model.column_names or tuple(map(str, range(x.shape[1])))
        outputs.write_table(path, {**dict(zip(names, x.T, strict=True)), **beside})
        return
    shape = shape or run.config.model.series_shape
    x = x if shape is None else x.reshape(-1, *shape)
    if path.suffix == ".npy":
        np.save(path, x)
        return
    arrays: dict[str, Any] = {"x": x} | run.space.arrays(z)
    np.savez(path, **arrays)
