"""Train a run into its folder, or many runs at once into folders of their own."""

import contextlib
import dataclasses
import operator
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils

from jaxvae._output import say
from jaxvae.apps import (
    beginnings,
    description,
    results,
    results_table,
    runs,
    seeds,
    topic_runs,
    topic_sweeps,
)
from jaxvae.apps.options import BATCH_SIZE, EPOCHS, TrainingOptions
from jaxvae.apps.run_config import Config
from jaxvae.apps.runs import Run
from jaxvae.data.dataset import Dataset
from jaxvae.model.vae import VAE
from jaxvae.training import run_folder, whole_files
from jaxvae.training.averaging import averaged_params
from jaxvae.training.checkpoints import checkpoints_in
from jaxvae.training.ensembles import fit_many
from jaxvae.training.history import EpochRecord, History, NonFiniteStepError
from jaxvae.training.loop import fit
from jaxvae.training.saves import Checkpoints
from jaxvae.training.state import TrainState


def _how(options: TrainingOptions, checkpoints: Path | None) -> dict[str, Any]:
    """The arguments that `fit` and `fit_many` are given alike; with the folder of checkpoints."""
    return {
        # Left open only in a config.json that was written by hand.
        "batch_size": options.batch_size or BATCH_SIZE,
        "epochs": options.epochs or EPOCHS,
        "patience": options.patience,
        "on_non_finite": options.on_non_finite,
        "checkpoints": checkpoints and Checkpoints(checkpoints, options.checkpoint_every),
        "progress": True,
    }


