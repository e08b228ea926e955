"""The command line: `jaxvae train`, and what is done with a trained run."""

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import jax
import numpy as np
import tyro
from tqdm import tqdm

from jaxvae import _failures
from jaxvae._output import say, unfailing
from jaxvae._version import __version__
from jaxvae.apps import experiments, runs
from jaxvae.apps.compilation_cache import keep_compiled
from jaxvae.apps.runs import Config, Run
from jaxvae.data.files import read_arrays, read_idx
from jaxvae.model import evaluation
from jaxvae.numerics import checks
from jaxvae.numerics.distributions import sample_dirichlet
from jaxvae.training import run_folder
from jaxvae.training.parallel import choose_devices

RESUMABLE = ("epochs", "devices", "distributed")  # what may be given anew with --resume
# What a run of several seeds does not have.
ALONE = ("distributed", "hold_out", "patience", "on_non_finite", "checkpoint_every")
BATCH_SIZE = 1024  # examples a compiled call, of `encode`

RunPath = tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]


@dataclass(frozen=True, kw_only=True)
class Train(Config):
    """Train a VAE; write its configuration, metrics, parameters and pictures."""

    distributed: str | None = None
    """Join other hosts: auto (Slurm, GKE, TPU pods, or JAX's environment variables), or
    ADDRESS:PORT,COUNT,INDEX."""
    out: Path | None = None
    """New or empty folder for the results; None: runs/MODEL-DATA-TIME."""
    resume: Path | None = None
    """Go on with the run in this folder, with its options, as if it had never stopped."""

    def run(self) -> int:
        if self.resume is not None:
            return self._resume(self.resume)
        return self._run(None)

    def _resume(self, folder: Path) -> int:
        """Run with the options of the run in `folder`, but for those that may be given anew."""
        anew = {name: getattr(self, name) for name in RESUMABLE}
        if self != Train(resume=folder, **anew):
            names = ", ".join(f"--{name}" for name in RESUMABLE)
            raise ValueError(f"resume must be given alone or with {names}: the run has its options")
        before = runs.read_config(folder / run_folder.CONFIG)
        if before.seeds > 1 or not (folder / run_folder.CHECKPOINTS).is_dir():
            raise ValueError(f"resume must be a run with checkpoints, got {folder}")
        if self.epochs not in (None, before.epochs) and before.schedule != "constant":
            raise ValueError(
                f"epochs must be {before.epochs} or left out, as the run's learning rate follows a "
                f"schedule, got {self.epochs}"
            )
        given = {name: value for name, value in anew.items() if value is not None}
        return Train(**vars(before) | given)._run(folder)

    def _run(self, resumed: Path | None) -> int:
        runs.check(self)
        if resumed is None:  # the options of a run that is resumed were given once before
            runs.check_effect(self)
        for name in ALONE:
            if self.seeds > 1 and getattr(self, name) != getattr(Train, name):
                raise ValueError(f"seeds must be 1 with {name}, got {self.seeds}")
        if self.patience is not None and not self.hold_out:
            raise ValueError("hold_out must be above 0 where patience is given, got 0.0")
        if self.distributed is not None:
            _join_hosts(self.distributed)
        data = runs.load_data(self)
        config = runs.resolve(self, data)
        if resumed is None:
            runs.check_effect(config)
        vae, optimizer = runs.build(config, data), runs.optimizer(config, data)
        if config.devices is not None:
            choose_devices(config.devices)
        train = experiments.train_seeds if config.seeds > 1 else experiments.train_one
        with contextlib.ExitStack() as stack:
            if resumed is not None:
                folder = resumed
            elif jax.process_index() > 0:  # one host writes and prints
                folder = self.out or Path("runs", "of-the-first-host")
            else:
                name = f"{config.model}-{data.name}-{time.strftime('%Y%m%d-%H%M%S')}"
                new = run_folder.new_run(self.out or Path("runs", name), another=self.out is None)
                folder = stack.enter_context(new)
            if jax.process_index() == 0:
                say(
                    f"{config.model} VAE on {data.name}: {len(data.x_train):,} examples to train "
                    f"on, {len(data.x_test):,} held out; results in {folder}"
                )
            return train(config, vae, data, optimizer, folder)


