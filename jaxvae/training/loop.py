"""`fit`, and the loop on the host that drives the compiled epochs of one run or of many."""

import functools
import operator
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import optax

from jaxvae.data.batches import Batch
from jaxvae.model.given_params import check_present
from jaxvae.model.vae import VAE, check_model
from jaxvae.numerics import checks
from jaxvae.training import compilation_cache
from jaxvae.training import devices as places
from jaxvae.training.diagnosis import check_schedule, schedule_note, too_large
from jaxvae.training.history import (
    EpochRecord,
    History,
    epoch_record,
    lowest,
    non_finite,
    stopped,
    users_metrics,
    with_held_out,
)
from jaxvae.training.layouts import layout_of
from jaxvae.training.members import One
from jaxvae.training.options import Options, check_alike, checked_options
from jaxvae.training.placement import Placement, placement_of
from jaxvae.training.preparation import prepared
from jaxvae.training.programs import States, trusts
from jaxvae.training.progress import Progress
from jaxvae.training.saves import VALIDATION, Checkpoints, Saves, checkpoints_of, run_print
from jaxvae.training.sources import prints_of, source_of
from jaxvae.training.state import TrainState

# What is folded into the base key for the user's metrics; no step number reaches it.
METRICS = 0xFFFFFFFE


def fit(
    key: jax.Array,
    vae: VAE,
    x: Any,
    y: Any = None,
    *,
    weight: Any = None,
    condition: Any = None,
    mask: Any = None,
    batch_size: int,
    epochs: int,
    optimizer: optax.GradientTransformation | None = None,
    state: TrainState | None = None,
    devices: places.Devices | Placement = None,
    validation: tuple[Any, ...] | Batch | None = None,
    patience: int | None = None,
    on_non_finite: str = "raise",
    checkpoints: Checkpoints | None = None,
    checkpoint_dir: str | os.PathLike | None = None,
    checkpoint_every: int | None = None,
    keep: int = 3,
    metrics: Callable[..., Any] | None = None,
    keep_compiled: bool = False,
    progress: bool = False,
    on_epoch: Callable[[EpochRecord, TrainState], Any] | None = None,
) -> tuple[TrainState, History]:
    """Train a model.

    Args:
      key: the base key of the run, a typed one. The initial parameters, the order of the
        examples and all noise follow from it.
      vae: the model.
      x: examples [N, ...] of any rank: an array, a sparse matrix, an AnnData, a mapping or
        NamedTuple of arrays, or a `Batch` of all that there is. Or, for data larger than the
        device's memory, an iterable of batches that starts anew each epoch (tf.data, Grain, a
        generator function), each x [b, ...], (x, y), a mapping of some of "x", "y", "weight",
        "condition" and "mask", or a `Batch`, of any size b. Its order is kept: shuffle it
        yourself. Its first batch is read once more before training, for the shapes.
      y: integer labels [N], where the model's prior is made from labels; -1 where one is missing.
      weight: examples' weights [N], finite, at least 0 and not all 0; None weighs all alike. A
        batch's loss is the mean by its examples' weights, so that only their ratios matter: equal
        ones change nothing. In a batch, 2 counts as the same example twice; one of weight 0 is left
        out before batches are made.
      condition: what encoder and decoder see beside x [N, ...]; or a tree of such.
      mask: of x's shape, 1 where a value was seen.
      batch_size: examples a step, at least 1, over all devices; no more than N are used.
      epochs: how often each example is seen, at least 1.
      optimizer: any Optax transformation; `optax.adam(1e-3)` where None.
      state: where to start; a fresh state where None. It may be donated. With the same key and
        optimizer, training goes on as if it had never stopped.
      devices: JAX devices, or how many, to split each batch over: the same run, to rounding. Where
        None, one; under several hosts, all. Each host then calls `fit` with the same arrays, or
        with an iterable of its own share of the rows. A `parallel.Placement` splits the examples
        or the parameters too; parameters of `state` that are split by NamedShardings stay so.
      validation: held-out (x, y) or (x, y, weight), y None where there are no labels; or a `Batch`
        with conditions and masks. Their loss, of the averaged parameters where the optimizer
        averages, is measured after each epoch.
      patience: end after so many epochs in a row without a lower loss on the held-out examples,
        and return the state of the lowest.
      on_non_finite: "raise", or "skip": leave a step's update out where its loss or gradient is
        not finite, count it, and go on; an epoch of nothing else raises all the same.
      checkpoints: `Checkpoints(dir, every=None, keep=3)`: where to save the run and, if it holds
        one, where to go on: the run ends as if it had never stopped, bit for bit, and `epochs`
        counts from its beginning. A stream of your own has to give each epoch the batches that it
        gave then. Under several hosts all must see it.
      checkpoint_dir: the first of the three alone.
      checkpoint_every: the second.
      keep: the third.
      metrics: called as `metrics(key, vae, state) -> {name: number}` after each epoch, its key
        another one each time; the numbers go into the record's `more`.
      keep_compiled: keep on disk what is compiled, so that a script started again finds it: in the
        folder of the command line. Where JAX has a folder of its own, its settings stand.
      progress: show a bar and a line an epoch.
      on_epoch: called as `on_epoch(record, state)` after each epoch; training ends early when it
        returns True. The state it sees may be donated to the next epoch: copy what stays.

    Returns:
      The final state, with patience the best one; and the history.

    Raises:
      ValueError, TypeError: before anything is compiled, if an argument is outside what is
        allowed, the data do not fit the model, or the checkpoints are of a run whose key,
        batch size, data, model or optimizer differ; the argument is named.
      OSError: if a checkpoint cannot be written, or another process writes to checkpoint_dir.
      NonFiniteStepError: if a step's loss or gradient is not finite. It holds the last good
        state; the checkpoints before it stay.

    Example:
      >>> from jaxvae import datasets, dense_dirichlet_network, dirichlet_vae
      >>> data = datasets.load_digits()
      >>> vae = dirichlet_vae(dense_dirichlet_network(64, 10))
      >>> key = jax.random.key(0)
      >>> state, history = fit(key, vae, data.x_train, data.y_train, batch_size=64, epochs=2)
      >>> history.epochs[1].loss < history.epochs[0].loss
      True
    """
    checks.on_host(
        "there call make_train_epoch, or fit_many for many keys",
        key=key,
        x=x,
        y=y,
        weight=weight,
        condition=condition,
        mask=mask,
        state=state,
        validation=validation,
    )
    checks.typed_key("key", key)
    check_model(vae)
    optimizer = optax.adam(1e-3) if optimizer is None else optimizer
    options = checked_options(
        batch_size,
        epochs,
        optimizer,
        validation=validation,
        patience=patience,
        on_non_finite=on_non_finite,
        checkpoints=checkpoints_of(checkpoints, checkpoint_dir, checkpoint_every, keep),
        metrics=metrics,
        keep_compiled=keep_compiled,
        progress=progress,
        on_epoch=on_epoch,
    )
    with compilation_cache.keep_compiled(options.keep_compiled):
        who = One(key, vae, optimizer, layout_of(placement_of(devices, state)))
        data = Batch(x, y, weight, condition=condition, mask=mask)
        state, (history,) = run(who, data, options, state)
    return state, history


