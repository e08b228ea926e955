"""A sweep: `jaxvae train` with several values of an option, a run for each of them in one folder.

Runs whose compiled program is the same but for numbers in it are trained together, by `fit_many`;
the others one after another. A run that is finished is not trained again, so that the command of a
sweep that was stopped goes on with it.
"""

import dataclasses
import itertools
import time
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxvae._output import counted, say, say_made
from jaxvae.apps import (
    chosen,
    compared,
    description,
    options,
    runs,
    sweep_results,
    sweep_training,
    topic_runs,
)
from jaxvae.apps.option_effects import check_effect
from jaxvae.apps.options import Options
from jaxvae.apps.run_config import Config, of_options, read_config
from jaxvae.apps.sweep_training import Member
from jaxvae.apps.wrong_usage import is_flag
from jaxvae.data.dataset import Dataset
from jaxvae.data.flat import len_of
from jaxvae.training import run_folder, whole_files
from jaxvae.training.devices import choose_devices

MOST_OPTIONS, MOST_RUNS = 2, 100
# Numbers that make no sweep, and why.
ONE_VALUE = {
    "seed": "--seeds N trains N seeds of each run, from --seed on",
    "seeds": "each run of a sweep has as many seeds as the others",
    "label_weight": "the runs of a sweep are trained on the same examples, of the same weights",
    "hold_out": "the runs of a sweep are compared on the same held-out examples",
    "words": "the runs of a sweep are compared on the same data",
    "devices": "it does not change what is learned",
    "checkpoint_every": "it does not change what is learned",
}
# What a sweep does not have.
ALONE = ("resume", "distributed", "checkpoint_every")


def expand(arguments: Sequence[str]) -> tuple[tuple[str, ...], list[list[str]]] | None:
    """Find a numeric option of `jaxvae train` that has several values.

    Args:
      arguments: those after `jaxvae train`.

    Returns:
      The names of such options, one or two, and the arguments of each run of the sweep, in which
      each option has one value. None where no option has several.

    Raises:
      ValueError: if an option may not have several values, or more than two have.

    Example:
      >>> expand(["--latent-dim", "2", "4", "--epochs", "9"])
      (('latent_dim',), [['--epochs', '9', '--latent-dim', '2'],
       ['--epochs', '9', '--latent-dim', '4']])
      >>> expand(["--latent-dim", "2", "--channels", "8", "16"]) is None
      True
    """
    numeric = _numeric()
    rest: list[str] = []
    swept: dict[str, list[str]] = {}
    place = 0
    while place < len(arguments):
        flag, end = arguments[place], place + 1
        name = flag.removeprefix("--").replace("-", "_") if flag.startswith("--") else ""
        while name in numeric and end < len(arguments) and not is_flag(arguments[end]):
            end += 1
        values = list(arguments[place + 1 : end])
        if len(values) < 2:
            rest += arguments[place:end]
        elif name in swept:
            raise ValueError(f"{name} must be given once, got {swept[name]} and {values}")
        else:
            swept[name] = values
        place = end
    if not swept:
        return None
    for name, why in ONE_VALUE.items():
        if name in swept:
            raise ValueError(f"{name} must be one number, got {' '.join(swept[name])}: {why}")
    if len(swept) > MOST_OPTIONS:
        raise ValueError(
            f"at most {MOST_OPTIONS} options may have several values, got {', '.join(swept)}"
        )
    flags = [f"--{name.replace('_', '-')}" for name in swept]
    return tuple(swept), [
        [*rest, *itertools.chain.from_iterable(zip(flags, values, strict=True))]
        for values in itertools.product(*swept.values())
    ]


def _numeric() -> set[str]:
    """The options that are one number, or one or None."""
    hints = typing.get_type_hints(Options)

    def kinds(hint: Any) -> set[Any]:
        is_union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        return set(typing.get_args(hint)) if is_union else {hint}

    return {name for name, hint in hints.items() if kinds(hint) <= {int, float, types.NoneType}}


