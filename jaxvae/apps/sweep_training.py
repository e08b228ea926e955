"""Train the runs of a sweep: together where their compiled program is the same but for numbers."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import optax

from jaxvae._output import say
from jaxvae.apps import description, experiments, run_data, runs
from jaxvae.apps.description import Description
from jaxvae.apps.option_effects import FACE
from jaxvae.apps.run_config import Config
from jaxvae.data.dataset import Dataset
from jaxvae.model.vae import VAE
from jaxvae.training import run_folder, whole_files
from jaxvae.training.history import NonFiniteStepError

RATE = "learning_rate"
# What is a number inside the compiled program of many runs. What changes shapes is none.
TOGETHER = (
    RATE, "kl_weight", "category_kl_weight", "likelihood_scale", "smoothness",
    "total_concentration", "prior_concentration", "prior_variance",
)  # fmt: skip


class Member(NamedTuple):
    """One of the runs of a sweep, or its runs of several seeds.

    Attributes:
      name: of its folder.
      values: of the options that are swept.
      config: what it is, of all its seeds.
    """

    name: str
    values: tuple[float, ...]
    config: Config


class One(NamedTuple):
    """A run of one seed.

    Attributes:
      member: the name of the member that it is of.
      folder: where it lies.
      values: of the options that are swept.
      config: what it is.
    """

    member: str
    folder: Path
    values: tuple[float, ...]
    config: Config


def runs_of(folder: Path, members: Sequence[Member]) -> Iterator[One]:
    """The runs of one seed that a sweep is made of.

    Args:
      folder: of the sweep.
      members: of the sweep.

    Yields:
      Each run, those of a member after each other.
    """
    for member in members:
        path = folder / member.name
        if member.config.training.seeds == 1:
            yield One(member.name, path, member.values, member.config)
            continue
        for own in experiments.seeds_of(member.config):
            name = f"{run_folder.SEED}{own.training.seed}"
            yield One(member.name, path / name, member.values, own)


def groups_of(alone: Sequence[One], names: Sequence[str]) -> list[list[One]]:
    """The runs that are not finished, in groups that one compiled program trains.

    Args:
      alone: the runs of a sweep.
      names: of the options that are swept.

    Returns:
      The groups.
    """
    groups: list[tuple[Config, list[One]]] = []
    for run in alone:
        if _is_finished(run.folder):
            say("Finished before:", run.folder)
            continue
        common = _common(run.config, names)
        for key, group in groups:
            if key == common:
                group.append(run)
                break
        else:
            groups.append((common, [run]))
    return [group for _, group in groups]


def _is_finished(folder: Path) -> bool:
    summary = folder / run_folder.SUMMARY
    return summary.exists() and not whole_files.read_json(summary).get("interrupted")


def _common(config: Config, names: Sequence[str]) -> Config:
    """What the runs of one compiled program have in common."""
    model, training = config.model, dataclasses.replace(config.training, seed=0)
    for name in names:
        if name == RATE:
            training = dataclasses.replace(training, learning_rate=0.0)
        elif name in TOGETHER:
            model = _with(model, name, None)
    return dataclasses.replace(config, model=model, training=training)


def _with(model: Description, option: str, value: Any) -> Description:
    """A model with another value of an option."""
    part, field = FACE[option]
    own = dataclasses.replace(getattr(model, part), **{field: value})
    return dataclasses.replace(model, **{part: own})


@dataclass(frozen=True)
class _Make:
    """Makes a model of values of its options; equal to another of the same model."""

    model: Description
    names: tuple[str, ...]

    @property
    def __signature__(self) -> inspect.Signature:
        """Of the call: `fit_many` looks up which values it takes."""
        kind = inspect.Parameter.KEYWORD_ONLY
        return inspect.Signature([inspect.Parameter(name, kind) for name in self.names])

    def __call__(self, **values: Any) -> VAE:
        model = self.model
        for name, value in values.items():
            model = _with(model, name, value)
        return description.build(model)


def train(
    group: Sequence[One],
    names: Sequence[str],
    data: Dataset,
    *,
    devices: int | None,
    failed: Callable[[str, str], None],
) -> int:
    """Train runs of one program. A member that blows up is left out, the others trained without.

    Args:
      group: the runs.
      names: of the options that are swept.
      data: of the sweep.
      devices: over how many they are spread, or None.
      failed: called with the name of a member that blew up, and with what happened.

    Returns:
      The number of the signal that ended the training, or 0.

    Raises:
      ValueError, TypeError: if `fit` or `fit_many` refuses a run.
      OSError: if something cannot be written.
    """
    todo = list(group)
    while todo:
        together = " at once" if len(todo) > 1 else ""
        say(f"\nTraining{together}: {', '.join(_called(run) for run in todo)}")
        try:
            return _fit(todo, names, data, devices)
        except NonFiniteStepError as error:
            bad = todo[error.member or 0]
            # What follows is of the parameters that are kept, and long.
            what = str(error).removeprefix(f"member {error.member}, ").partition(";")[0]
            failed(bad.member, what)
            say(f"{_called(bad)} failed: {error}", error=True)
            todo = [run for run in todo if run.member != bad.member]
            if todo:
                say("The others are trained again without it.")
    return 0


def _called(run: One) -> str:
    """A run by the name of its member, and of its folder if that is the folder of a seed."""
    own = run.folder.name
    return own if own == run.member else f"{run.member}/{own}"


def _fit(group: Sequence[One], names: Sequence[str], data: Dataset, devices: int | None) -> int:
    """Train runs of one program."""
    first = group[0].config
    shaped = run_data.shaped(data, first.model)
    if len(group) == 1:
        folder = group[0].folder
        folder.mkdir(parents=True, exist_ok=True)
        vae, optimizer = description.build(first.model), runs.optimizer(first)
        status = experiments.train_one(first, vae, shaped, optimizer, folder, show=False)
        return status and status - 128
    hyperparams = {
        name: [run.values[i] for run in group] for i, name in enumerate(names) if name in TOGETHER
    }
    own = tuple(name for name in hyperparams if name != RATE)
    make: Any = _Make(first.model, own) if own else description.build(first.model)
    optimizer = runs.optimizer(first)
    if RATE in hyperparams:

        def adam(learning_rate: Any) -> optax.GradientTransformation:
            training = dataclasses.replace(first.training, learning_rate=learning_rate)
            return runs.optimizer(dataclasses.replace(first, training=training))

        optimizer = optax.inject_hyperparams(adam)(first.training.learning_rate)
    _, _, stopped = experiments.train_many(
        [run.config for run in group],
        make,
        shaped,
        optimizer,
        [run.folder for run in group],
        devices=devices,
        hyperparams=hyperparams or None,
    )
    return stopped
