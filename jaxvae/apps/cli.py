"""The command line: `jaxvae train`, and what is done with a trained run."""

import contextlib
import dataclasses
import importlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import jax
import tyro

from jaxvae import _failures, _front
from jaxvae._output import counted, quiet, say, say_made, unfailing
from jaxvae.apps import (
    chosen,
    description,
    experiments,
    help_pages,
    options,
    resuming,
    run_data,
    runs,
    sweeps,
    topic_runs,
    wrong_usage,
)
from jaxvae.apps.model_parts import Identity, kind
from jaxvae.apps.option_effects import check_effect
from jaxvae.apps.options import Options
from jaxvae.apps.run_config import Config, of_options
from jaxvae.data.dataset import Dataset
from jaxvae.data.flat import len_of
from jaxvae.training import run_folder
from jaxvae.training.compilation_cache import keep_compiled
from jaxvae.training.devices import choose_devices

# What may be given anew with --resume.
RESUMABLE = ("epochs", "patience", "devices", "distributed", "data")


@dataclass(frozen=True, kw_only=True)
class Train(Options):
    """Train a variational autoencoder on your data, or without --data on 8 x 8 images of digits.
    Its parameters, results and pictures go into a new folder, which is called a run. With several
    values of a numeric option there is a run for each, and a table and a picture compare them."""

    EXAMPLES: ClassVar = (
        ("jaxvae train --out runs/first", "the digits"),
        ("jaxvae train --data iris.csv --label species", "a table with labels"),
        ("jaxvae train --data pets/ --network convolutional", "a folder of images"),
        ("jaxvae train --data news.txt --latent-dim 20", "topics of texts, one a line"),
        ("jaxvae train --seeds 8 --out runs/eight", "eight runs at once"),
        ("jaxvae train --style-dim 2 4 8 16 --out runs/styles", "a run for each value"),
        ("jaxvae train --resume runs/first", "go on with a run that was stopped"),
    )
    SECTIONS: ClassVar = help_pages.SECTIONS

    distributed: str | None = None
    """Join other hosts. auto finds them by Slurm, GKE, the TPU pod or JAX's environment variables;
    by hand it is ADDRESS:PORT,COUNT,INDEX."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER")] = None
    """The folder for the results, which must be new or empty. Default: runs/MODEL-DATA-TIME."""
    resume: Path | None = None
    """Go on with the run in this folder, or the runs of --seeds, as if it had never stopped. It has
    its options; --epochs, --patience, --devices, --distributed and --data may be given anew. A
    sweep goes on by its own command with the same --out."""
    quiet: bool = False
    """Print the name of the run's folder and nothing else; errors still go to stderr."""

    def run(self) -> int:
        if self.resume is not None:
            return self._resume(self.resume)
        options.check(self)
        check_effect(self)
        self._join_hosts(self.seeds)
        data = chosen.load_data(self)
        own = chosen.resolve(self, data)
        check_effect(own)
        model = chosen.describe(own, data)
        return self._train(of_options(model, own, data), run_data.shaped(data, model), None)

    def _resume(self, folder: Path) -> int:
        """Go on with the run in `folder`, with its options but for those that may be given anew."""
        anew = {name: getattr(self, name) for name in (*RESUMABLE, "quiet")}
        if self != Train(resume=folder, **anew):
            names = ", ".join(f"--{name}" for name in RESUMABLE)
            raise ValueError(f"resume must be given alone or with {names}: the run has its options")
        options.check(self)
        config = resuming.config_of(folder)
        before = config.training
        if self.epochs not in (None, before.epochs) and before.schedule != "constant":
            raise ValueError(
                f"epochs must be {before.epochs} or left out, as the run's learning rate follows a "
                f"schedule, got {self.epochs}"
            )
        if self.patience is not None and before.patience is None:
            raise ValueError(
                f"patience must be left out, as the run has no early stopping, got {self.patience}"
            )
        given = {name: getattr(self, name) for name in ("epochs", "patience", "devices")}
        given = {name: value for name, value in given.items() if value is not None}
        training = dataclasses.replace(before, **given)
        options.check(training)
        if (nothing := resuming.ended(folder, before, training)) is not None:
            say(nothing)
            _say_where(training, folder)
            return 0
        self._join_hosts(training.seeds)
        data, own = run_data.load_data(config, self.data), config.data
        if self.data is not None:
            own = dataclasses.replace(own, data=options.absolute(self.data))
        return self._train(dataclasses.replace(config, training=training, data=own), data, folder)

    def _train(self, config: Config, data: Dataset, resumed: Path | None) -> int:
        training = config.training
        vae, optimizer = description.build(config.model), runs.optimizer(config)
        if training.devices is not None:
            choose_devices(training.devices)
        train = experiments.train_seeds if training.seeds > 1 else experiments.train_one
        with contextlib.ExitStack() as stack:
            if resumed is not None:
                folder = resumed
            elif jax.process_index() > 0:  # one host writes and prints
                folder = self.out or Path("runs", "of-the-first-host")
            else:
                of_topics = topic_runs.is_topical(config.model)
                what = "topics" if of_topics else kind(config.model.latent)
                name = f"{what}-{data.name}-{time.strftime('%Y%m%d-%H%M%S')}"
                new = run_folder.new_run(self.out or Path("runs", name), another=self.out is None)
                folder = stack.enter_context(new)
            if jax.process_index() == 0:
                for sentence in data.said:
                    say(sentence)
                say(f"{data.name}: {_sentence(config, data)}")
                say(_plan(config, data))
                say("The results go to", folder)
            status = train(config, vae, data, optimizer, folder)
            if jax.process_index() == 0:
                _say_where(training, folder)
            return status

    def _join_hosts(self, seeds: int) -> None:
        if self.distributed is not None:
            if seeds > 1:
                raise ValueError(f"seeds must be 1 with distributed, got {seeds}")
            _join_hosts(self.distributed)


