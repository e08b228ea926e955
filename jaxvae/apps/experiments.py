"""Train a run into its folder, or a run for each of many seeds into folders of their own."""

import contextlib
import dataclasses
import operator
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils

from jaxvae._output import say
from jaxvae.apps import results, runs
from jaxvae.apps.run_config import Config
from jaxvae.apps.runs import Run
from jaxvae.data.batches import Batch
from jaxvae.data.dataset import Dataset
from jaxvae.model.vae import VAE
from jaxvae.training import run_folder, whole_files
from jaxvae.training.averaging import averaged_params
from jaxvae.training.ensembles import fit_many
from jaxvae.training.history import EpochRecord, NonFiniteStepError
from jaxvae.training.loop import fit
from jaxvae.training.state import TrainState


def _any_host(flag: bool) -> bool:
    """Whether it is so on any host: all have to stop after the same epoch."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def _fit(
    train: Callable[..., Any],
    key: jax.Array,
    config: Config,
    vae: VAE,
    data: Batch,
    optimizer: optax.GradientTransformation,
    on_epoch: Callable[..., bool],
    **options: Any,
) -> Any:
    """Call `fit` with a key, or `fit_many` with keys."""
    return train(
        key,
        vae,
        data,
        batch_size=config.training.batch_size,
        epochs=config.training.epochs,
        optimizer=optimizer,
        devices=config.training.devices,
        progress=True,
        on_epoch=on_epoch,
        **options,
    )


def train_one(
    config: Config,
    vae: VAE,
    data: Dataset,
    optimizer: optax.GradientTransformation,
    folder: Path,
) -> int:
    """Train a run, evaluate it and draw its pictures; a signal ends it after the epoch.

    Args:
      config: the options, resolved.
      vae: the model.
      data: the data.
      optimizer: the optimizer.
      folder: where the run goes; one that is there and has checkpoints goes on.

    Returns:
      The exit status: 0, or 128 plus the number of the signal.

    Raises:
      ValueError, TypeError: if `fit` refuses the run.
      OSError: if something cannot be written.
      NonFiniteStepError: if a step is not finite. The last good parameters are saved.
    """
    options = config.training
    training, held_out = runs.hold_out(options, data)
    first_host = jax.process_index() == 0
    metrics = folder / run_folder.METRICS
    if first_host and not (folder / run_folder.CONFIG).exists():
        runs.write_config(folder / run_folder.CONFIG, config)
    begun = False

    def on_epoch(record: EpochRecord, state: TrainState) -> bool:
        nonlocal begun
        if first_host:
            if not begun:  # only here is it sure that no other process has the run
                runs.begin(folder, config)
                _cut_metrics(metrics, record.epoch)
                begun = True
            with metrics.open("a") as file:
                file.write(results.line(record))
        return _any_host(bool(interrupted()))

    with _interruptible() as interrupted:
        try:
            state, history = _fit(
                fit,
                jax.random.key(options.seed),
                config,
                vae,
                training,
                optimizer,
                on_epoch,
                validation=held_out,
                patience=options.patience,
                on_non_finite=options.on_non_finite,
                checkpoint_dir=folder / run_folder.CHECKPOINTS,
                checkpoint_every=options.checkpoint_every,
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
    if not first_host:
        return 0
    params = averaged_params(state)
    run_folder.clean(folder)
    runs.finish(folder, params)
    if stopped:
        done = len(history.epochs)
        say(f"interrupted after epoch {done}; to go on: jaxvae train --resume {folder}")
        return 128 + stopped
    run = Run(folder, config, vae, params, data)
    summary = results.summary(run, history, interrupted=False)
    whole_files.write_json(folder / run_folder.SUMMARY, summary)
    results.print_results(summary)
    from jaxvae.apps import gallery  # Matplotlib is slow to import, and training needs none of it

    gallery.draw(run)
    return 0


def _cut_metrics(path: Path, epochs: int) -> None:
    """Keep the lines of so many epochs: a resumed run makes those since its checkpoint again."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole_files.write_text(path, "".join(lines[:epochs]))


def train_seeds(
    config: Config,
    vae: VAE,
    data: Dataset,
    optimizer: optax.GradientTransformation,
    folder: Path,
) -> int:
    """Train a run for each of several seeds, as one program.

    Each seed gets a folder that is a run of its own; the summary and the training curves above
    them hold the spread.

    Args:
      config: the options, resolved: `seeds` of them from `seed` on.
      vae: the model.
      data: the data.
      optimizer: the optimizer.
      folder: where the folders of the runs go.

    Returns:
      The exit status: 0, or 128 plus the number of the signal that ended it.

    Raises:
      ValueError, TypeError: if `fit_many` refuses the runs.
      OSError: if something cannot be written.
      NonFiniteStepError: if a step is not finite. The last good parameters are saved.
    """
    options = config.training
    own_options = [
        dataclasses.replace(options, seed=options.seed + member, seeds=1, devices=None)
        for member in range(options.seeds)
    ]
    configs = [dataclasses.replace(config, training=own) for own in own_options]
    folders = [folder / f"seed-{own.seed}" for own in own_options]
    for path in folders:
        path.mkdir()

    def save(states: TrainState) -> list[Run]:
        params = averaged_params(states)
        each = [jax.tree.map(operator.itemgetter(i), params) for i in range(len(folders))]
        for path, own, params in zip(folders, configs, each, strict=True):
            runs.write_config(path / run_folder.CONFIG, own)
            runs.finish(path, params)
        return [
            Run(path, own, vae, params, data)
            for path, own, params in zip(folders, configs, each, strict=True)
        ]

    with _interruptible() as interrupted:
        try:
            keys = jnp.stack([jax.random.key(own.seed) for own in own_options])
            whole, _ = runs.hold_out(options, data)
            states, histories = _fit(
                fit_many, keys, config, vae, whole, optimizer, lambda *_: bool(interrupted())
            )
        except NonFiniteStepError as error:
            save(error.state)
            raise
        stopped = interrupted()
    summaries = []
    for run, history in zip(save(states), histories, strict=True):
        lines = "".join(map(results.line, history.epochs))
        whole_files.write_text(run.folder / run_folder.METRICS, lines)
        summaries.append(results.summary(run, history, bool(stopped)))
        whole_files.write_json(run.folder / run_folder.SUMMARY, summaries[-1])
    spread: dict[str, Any] = {"seeds": len(summaries), "interrupted": bool(stopped)}
    for name in results.RESULTS:
        if summaries[0][name] is not None:
            values = np.array([summary[name] for summary in summaries])
            spread |= {f"{name}_mean": values.mean(), f"{name}_std": values.std(ddof=1)}
            say(f"{name:20s} {values.mean():10.4f} ± {values.std(ddof=1):.4f}")
    whole_files.write_json(folder / run_folder.SUMMARY, spread)
    from jaxvae.apps import gallery

    gallery.draw_seeds(folder, vae, [history.epochs for history in histories])
    say(f"a run for each seed, its pictures still to draw: jaxvae figures {folder}/seed-N")
    return 128 + stopped if stopped else 0


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
        say("\nstopping after this epoch; Ctrl-C again ends at once", error=True)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        restore()
