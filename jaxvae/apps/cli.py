"""The command line: `jaxvae train`, and what is done with a trained run."""

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import tyro

from jaxvae import _failures
from jaxvae._output import say, unfailing
from jaxvae._version import __version__
from jaxvae.apps import chosen, description, experiments, options, runs
from jaxvae.apps.commands import Encode, Evaluate, Figures, Generate, Interpolate
from jaxvae.apps.compilation_cache import keep_compiled
from jaxvae.apps.export import Export
from jaxvae.apps.hub import Push
from jaxvae.apps.model_parts import Identity, kind
from jaxvae.apps.options import Options
from jaxvae.apps.run_config import Config, of_options, read_config
from jaxvae.data.dataset import Dataset
from jaxvae.data.flat import len_of
from jaxvae.training import run_folder
from jaxvae.training.parallel import choose_devices

RESUMABLE = ("epochs", "devices", "distributed", "data")  # what may be given anew with --resume
# What a run of several seeds does not have.
ALONE = ("distributed", "hold_out", "patience", "on_non_finite", "checkpoint_every")


@dataclass(frozen=True, kw_only=True)
class Train(Options):
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
        options.check(self)
        options.check_effect(self)
        for name in ALONE:
            if self.seeds > 1 and getattr(self, name) != getattr(Train, name):
                raise ValueError(f"seeds must be 1 with {name}, got {self.seeds}")
        self._join_hosts()
        data = chosen.load_data(self)
        own = chosen.resolve(self, data)
        options.check_effect(own)
        model = chosen.describe(own, data)
        return self._train(of_options(model, own, data), runs.shaped(data, model), None)

    def _resume(self, folder: Path) -> int:
        """Go on with the run in `folder`, with its options but for those that may be given anew."""
        anew = {name: getattr(self, name) for name in RESUMABLE}
        if self != Train(resume=folder, **anew):
            names = ", ".join(f"--{name}" for name in RESUMABLE)
            raise ValueError(f"resume must be given alone or with {names}: the run has its options")
        options.check(self)
        config = read_config(folder / run_folder.CONFIG)
        before = config.training
        if before.seeds > 1 or not (folder / run_folder.CHECKPOINTS).is_dir():
            raise ValueError(f"resume must be a run with checkpoints, got {folder}")
        if self.epochs not in (None, before.epochs) and before.schedule != "constant":
            raise ValueError(
                f"epochs must be {before.epochs} or left out, as the run's learning rate follows a "
                f"schedule, got {self.epochs}"
            )
        given = {name: getattr(self, name) for name in ("epochs", "devices")}
        given = {name: value for name, value in given.items() if value is not None}
        training = dataclasses.replace(before, **given)
        options.check(training)
        self._join_hosts()
        data, own = runs.load_data(config, self.data), config.data
        if self.data is not None:
            own = dataclasses.replace(own, data=options.absolute(self.data))
        return self._train(dataclasses.replace(config, training=training, data=own), data, folder)

    def _train(self, config: Config, data: Dataset, resumed: Path | None) -> int:
        training = config.training
        vae, optimizer = description.build(config.model), runs.optimizer(config)
        if training.devices is not None:
            choose_devices(training.devices)
        train = experiments.train_seeds if training.seeds > 1 else experiments.train_one
        model = kind(config.model.latent)
        with contextlib.ExitStack() as stack:
            if resumed is not None:
                folder = resumed
            elif jax.process_index() > 0:  # one host writes and prints
                folder = self.out or Path("runs", "of-the-first-host")
            else:
                name = f"{model}-{data.name}-{time.strftime('%Y%m%d-%H%M%S')}"
                new = run_folder.new_run(self.out or Path("runs", name), another=self.out is None)
                folder = stack.enter_context(new)
            if jax.process_index() == 0:
                for sentence in data.said:
                    say(sentence)
                say(f"{data.name}: {_sentence(config, data)}")
                say(
                    f"{model} VAE on {len_of(data.x_train):,} examples, "
                    f"{len_of(data.x_test):,} held out; results in {folder}"
                )
            return train(config, vae, data, optimizer, folder)

    def _join_hosts(self) -> None:
        if self.distributed is not None:
            _join_hosts(self.distributed)


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
        "export": Export,
        "push": Push,
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


def _sentence(config: Config, data: Dataset) -> str:
    """What the data are, and what is made of their numbers."""
    shown = data
    if not getattr(config.model.likelihood, "of_counts", False):
        shown = data._replace(look=chosen.look_for_normal(data))
    if shown.look.scale.changes and config.model.transform == Identity():
        return f"{data.sentence.partition('; ')[0]}; the numbers stay as they are"
    return shown.sentence


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