def _say_where(training: options.TrainingOptions, folder: Path) -> None:
    say_made("The run is in" if training.seeds == 1 else "The runs are in", folder)


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
    if (status := _front.say_answer(argv)) is not None:
        return status
    name, *rest = argv
    try:
        command = _command(name)
        if {"-h", "--help"} & {*rest}:
            say(help_pages.page(name, command))
            return 0
        if "" in rest:  # as of a variable of the shell that is not set; a path would be "."
            before = rest[rest.index("") - 1] if rest[0] else "an argument"
            raise ValueError(f"{before} must not be empty, got ''")
        given = _parsed(name, command, rest)
        with quiet(getattr(given, "quiet", False)), keep_compiled():
            return given.run()
    except SystemExit as stop:  # tyro's own: 2 for wrong usage
        return int(stop.code or 0)
    except BaseException as error:
        line = _failures.one_line(error)
        if line is None:
            raise
        say(line, error=True)
        return 2 if isinstance(error, wrong_usage.UsageError) else _failures.status(error)


def _command(name: str) -> Any:
    """The class of a command. It is imported here, so that no other command has to be."""
    module, _, own = _front.COMMANDS[name].where.partition(":")
    return getattr(importlib.import_module(module), own)


def _parsed(name: str, command: Any, arguments: list[str]) -> Any:
    """A command with its options; `train` with several values of one of them is a sweep."""
    sweep = sweeps.expand(arguments) if command is Train else None
    each = [arguments] if sweep is None else sweep[1]
    for own in each:
        wrong_usage.check(name, command, own)
    given = [tyro.cli(command, prog=f"jaxvae {name}", args=own) for own in each]
    return given[0] if sweep is None else sweeps.Sweep(sweep[0], tuple(given), _sentence)


def _plan(config: Config, data: Dataset) -> str:
    """What is trained, and on how many examples."""
    training = config.training
    examples, held_out = len_of(data.x_train), runs.held_out(training, len_of(data.x_train))
    what = f"{kind(config.model.latent).replace('_', '-')} VAE"
    if topic_runs.is_topical(config.model):
        what = f"model of {config.model.latent_dim} topics"
    plural = what.replace("model", "models") if "model" in what else f"{what}s"
    what = f"a {what}" if training.seeds == 1 else f"{training.seeds} {plural}"
    if training.seeds > 1:
        what += f" (seeds {training.seed} to {training.seed + training.seeds - 1})"
    kept = f"; {held_out:,} {_are(held_out)} held out for early stopping" if held_out else ""
    tested = len_of(data.x_test)
    return (
        f"Training {what} on {counted(examples - held_out, 'example')}{kept}"
        f"{',' if kept else ';'} {tested:,} {_are(tested)} for the test.{_missing_labels(data)}"
    )


def _missing_labels(data: Dataset) -> str:
    """How many examples have a label, where not all of them have."""
    if data.y_train is None or data.y_test is None:
        return ""
    parts = [(int((y >= 0).sum()), len(y)) for y in (data.y_train, data.y_test)]
    if all(known == count for known, count in parts):
        return ""
    train, test = (f"{known:,} of {count:,}" for known, count in parts)
    return f" Labels are known of {train} examples to train on, and of {test} for the test."


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


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
