"""`fit`: the loop on the host that drives the compiled epochs."""

import contextlib
import functools
import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils

from jaxvae.data import streaming
from jaxvae.model import evaluation
from jaxvae.model.vae import VAE, check_model
from jaxvae.numerics import checks
from jaxvae.training import checkpoints, parallel
from jaxvae.training.averaging import averaged_params
from jaxvae.training.diagnosis import too_large
from jaxvae.training.history import (
    EpochRecord,
    History,
    Progress,
    epoch_record,
    non_finite,
)
from jaxvae.training.programs import Arrays, Stream, stopping, trusts
from jaxvae.training.state import TrainState, init_state
from jaxvae.training.updates import check_optimizer


def fit(
    key: jax.Array,
    vae: VAE,
    x: Any,
    y: Any = None,
    *,
    weight: Any = None,
    batch_size: int,
    epochs: int,
    optimizer: optax.GradientTransformation | None = None,
    state: TrainState | None = None,
    devices: parallel.Devices = None,
    validation: tuple[Any, ...] | None = None,
    patience: int | None = None,
    on_non_finite: str = "raise",
    checkpoint_dir: str | os.PathLike | None = None,
    checkpoint_every: int | None = None,
    keep: int = 3,
    progress: bool = False,
    on_epoch: Callable[[EpochRecord, TrainState], Any] | None = None,
) -> tuple[TrainState, History]:
    """Train a model.

    Args:
      key: the base key of the run, a typed one. The initial parameters, the order of the
        examples and all noise follow from it.
      vae: the model.
      x: examples [N, D]; or, for data larger than the device's memory, an iterable of batches
        that starts anew each epoch (tf.data, Grain, a generator function), each x [b, D], (x, y),
        {"x": x, "y": y, "weight": weight} or a `Batch` with or without weights, of any size b. Its
        order is kept: shuffle it yourself. Its first batch is read once more before training, for
        the shapes.
      y: integer labels [N], where the model's prior is made from labels.
      weight: examples' weights [N], finite, at least 0 and not all 0; None weighs all alike. A
        batch's loss is the mean by its examples' weights, so that only their ratios matter: equal
        ones change nothing. In a batch, 2 counts as the same example twice; one of weight 0 is left
        out before batches are made.
      batch_size: examples a step, at least 1, over all devices; no more than N are used.
      epochs: how often each example is seen, at least 1.
      optimizer: any Optax transformation; `optax.adam(1e-3)` where None.
      state: where to start; a fresh state where None. It may be donated. With the same key and
        optimizer, training goes on as if it had never stopped.
      devices: JAX devices, or how many, to split each batch over: the same run, to rounding. Where
        None, one; under several hosts, all. Each host then calls `fit` with the same arrays, or
        with an iterable of its own share of the rows.
      validation: held-out (x, y) or (x, y, weight), y None where there are no labels; their loss,
        of the averaged parameters where the optimizer averages, is measured after each epoch.
      patience: end after so many epochs in a row without a lower loss on the held-out examples,
        and return the state of the lowest.
      on_non_finite: "raise", or "skip": leave a step's update out where its loss or gradient is
        not finite, count it, and go on; an epoch of nothing else raises all the same.
      checkpoint_dir: where to save the run and, if it holds one, where to go on: the run ends as
        if it had never stopped, bit for bit, and `epochs` counts from its beginning. Under several
        hosts all must see it.
      checkpoint_every: epochs between saves; where None, as often as costs at most 3% of the time.
        The end of the run is always saved.
      keep: how many of the last checkpoints to keep, beside the one of the lowest validation loss.
      progress: show a bar and a line an epoch.
      on_epoch: called as `on_epoch(record, state)` after each epoch; training ends early when it
        returns True. The state it sees may be donated to the next epoch: copy what stays.

    Returns:
      The final state, with patience the best one; and the history.

    Raises:
      ValueError, TypeError: before anything is compiled, if an argument is outside what is
        allowed, the data do not fit the model, or the checkpoints are of a run whose key,
        batch size, data or shapes differ; the argument is named.
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
        state=state,
        validation=validation,
    )
    checks.typed_key("key", key)
    check_model(vae)
    batch_size = checks.positive_int("batch_size", batch_size)
    epochs = checks.positive_int("epochs", epochs)
    optimizer = optax.adam(1e-3) if optimizer is None else optimizer
    check_optimizer(optimizer)
    checks.one_of("on_non_finite", on_non_finite, ("raise", "skip"))
    if on_epoch is not None:
        checks.function("on_epoch", on_epoch)
    held_out = _held_out(validation, patience)
    chosen = None
    if devices is not None or jax.process_count() > 1:
        chosen = parallel.choose_devices(devices)
    data: Arrays | Stream
    if streaming.is_stream(x):
        data = Stream(x, y, batch_size, chosen, weight)
    else:
        data = Arrays(x, y, batch_size, chosen, weight)
    fresh = jax.eval_shape(lambda key: init_state(key, vae, optimizer, data.example), key)
    vae.check_data(fresh.params, data.example, data.labels)
    if held_out is not None:
        vae.check_data(fresh.params, *held_out[:2])
    trust = trusts(optimizer, fresh.params)
    if state is not None and _shapes(state) != _shapes(fresh):
        raise ValueError("state must be of this model and optimizer, got arrays of other shapes")

    records: list[EpochRecord] = []
    with (
        _Saves.of(checkpoint_dir, checkpoint_every, keep, key, data) as saves,
        Progress(epochs, enabled=progress and jax.process_index() == 0) as show,
        contextlib.nullcontext() if chosen is None else parallel.no_mesh(),
    ):
        best = None
        if (restored := saves.restore(fresh)) is not None:
            if state is not None:
                raise ValueError(f"state must be None where {checkpoint_dir} holds a run")
            state, best, records = restored
            show.restored(records)
        elif state is None:
            state = init_state(key, vae, optimizer, data.example)
        started = time.perf_counter()
        if _is_over(records, epochs, patience):
            return (state if best is None else best), History(tuple(records), 0.0)
        if warning := too_large(data.example):
            show.note(warning)
        show.note("compiling ...")
        if chosen is None:
            run_key, carried = key, state
        else:
            run_key, carried = parallel.replicate((key, state), chosen)
        compile_for = functools.partial(data.compile, run_key, vae, optimizer, carried)
        skip = on_non_finite == "skip"
        program = compile_for("skip") if skip else stopping(compile_for, trust=trust)
        compile_seconds = time.perf_counter() - started
        show.note(f"compiled in {compile_seconds:.1f} s")
        stop = False
        while not (stop or _is_over(records, epochs, patience)):
            started = time.perf_counter()
            first_step = int(jax.device_get(carried.step))
            carried, metrics, examples = data.run_epoch(program, carried, skip=skip)
            seconds = time.perf_counter() - started
            state = carried if chosen is None else parallel.local_copy(carried)
            if not (metrics.finite.any() if skip else metrics.finite.all()):
                history = History(tuple(records), compile_seconds)
                raise non_finite(
                    metrics,
                    first_step,
                    len(records),
                    state,
                    history,
                    vae=vae,
                    x=data.last_rows(),
                )
            record = epoch_record(len(records), metrics, seconds, examples)
            if held_out is not None:
                params, (*pair, held_out_weight) = averaged_params(state), held_out
                loss = evaluation.evaluate(key, vae, params, *pair, weight=held_out_weight).loss
                record = record._replace(validation_loss=loss)
                if patience is not None and loss < _lowest(records):
                    best = jax.tree.map(jnp.copy, state)  # the state itself is donated
            records.append(record)
            show.epoch(record)
            stop = on_epoch is not None and bool(on_epoch(record, state))
            saves.save(state, best, records, last=stop or _is_over(records, epochs, patience))
    return (state if best is None else best), History(tuple(records), compile_seconds)


def load_state(
    path: str | os.PathLike,
    vae: VAE,
    optimizer: optax.GradientTransformation,
    x: Any,
    *,
    best: bool = False,
) -> TrainState:
    """Read the state of a run from its checkpoints.

    Args:
      path: what `fit` had as checkpoint_dir, for the last checkpoint; or one of those in it.
      vae: the model.
      optimizer: the optimizer.
      x: examples [N, D]; only their width matters.
      best: the state of the lowest validation loss, of a run with patience.

    Returns:
      The state.

    Raises:
      FileNotFoundError: if there is no checkpoint.
      checkpoints.DamagedCheckpointError: if it, or each of them, is not what was saved.
      ValueError: if its arrays have not the shapes of this model and optimizer.

    Example:
      >>> import tempfile
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> folder, x = tempfile.mkdtemp(), np.zeros((64, 64))
      >>> key = jax.random.key(0)
      >>> _ = fit(key, vae, x, batch_size=32, epochs=3, checkpoint_dir=folder)
      >>> int(load_state(folder, vae, optax.adam(1e-3), x).step)
      6
    """
    checks.on_host("load the state before", x=x)
    path = Path(path)
    fresh = jax.eval_shape(lambda key: init_state(key, vae, optimizer, x), jax.random.key(0))
    is_one = path.name.isdecimal() and not checkpoints.checkpoints_in(path)
    read = checkpoints.read_checkpoint if is_one else checkpoints.read_last
    found = read(path, functools.partial(_saved_tree, fresh))
    if found is None:
        raise FileNotFoundError(f"path must hold a checkpoint; there is none in {path}")
    tree = found[0]
    return tree["best"] if best and tree["best"] is not None else tree["state"]


def _saved_tree(fresh: TrainState, beside: dict[str, Any]) -> dict[str, Any]:
    """What a checkpoint of `fit` holds."""
    best = fresh if beside["has_best"] else None
    return {"state": fresh, "best": best, "losses": checkpoints.ANY}


def _held_out(
    validation: tuple[Any, ...] | None, patience: int | None
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None] | None:
    """The held-out examples, labels and weights, checked."""
    if patience is not None:
        checks.positive_int("patience", patience)
        if validation is None:
            raise ValueError("validation must be given where patience is, got None")
    if validation is None:
        return None
    if not isinstance(validation, tuple) or len(validation) not in (2, 3):
        allowed = "(x, y, weight) or a pair (x, y)"
        if isinstance(validation, tuple):
            raise TypeError(f"validation must be {allowed}, got {len(validation)} values")
        raise TypeError(f"validation must be {allowed}, got {type(validation).__name__}")
    x, y, weight = (*validation, None)[:3]
    x = checks.data_array("validation x", x)
    y = None if y is None else checks.label_array("validation y", y, len(x))
    if weight is not None:
        weight = checks.weight_array("validation weight", weight, len(x))
    return x, y, weight


def _lowest(records: list[EpochRecord]) -> float:
    """The lowest loss on the held-out examples so far."""
    return min(
        (r.validation_loss for r in records if r.validation_loss is not None), default=np.inf
    )


def _is_over(records: list[EpochRecord], epochs: int, patience: int | None) -> bool:
    if len(records) >= epochs:
        return True
    if patience is None or len(records) <= patience:
        return False
    return _lowest(records) < _lowest(records[-patience:])


def _fingerprint(key: jax.Array, data: Arrays | Stream) -> dict[str, Any]:
    """What has to be the same for a run to go on, by the argument that gives it."""
    prints: dict[str, Any] = {
        "key": [str(jax.random.key_impl(key)), jax.device_get(jax.random.key_data(key)).tolist()],
        "batch_size": data.batch_size,
        "x": [data.example.shape[1]],
    }
    if isinstance(data, Arrays):
        # Said where there are none too: a run with weights is another. Old runs had none.
        prints["weight"] = None if data.weight is None else zlib.crc32(data.weight.data)
        arrays = {"x": data.example, "y": data.labels}
        for name, array in arrays.items():
            if array is not None:
                prints[name] = [*array.shape, zlib.crc32(np.ascontiguousarray(array).data)]
    return prints


class _Saves:
    """The checkpoints of a run; does nothing where it has none."""

    def __init__(
        self, folder: Path | None, every: int | None, keep: int, fingerprint: dict[str, Any]
    ):
        self._folder, self._every, self._fingerprint = folder, every, fingerprint
        self._writer = None
        if folder is not None and jax.process_index() == 0:
            self._writer = checkpoints.CheckpointWriter(folder, keep=keep)

    @classmethod
    @contextlib.contextmanager
    def of(
        cls,
        folder: str | os.PathLike | None,
        every: int | None,
        keep: int,
        key: jax.Array,
        data: Arrays | Stream,
    ) -> Iterator["_Saves"]:
        if every is not None:
            checks.positive_int("checkpoint_every", every)
        checks.positive_int("keep", keep)
        if folder is None:
            saves = cls(None, every, keep, {})
        else:
            saves = cls(Path(folder), every, keep, _fingerprint(key, data))
        try:
            yield saves
        finally:
            if saves._writer is not None:
                saves._writer.close()

    def restore(
        self, fresh: TrainState
    ) -> tuple[TrainState, TrainState | None, list[EpochRecord]] | None:
        """The state, the best one and the records of the run that the folder holds, if any."""
        if self._folder is None:
            return None

        def like(beside: dict[str, Any]) -> dict[str, Any]:
            for name, own in self._fingerprint.items():
                if (theirs := beside["fingerprint"].get(name)) != own:
                    values = f"{theirs}, got {own}" if name == "batch_size" else "got another"
                    raise ValueError(f"{name} must be that of the run in {self._folder}, {values}")
            return _saved_tree(fresh, beside)

        found = checkpoints.read_last(self._folder, like)
        if jax.process_count() > 1:
            step = np.array(-1 if found is None else int(found[0]["state"].step))
            steps = multihost_utils.process_allgather(step).tolist()
            if len(set(steps)) > 1:
                raise ValueError(
                    f"checkpoint_dir must be a folder that all hosts see, got {self._folder}, in "
                    f"which they found the steps {steps}"
                )
        if found is None:
            return None
        tree, beside = found
        lengths = [fields.pop("steps") for fields in beside["epochs"]]
        losses = np.split(tree["losses"], np.cumsum(lengths)[:-1])
        records = [
            EpochRecord(**fields, batch_losses=own)
            for fields, own in zip(beside["epochs"], losses, strict=True)
        ]
        return tree["state"], tree["best"], records

    def save(
        self,
        state: TrainState,
        best: TrainState | None,
        records: list[EpochRecord],
        *,
        last: bool,
    ) -> None:
        if self._writer is None:
            return
        if not last:
            if self._every is None and not self._writer.is_cheap():
                return
            if self._every is not None and len(records) % self._every:
                return
        epochs = [
            {
                **{k: v for k, v in record._asdict().items() if k != "batch_losses"},
                "steps": len(record.batch_losses),
            }
            for record in records
        ]
        losses = np.concatenate([record.batch_losses for record in records])
        self._writer.save(
            int(jax.device_get(state.step)),
            {"state": state, "best": best, "losses": losses},
            {"fingerprint": self._fingerprint, "epochs": epochs, "has_best": best is not None},
            score=records[-1].validation_loss,
        )


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree)