@dataclass(frozen=True)
class Sweep:
    """A sweep as the command line has parsed it.

    `given` are the options of each run, of the class of `jaxvae train`; `sentence` says of a
    configuration and its data what the data are.
    """

    names: tuple[str, ...]
    given: tuple[Any, ...]
    sentence: Callable[[Config, Dataset], str]

    @property
    def quiet(self) -> bool:
        """Whether nothing but errors and the folder's name is printed."""
        return self.given[0].quiet

    def run(self) -> int:
        """Train the runs that are not finished, and say which is best.

        Returns:
          The exit status: 0; 1 where no run could be trained; 128 plus the number of the signal
          that ended it.

        Raises:
          ValueError, TypeError: if an option is out of range, has no effect or makes no sweep; or
            if the folder holds anything but this sweep.
          OSError: if something cannot be read or written.
        """
        first = self.given[0]
        for name in ALONE:
            if getattr(first, name) is not None:
                raise ValueError(f"{name} must be left out of a sweep, got {getattr(first, name)}")
        for own in self.given:
            options.check(own)
            check_effect(own)
        if (count := len(self.given) * first.seeds) > MOST_RUNS:
            raise ValueError(f"a sweep must have at most {MOST_RUNS} runs, got {count}")
        if first.devices is not None:
            choose_devices(first.devices)
        data = chosen.load_data(first)
        members = [self._member(own, data) for own in self.given]
        names = [member.name for member in members]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"the values of a sweep must differ, got {name} more than once")
        name = f"{'-'.join(self.names)}-{data.name}-{time.strftime('%Y%m%d-%H%M%S')}"
        out = Path("runs", name) if first.out is None else first.out
        if _is_sweep(out):
            _check_same(out, members)
            return self._train(members, data, out)
        with run_folder.new_run(out, another=first.out is None) as folder:
            return self._train(members, data, folder)

    def _member(self, own: Options, data: Dataset) -> Member:
        """One of the runs, all checks made."""
        values = tuple(getattr(own, name) for name in self.names)
        for name, value in zip(self.names, values, strict=True):
            if value is None:
                raise ValueError(f"{name} must be numbers where it has several values, got None")
        resolved = chosen.resolve(own, data)
        check_effect(resolved)
        model = chosen.describe(resolved, data)
        config = of_options(model, resolved, data)
        description.build(model)
        runs.optimizer(config)
        name = "_".join(f"{n}-{value}" for n, value in zip(self.names, values, strict=True))
        return Member(name, values, config)

    def _train(self, members: Sequence[Member], data: Dataset, folder: Path) -> int:
        first = members[0].config
        for text in data.said:
            say(text)
        say(f"{data.name}: {self.sentence(first, data)}")
        seeds, count = first.training.seeds, f"{len(members)} runs"
        if seeds > 1:
            count += f" of {seeds} seeds each"
        kept = runs.held_out(first.training, len_of(data.x_train))
        where = "They are compared on their topics and on the test data."
        if kept:
            where = f"They are compared on {counted(kept, 'training example')} held out."
        elif not topic_runs.is_topical(first.model):
            where = "No training example is held out, so that none is marked as the best."
        say(f"A sweep over {' and '.join(self.names)}: {count}. {where}")
        say("The results go to", folder)
        results = sweep_results.Results(folder, self.names, members)
        results.write()
        alone = list(sweep_training.runs_of(folder, members))
        for group in sweep_training.groups_of(alone, self.names):
            stopped = sweep_training.train(
                group,
                self.names,
                data,
                devices=first.training.devices,
                failed=results.failed,
            )
            results.write()
            if stopped:
                say("The sweep was stopped. To go on: the same command with", f"--out {folder}")
                return 128 + stopped
        results.finish(data)
        say_made("The sweep is in", folder)
        return 0 if results.any_finished else 1


def _is_sweep(folder: Path) -> bool:
    summary = folder / run_folder.SUMMARY
    return summary.exists() and compared.SWEEP in whole_files.read_json(summary)


def _check_same(folder: Path, members: Sequence[Member]) -> None:
    """Refuse a folder with a sweep whose runs have other options than these."""
    for run in sweep_training.runs_of(folder, members):
        path = run.folder / run_folder.CONFIG
        if path.exists() and not _is_same(before := read_config(path), run.config):
            was, now = compared.options_of(before), compared.options_of(run.config)
            other = [name for name in {**was, **now} if was.get(name) != now.get(name)]
            raise ValueError(
                f"out must be a new folder or one with the same sweep, but {path.parent} has other "
                f"options: {', '.join(other) or 'the data'}"
            )


def _is_same(a: Config, b: Config) -> bool:
    plain = [
        dataclasses.replace(c, training=dataclasses.replace(c.training, devices=None))
        for c in (a, b)
    ]
    return plain[0] == plain[1]