def _any_host(flag: bool) -> bool:
    """Whether it is so on any host: all have to stop after the same epoch."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def train_one(
    config: Config,
    vae: VAE,
    data: Dataset,
    optimizer: optax.GradientTransformation,
    folder: Path,
    *,
    show: bool = True,
) -> int:
    """Train a run, evaluate it and draw its pictures; a signal ends it after the epoch.

    Args:
      config: the options, resolved.
      vae: the model.
      data: the data.
      optimizer: the optimizer.
      folder: where the run goes; one that is there and has checkpoints goes on.
      show: print its results, and draw its pictures.

    Returns:
      The exit status: 0, or 128 plus the number of the signal.

    Raises:
      ValueError, TypeError: if `fit` refuses the run.
      OSError: if something cannot be written.
      NonFiniteStepError: if a step is not finite. The last good parameters are saved.
    """
    options = config.training
    training, held_out = runs.hold_out(config, data)
    first_host = jax.process_index() == 0
    metrics = folder / run_folder.METRICS
    if first_host and not (folder / run_folder.CONFIG).exists():
        runs.write_config(folder / run_folder.CONFIG, config)
    begun = False
    state = None
    if not checkpoints_in(folder / run_folder.CHECKPOINTS):  # else it goes on from there
        state = beginnings.state_of(config, vae, optimizer, training)

    def on_epoch(record: EpochRecord, state: TrainState) -> bool:
        nonlocal begun
        if first_host:
            if not begun:  # only here is it sure that no other process has the run
                runs.begin(folder, config)
                seeds.cut(metrics, record.epoch)
                begun = True
            with metrics.open("a") as file:
                file.write(results.line(record))
        return _any_host(bool(interrupted()))

    with _interruptible() as interrupted:
        try:
            state, history = fit(
                jax.random.key(options.seed),
                vae,
                training,
                optimizer=optimizer,
                state=state,
                devices=options.devices,
                validation=held_out,
                on_epoch=on_epoch,
                **_how(options, folder / run_folder.CHECKPOINTS),
            )
        except NonFiniteStepError as error:
            if first_host:
                runs.finish(folder, averaged_params(error.state))
            raise
        finally:  # each checkpoint has the lines before it on the disk; these are those after it
            if first_host and begun:
                with contextlib.suppress(OSError):
                    whole_files.sync(metrics)
        stopped = interrupted()
    params = averaged_params(state)
    if first_host:  # so they are there if the last phase fails
        run_folder.clean(folder)
        runs.finish(folder, params)
    before = params
    if not stopped:
        params = topic_runs.finished(config, vae, params, training, show=first_host)
    if not first_host:
        return 0
    if params is not before:
        runs.finish(folder, params)
    if stopped:
        done = len(history.epochs)
        say(f"Interrupted after epoch {done}. To go on:", f"jaxvae train --resume {folder}")
        return 128 + stopped
    run = Run(folder, config, vae, params, data)
    summary = _summarised(run, history, interrupted=False)
    if not show:
        return 0
    if run.topics is not None:
        say(f"{run.topics.table}")
    results_table.show(summary)
    results_table.show_notes({folder.name: summary})
    from jaxvae.apps import gallery  # Matplotlib is slow to import, and training needs none of it

    gallery.draw(run)
    return 0


def train_seeds(
    config: Config,
    vae: VAE,
    data: Dataset,
    optimizer: optax.GradientTransformation,
    folder: Path,
) -> int:
    """Train a run for each of several seeds, all at once.

    Each seed gets a folder that is a run of its own, whose history ends where early stopping ends
    it; the summary and the training curves above them hold the spread, the checkpoints all of them.

    Args:
      config: the options, resolved: `seeds` of them from `seed` on.
      vae: the model.
      data: the data.
      optimizer: the optimizer.
      folder: where the folders of the runs go; where it has checkpoints they go on.

    Returns:
      The exit status: 0, or 128 plus the number of the signal that ended it.

    Raises:
      ValueError, TypeError: if `fit_many` refuses the runs.
      OSError: if something cannot be written.
      NonFiniteStepError: if a step is not finite. The last good parameters are saved.
    """
    configs = seeds_of(config)
    run_folder.clean(folder)
    folders = [folder / f"{run_folder.SEED}{own.training.seed}" for own in configs]
    if not (folder / seeds.CONFIG).exists():
        runs.write_config(folder / seeds.CONFIG, config)
    lines = seeds.Lines(folders, results.line)

    def on_epoch(records: Sequence[EpochRecord]) -> None:
        if lines.add(records):  # only here is it sure that no other process has the runs
            runs.write_config(folder / seeds.CONFIG, config)
            for path, own in zip(folders, configs, strict=True):
                runs.begin(path, own)

    summaries, histories, stopped = train_many(
        configs,
        vae,
        data,
        optimizer,
        folders,
        devices=config.training.devices,
        checkpoint_dir=folder / run_folder.CHECKPOINTS,
        on_epoch=on_epoch,
    )
    spread: dict[str, Any] = {"seeds": len(summaries), "interrupted": bool(stopped)}
    for name in results.RESULTS:
        if all(summary.get(name) is not None for summary in summaries):
            values = np.array([summary[name] for summary in summaries])
            spread |= {f"{name}_mean": values.mean(), f"{name}_std": values.std(ddof=1)}
    spread |= topic_sweeps.stability_of(folders)
    whole_files.write_json(folder / run_folder.SUMMARY, spread)
    results_table.show(*summaries)
    if "stability" in spread:
        say(f"Stability of the topics from seed to seed: {spread['stability']:.4f}")
    results_table.show_notes({path.name: own for path, own in zip(folders, summaries, strict=True)})
    if stopped:
        done = max(len(history.epochs) for history in histories)
        say(f"Interrupted after epoch {done}. To go on:", f"jaxvae train --resume {folder}")
        return 128 + stopped
    draw_seeds(folder, vae, [history.epochs for history in histories])
    say("Each seed has a folder of its own. To draw its pictures:", f"jaxvae figures {folder}")
    return 0


def seeds_of(config: Config) -> list[Config]:
    """The runs of several seeds.

    Args:
      config: the options: `seeds` of them from `seed` on.

    Returns:
      What each of the runs is.
    """
    first = config.training
    own = [
        dataclasses.replace(first, seed=first.seed + member, seeds=1, devices=None)
        for member in range(first.seeds)
    ]
    return [dataclasses.replace(config, training=training) for training in own]


def train_many(
    configs: Sequence[Config],
    make: VAE | Callable[..., VAE],
    data: Dataset,
    optimizer: optax.GradientTransformation,
    folders: Sequence[Path],
    *,
    devices: int | None = None,
    hyperparams: Mapping[str, Sequence[float]] | None = None,
    checkpoint_dir: Path | None = None,
    on_epoch: Callable[[Sequence[EpochRecord]], None] | None = None,
) -> tuple[list[dict[str, Any]], tuple[History, ...], int]:
    """Train several runs by one program, each into a folder of its own, and evaluate them.

    Args:
      configs: what each of them is; they differ in the seed and in `hyperparams` alone.
      make: the model, or of `hyperparams` a function that makes it, as for `fit_many`.
      data: the data of all.
      optimizer: the optimizer of all.
      folders: where each of them goes.
      devices: over how many the runs are spread; None: one.
      hyperparams: as of `fit_many`.
      checkpoint_dir: where all are saved, and go on where it has checkpoints; None: nowhere.
      on_epoch: called with the records of each epoch.

    Returns:
      The summary of each, its history, and the number of the signal that ended them or 0.

    Raises:
      ValueError, TypeError: if `fit_many` refuses the runs.
      OSError: if something cannot be written.
      NonFiniteStepError: if a step is not finite. The last good parameters are saved.
    """
    options = configs[0].training
    for path in folders:
        path.mkdir(parents=True, exist_ok=True)

    def save(states: TrainState) -> list[Run]:
        params = averaged_params(states)
        made = []
        for i, (path, own) in enumerate(zip(folders, configs, strict=True)):
            one = jax.tree.map(operator.itemgetter(i), params)
            runs.write_config(path / run_folder.CONFIG, own)
            runs.finish(path, one)
            made.append(Run(path, own, description.build(own.model), one, data))
        return made

    def see(records: Sequence[EpochRecord], _: TrainState) -> bool:
        if on_epoch is not None:
            on_epoch(records)
        return bool(interrupted())

    def finished(run: Run) -> Run:
        params = topic_runs.finished(run.config, run.vae, run.params, training)
        if params is run.params:
            return run
        runs.finish(run.folder, params)
        return Run(run.folder, run.config, run.vae, params, data)

    with _interruptible() as interrupted:
        training, held_out = runs.hold_out(configs[0], data)
        state = None
        if checkpoint_dir is None or not checkpoints_in(checkpoint_dir):  # else it goes on there
            state = beginnings.states_of(configs, optimizer, training)
        try:
            states, histories = fit_many(
                jnp.stack([jax.random.key(own.training.seed) for own in configs]),
                make,
                training,
                optimizer=optimizer,
                hyperparams=hyperparams,
                state=state,
                devices=devices,
                validation=held_out,
                on_epoch=see,
                **_how(options, checkpoint_dir),
            )
        except NonFiniteStepError as error:
            save(error.state)
            raise
        stopped = interrupted()
    summaries = []
    made = save(states)
    for run, history in zip(made if stopped else map(finished, made), histories, strict=True):
        lines = "".join(map(results.line, history.epochs))
        whole_files.write_text(run.folder / run_folder.METRICS, lines)
        summaries.append(_summarised(run, history, bool(stopped)))
    return summaries, histories, stopped


def _summarised(run: Run, history: History, interrupted: bool) -> dict[str, Any]:
    """Write the summary of a run, and of topics their words."""
    summary = results.summary(run, history, interrupted)
    whole_files.write_json(run.folder / run_folder.SUMMARY, summary)
    if run.topics is not None:
        with whole_files.whole(run.folder / topic_runs.FILE) as new:
            run.topics.write(new)
    return summary


def draw_seeds(folder: Path, vae: VAE, histories: Sequence[Sequence[Any]]) -> None:
    """Draw the training curves of several seeds.

    Args:
      folder: the one above the folders of the runs.
      vae: their model.
      histories: the records of each. Where early stopping ended some of them before others, the
        curves have the epochs that all have.
    """
    from jaxvae.apps import gallery

    shared = min(map(len, histories))
    gallery.draw_seeds(folder, vae, [own[:shared] for own in histories])


@contextlib.contextmanager
def _interruptible() -> Iterator[Callable[[], int]]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop; a second ends the program at once.

    Gives a function that returns the signal's number, 0 before there was one.
    """
    asked = 0
    if threading.current_thread() is not threading.main_thread():
        yield lambda: asked
        return

    def ask(number: int, _: Any) -> None:
        nonlocal asked
        asked = number
        restore()
        say("\nStopping after this epoch; Ctrl-C again ends at once.", error=True)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        restore()