@dataclass(frozen=True)
class Evaluate:
    """Print the loss and, where it has one, the accuracy of a run on its test data."""

    folder: RunPath
    """A folder that `jaxvae train` wrote, or one of the checkpoints in it."""

    def run(self) -> int:
        experiments.print_results(experiments.test_metrics(runs.open_run(self.folder)))
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
        runs.check_seed(self.seed)

        def write(path: Path) -> None:
            run = runs.open_run(self.folder)
            _write_decoded(path, run, *self._draw(run))

        endings = (".png", ".npy", ".npz")
        out = runs.write_new(self.out, "generated.png", endings, write, replace=self.force)
        say(f"{self.count} examples in {out}")
        return 0

    def _draw(self, run: Run) -> tuple[np.ndarray, str]:
        """The draws, and what to call them."""
        key, shape = jax.random.key(self.seed), (self.count, run.config.latent_dim or 0)
        if self.category is None:
            return runs.on_host(run.vae.sample_prior(key, shape)), "Decoded draws from the prior"
        if run.config.prior != "labels":
            raise ValueError(
                "category must be left out except for a Dirichlet run whose prior is made from "
                f"labels, got {self.category}"
            )
        _check_categories("category", [self.category], run)
        labels = np.full(self.count, self.category)
        concentration = runs.dirichlet_prior(run.config).concentration(labels, shape[1])
        z = runs.on_host(sample_dirichlet(key, concentration))
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
            z = runs.path_between(start, end, steps)
            _write_decoded(path, run, z, f"From {first} to {last}")

        endings = (".png", ".gif", ".npy", ".npz")
        out = runs.write_new(self.out, "interpolation.png", endings, write, replace=self.force)
        say(f"{steps} steps in {out}")
        return 0

    def _ends(self, run: Run) -> tuple[np.ndarray, list[str]]:
        """The two points [2, K], and what to call them."""
        if self.categories is not None:
            if run.config.model != "dirichlet":
                raise ValueError(
                    f"categories must be left out for a Normal run, got {self.categories}"
                )
            _check_categories("categories", self.categories, run)
            ends = np.eye(run.config.latent_dim or 0)[list(self.categories)]
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
    """An .npz or a .csv: loc and scale of a Normal, mean and concentration of a Dirichlet. An .npy:
    the means alone. None: latents.npz, or where that is there latents-2.npz."""
    force: bool = False
    """Replace a file that is there."""

    def run(self) -> int:
        examples = 0

        def write(path: Path) -> None:
            nonlocal examples
            x = _read_examples(self.file)
            examples = len(x)
            run = runs.open_run(self.folder)
            if x.shape[1] != run.data.x_train.shape[1]:
                raise ValueError(
                    f"file must hold examples of {run.data.x_train.shape[1]} values as the run's "
                    f"data, got {x.shape[1]} in {self.file}"
                )
            arrays = _encode(run, x)
            if path.suffix == ".npz":
                np.savez(path, **arrays)  # type: ignore[arg-type]
            elif path.suffix == ".npy":
                np.save(path, next(iter(arrays.values())))
            else:
                names = [f"{name}_{k}" for name, z in arrays.items() for k in range(z.shape[1])]
                table = np.concatenate(list(arrays.values()), axis=1)
                np.savetxt(path, table, "%.9g", ",", header=",".join(names), comments="")

        endings = (".npz", ".csv", ".npy")
        out = runs.write_new(self.out, "latents.npz", endings, write, replace=self.force)
        say(f"{examples:,} posteriors in {out}")
        return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line. What it compiles is kept on disk (`compilation_cache.keep_compiled`).

    Args:
      argv: the arguments; those of the process where None.

    Returns:
      The exit status: 0; 1 for an error, told in one line on stderr; 2 for wrong usage; 130
      after Ctrl-C and 143 after SIGTERM.
    """
    _failures.imported()
    with unfailing():
        code = _main(sys.argv[1:] if argv is None else list(argv))
    if argv is None and code == _failures.INTERRUPTED:
        # Where Ctrl-C stops JAX in a compilation, Python's end often is a segmentation fault.
        os._exit(code)
    return code


def _main(argv: list[str]) -> int:
    if argv == ["--version"]:
        say(f"jaxvae {__version__}")
        return 0
    commands: dict[str, Callable[..., Any]] = {
        "train": Train,
        "evaluate": Evaluate,
        "figures": Figures,
        "generate": Generate,
        "interpolate": Interpolate,
        "encode": Encode,
    }
    try:
        command = tyro.extras.subcommand_cli_from_dict(
            commands,
            prog="jaxvae",
            description="Variational autoencoders with a Normal or a Dirichlet latent.",
            args=argv,
        )
        with keep_compiled():
            return command.run()
    except SystemExit as stop:  # tyro's own: 0 after --help, 2 for wrong usage
        return int(stop.code or 0)
    except BaseException as error:
        line = _failures.one_line(error)
        if line is None:
            raise
        say(line, error=True)
        return _failures.status(error)


def _join_hosts(where: str) -> None:
    if where == "auto":
        jax.distributed.initialize()
        return
    parts = where.split(",")
    if len(parts) != 3 or not (parts[1].isdecimal() and parts[2].isdecimal()):
        raise ValueError(f"distributed must be auto or ADDRESS:PORT,COUNT,INDEX, got {where}")
    if int(parts[2]) >= int(parts[1]):
        raise ValueError(f"distributed must have an INDEX from 0 to COUNT - 1, got {where}")
    jax.distributed.initialize(parts[0], int(parts[1]), int(parts[2]))


def _check_categories(name: str, categories: Sequence[int], run: Run) -> None:
    last = (run.config.latent_dim or 0) - 1
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
    """The parameters of the posterior of each example by name, the means first."""
    encode = jax.jit(run.vae.encode)
    size = min(BATCH_SIZE, len(x))
    parts = []
    for start in tqdm(range(0, len(x), size), unit="batch", delay=1, disable=None):
        batch = x[start : start + size]
        padding = ((0, size - len(batch)), (0, 0))  # one shape, compiled once
        posterior = jax.tree.map(runs.on_host, encode(run.params, np.pad(batch, padding)))
        parts.append(posterior)
    posterior = jax.tree.map(lambda *leaves: np.concatenate(leaves)[: len(x)], *parts)
    if isinstance(posterior, tuple):
        return {"loc": posterior[0], "scale": posterior[1]}
    mean = posterior / posterior.sum(axis=1, keepdims=True)
    return {"mean": mean, "concentration": posterior}