def run(
    who: One, data: Batch, options: Options, state: TrainState | None = None
) -> tuple[TrainState, tuple[History, ...]]:
    """Train one run or many: the loop of `fit` and of `fit_many`.

    Args:
      who: is trained.
      data: on what, as it was given.
      options: how.
      state: where to start, or None.

    Returns:
      The final or best state, and a history for each member.
    """
    epochs, patience, skip = options.epochs, options.patience, options.on_non_finite == "skip"
    source = source_of(data, options.batch_size, who.layout)
    if options.held_out is not None:
        check_alike(options.held_out, source.first)
    who.see(source.labels, source.first)
    params = who.one.params
    for checked in filter(None, (source.all, options.held_out)):
        who.models[0].check_data(params, checked)
    trust = who.layout.one_has_all and trusts(who.optimizer, params)  # it looks at all at once
    shapes = who.shapes()
    check_present("state", state)
    if state is not None and _shapes(state) != _shapes(shapes):
        raise ValueError("state must be of this model and optimizer, got arrays of other shapes")
    steps = source.steps(epochs)
    for own_model in who.models:
        check_schedule(own_model, steps)
    fingerprint = {}
    if options.checkpoints is not None:
        model = who.models[0] if isinstance(who.make, VAE) else tuple(who.models)
        swept = {"hyperparams": who.swept} if who.swept else {}
        held_out = None if options.held_out is None else prints_of(options.held_out)
        prints = source.prints() | {VALIDATION: held_out}
        fingerprint = swept | run_print(who.base, source.batch_size, prints, model, who.optimizer)

    members = range(who.members or 1)
    records: list[list[EpochRecord]] = [[] for _ in members]

    def histories(seconds: float) -> tuple[History, ...]:
        return tuple(History(tuple(own), seconds) for own in records)

    def live() -> list[bool]:
        return [len(own) < epochs and not stopped(_held_out(own), patience) for own in records]

    with (
        Saves.of(options.checkpoints, fingerprint, who.members) as saves,
        Progress(
            epochs, enabled=options.progress and jax.process_index() == 0, patience=patience
        ) as show,
        who.layout.context(),
    ):
        best = None
        if (restored := saves.restore(shapes)) is not None:
            if state is not None:
                folder = options.checkpoints and options.checkpoints.dir
                raise ValueError(f"state must be None where {folder} holds a run")
            state, best, records = restored
            if patience is not None and best is None:
                _check_best_known(records, options)
            source.skip(max(map(len, records)))
            show.restored(*records)
            if not any(live()):
                return _result(state, best, patience), histories(0.0)
        started = time.perf_counter()
        model = who.models[0]
        for note in (too_large(source.all, vae=model), schedule_note(model, steps)):
            if note:
                show.note(note)
        show.compiling()
        carried: States
        program, calls = prepared(who, source, state, skip=skip, trust=trust)
        keys, carried, values = zip(*calls, strict=True)
        del calls
        state = None  # the arrays of the state are not needed any more
        compile_seconds = time.perf_counter() - started
        show.compiled(compile_seconds)
        stop = False
        while not stop and any(alive := live()):
            started = time.perf_counter()
            first_steps = _steps(carried)
            epoch = functools.partial(program, who.needed(alive), keys, values)
            carried, metrics, examples = source.run_epoch(epoch, carried, skip=skip)
            seconds = time.perf_counter() - started
            metrics_of = [jax.tree.map(operator.itemgetter(i), metrics) for i in members]
            for i, own in enumerate(metrics_of):
                if alive[i] and not (own.finite.any() if skip else own.finite.all()):
                    raise non_finite(
                        own,
                        int(first_steps[i]),
                        len(records[i]),
                        who.local(carried),
                        histories(compile_seconds)[i],
                        vae=who.models[i],
                        params=who.each(carried)[i].params,
                        x=source.last_rows(),
                        member=None if who.members is None else i,
                    )
            losses = None
            if options.held_out is not None:
                losses = who.losses(carried, options.held_out)
            better = [False for _ in members]
            states = [] if options.metrics is None else who.each(carried)
            for i, own in enumerate(metrics_of):
                if not alive[i]:
                    continue
                record = epoch_record(len(records[i]), own, seconds, examples)
                if losses is not None:
                    better[i] = losses[i] < lowest(_held_out(records[i]))
                    record = with_held_out(record, losses[i], None if who.members is None else i)
                if options.metrics is not None:
                    own_key = jax.random.fold_in(who.keys[i], METRICS)
                    own_key = jax.random.fold_in(own_key, record.epoch)
                    found = options.metrics(own_key, who.models[i], states[i])
                    record = users_metrics(found, record)
                records[i].append(record)
            # What an earlier part of the run kept goes on being the best.
            if any(better) and (patience is not None or best is not None):
                best = who.best_of(best, who.local(carried), better)
            latest = tuple(own[-1] for own in records)
            show.epoch(*latest)
            if options.on_epoch is not None:
                seen = latest[0] if who.members is None else latest
                stop = _is_true(options.on_epoch(seen, who.local(carried)))
            state_now = functools.partial(who.local, carried)
            saves.save(state_now, best, records, last=stop or not any(live()))
        if steps is None and (note := schedule_note(model, int(_steps(carried).max()))):
            show.note(note)
    return _result(who.local(carried), best, patience), histories(compile_seconds)


def _check_best_known(records: list[list[EpochRecord]], options: Options) -> None:
    """Refuse patience where the state that it would return was not kept."""
    if any(lowest(_held_out(own)) < float("inf") for own in records):
        folder = options.checkpoints and options.checkpoints.dir
        raise ValueError(
            f"patience must be None, as when the run in {folder} was saved: the state of its "
            f"lowest held-out loss was not kept, got {options.patience}"
        )


def _result(last: TrainState, best: TrainState | None, patience: int | None) -> TrainState:
    """The state to return: without patience a run that goes on from its best goes to its end."""
    return last if patience is None or best is None else best


def _is_true(returned: Any) -> bool:
    """Whether it is True itself: a function for its effect may return any other thing."""
    found = np.asarray(returned)
    return found.dtype == bool and found.ndim == 0 and bool(found)


def _steps(states: States) -> np.ndarray:
    """How many steps each member has made, [members]."""
    return np.ravel(jax.device_get([state.step for state in states]))


def _held_out(records: list[EpochRecord]) -> list[float | None]:
    """The losses on the held-out examples."""
    return [record.validation_loss for record in records]


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (np.shape(leaf), jax.numpy.result_type(leaf)), tree)
