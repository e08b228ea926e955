"""`fit`: the loop on the host that drives the compiled epochs."""

import contextlib
import functools
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import multihost_utils
from tqdm import tqdm

from jaxvae import _checks, checkpoints, evaluation, parallel, streaming
from jaxvae.averaging import averaged_params
from jaxvae.datasets import Batch
from jaxvae.models import VAE
from jaxvae.steps import Metrics, TrainState, chunk_function, init_state, make_train_epoch

MODEL = (VAE, "a jaxvae.VAE")
OPTIMIZER = (optax.GradientTransformation, "an optax.GradientTransformation")


class EpochRecord(NamedTuple):
    """One line of a run's history.

    Attributes:
      epoch: counted from 0 within the call of `fit`, or within the run if it has checkpoints.
      loss: the mean over the epoch's examples, each before the update of its step.
      reconstruction: the same of the reconstruction term.
      kl: the same of the KL term, before its weight.
      seconds: wall time of the epoch, compilation not counted.
      images_per_second: examples by seconds.
      batch_losses: the loss of each step, float32 [steps].
      skipped: steps whose loss or gradient was not finite and whose update was left out; the
        means leave them out too.
      validation_loss: the loss on the held-out examples after the epoch; None without them.

    Example:
      >>> record = EpochRecord(0, 4.0, 3.0, 1.0, 0.5, 2874.0, np.array([5.0, 3.0], np.float32))
      >>> float(record.batch_losses.mean()), record.skipped
      (4.0, 0)
    """

    epoch: int
    loss: float
    reconstruction: float
    kl: float
    seconds: float
    images_per_second: float
    batch_losses: np.ndarray
    skipped: int = 0
    validation_loss: float | None = None


class History(NamedTuple):
    """What `fit` saw.

    Attributes:
      epochs: a record for each epoch.
      compile_seconds: the time that tracing and compiling took.

    Example:
      >>> record = EpochRecord(0, 4.0, 3.0, 1.0, 0.5, 2874.0, np.array([5.0, 3.0], np.float32))
      >>> [record.loss for record in History((record,), compile_seconds=2.0).epochs]
      [4.0]
    """

    epochs: tuple[EpochRecord, ...]
    compile_seconds: float


class NonFiniteStepError(FloatingPointError):
    """A step's loss or gradient was not finite. Its update was not made.

    Attributes:
      step: which step, counted from 0 over the whole run.
      state: the state before that step; all its parameters are finite.
      history: the epochs before it.

    Example:
      >>> from jaxvae import dense_normal_network, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> try:
      ...     fit(jax.random.key(0), vae, np.full((64, 64), 1e30), batch_size=32, epochs=1)
      ... except NonFiniteStepError as error:
      ...     print(error.step, int(error.state.step))
      0 0
    """

    def __init__(self, message: str, step: int, state: TrainState, history: History):
        super().__init__(message)
        self.step, self.state, self.history = step, state, history


def fit(
    key: jax.Array,
    vae: VAE,
    x: Any,
    y: Any = None,
    *,
    batch_size: int,
    epochs: int,
    optimizer: optax.GradientTransformation | None = None,
    state: TrainState | None = None,
    devices: parallel.Devices = None,
    validation: tuple[Any, Any] | None = None,
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
        that starts anew each epoch (tf.data, Grain, a generator function), each x [b, D], (x, y)
        or {"x": x, "y": y}, of any size b. Its order is kept: shuffle it yourself. Its first
        batch is read once more before training, for the shapes.
      y: integer labels [N], where the model's prior is made from labels.
      batch_size: examples a step, at least 1, over all devices; no more than N are used.
      epochs: how often each example is seen, at least 1.
      optimizer: any Optax transformation; `optax.adam(1e-3)` where None.
      state: where to start; a fresh state where None. It is donated. With the same key and
        optimizer, training goes on as if it had never stopped.
      devices: JAX devices, or how many, to split each batch over: the same run, to rounding. Where
        None, one; under several hosts, all. Each host then calls `fit` with the same arrays, or
        with an iterable of its own share of the rows.
      validation: held-out (x, y), y None where there are no labels; their loss, of the averaged
        parameters where the optimizer averages, is measured after each epoch.
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
        returns True. The state it sees is donated to the next epoch: copy what must stay.

    Returns:
      The final state, with patience the best one; and the history.

    Raises:
      ValueError, TypeError: before anything is compiled, if an argument is outside what is
        allowed, the data do not fit the model, or the checkpoints are of another run; the
        argument is named.
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
    _checks.typed_key("key", key)
    _checks.instance("vae", vae, *MODEL)
    batch_size = _checks.positive_int("batch_size", batch_size)
    epochs = _checks.positive_int("epochs", epochs)
    optimizer = optax.adam(1e-3) if optimizer is None else optimizer
    _checks.instance("optimizer", optimizer, *OPTIMIZER)
    _checks.one_of("on_non_finite", on_non_finite, ("raise", "skip"))
    if on_epoch is not None:
        _checks.function("on_epoch", on_epoch)
    held_out = _held_out(validation, patience)
    chosen = None
    if devices is not None or jax.process_count() > 1:
        chosen = parallel.choose_devices(devices)
    data: _Arrays | _Stream
    if streaming.is_stream(x):
        data = _Stream(x, y, batch_size, chosen)
    else:
        data = _Arrays(x, y, batch_size, chosen)
    fresh = jax.eval_shape(lambda key: init_state(key, vae, optimizer, data.example), key)
    vae.check_data(fresh.params, data.example, data.labels)
    if held_out is not None:
        vae.check_data(fresh.params, *held_out)
    if state is not None and _shapes(state) != _shapes(fresh):
        raise ValueError("state must be of this model and optimizer, got arrays of other shapes")

    records: list[EpochRecord] = []
    with (
        _Saves.of(checkpoint_dir, checkpoint_every, keep, key, data) as saves,
        Progress(epochs, enabled=progress and jax.process_index() == 0) as show,
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
        show.note("compiling ...")
        skip = on_non_finite == "skip"
        if chosen is None:
            run_key, carried = key, state
        else:
            run_key, carried = parallel.replicate((key, state), chosen)
        run_epoch = data.compile(run_key, vae, optimizer, carried, skip_non_finite=skip)
        compile_seconds = time.perf_counter() - started
        show.note(f"compiled in {compile_seconds:.1f} s")
        stop = False
        while not (stop or _is_over(records, epochs, patience)):
            started = time.perf_counter()
            first_step = int(carried.step)
            carried, metrics = run_epoch(carried)
            seconds = time.perf_counter() - started
            state = carried if chosen is None else parallel.local_copy(carried)
            if not (metrics.finite.any() if skip else metrics.finite.all()):
                history = History(tuple(records), compile_seconds)
                raise non_finite(metrics, first_step, len(records), state, history)
            record = epoch_record(len(records), metrics, seconds)
            if held_out is not None:
                loss = evaluation.evaluate(key, vae, averaged_params(state), *held_out).loss
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
      ValueError: if it is of another model or optimizer.

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
    validation: tuple[Any, Any] | None, patience: int | None
) -> tuple[np.ndarray, np.ndarray | None] | None:
    """The held-out examples and labels, checked."""
    if patience is not None:
        _checks.positive_int("patience", patience)
        if validation is None:
            raise ValueError("validation must be given where patience is, got None")
    if validation is None:
        return None
    if not isinstance(validation, tuple) or len(validation) != 2:
        raise TypeError(f"validation must be a pair (x, y), got {type(validation).__name__}")
    x = _checks.data_array("validation x", validation[0])
    y = validation[1]
    return x, None if y is None else _checks.label_array("validation y", y, len(x))


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


def _fingerprint(key: jax.Array, data: "_Arrays | _Stream") -> dict[str, Any]:
    """What has to be the same for a run to go on, by the argument that gives it."""
    prints: dict[str, Any] = {
        "key": [str(jax.random.key_impl(key)), np.asarray(jax.random.key_data(key)).tolist()],
        "batch_size": data.batch_size,
        "x": [data.example.shape[1]],
    }
    if isinstance(data, _Arrays):
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
        data: "_Arrays | _Stream",
    ) -> Iterator["_Saves"]:
        if every is not None:
            _checks.positive_int("checkpoint_every", every)
        _checks.positive_int("keep", keep)
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
            int(state.step),
            {"state": state, "best": best, "losses": losses},
            {"fingerprint": self._fingerprint, "epochs": epochs, "has_best": best is not None},
            score=records[-1].validation_loss,
        )


RunEpoch = Callable[[TrainState], tuple[TrainState, Metrics]]


class _Arrays:
    """Data that lie on the device: an epoch is one compiled call."""

    def __init__(self, x: Any, y: Any, batch_size: int, devices: tuple[jax.Device, ...] | None):
        self.example = _checks.data_array("x", x)
        self.labels = None if y is None else _checks.label_array("y", y, len(self.example))
        self.batch_size, self.devices = min(batch_size, len(self.example)), devices

    def compile(
        self,
        key: jax.Array,
        vae: VAE,
        optimizer: optax.GradientTransformation,
        state: TrainState,
        *,
        skip_non_finite: bool,
    ) -> RunEpoch:
        before: tuple[Any, ...]
        if self.devices is None:
            before, data = (), jax.tree.map(jnp.asarray, (self.example, self.labels))
            train_epoch = _train_epoch(
                vae, optimizer, batch_size=self.batch_size, skip_non_finite=skip_non_finite
            )
        else:
            before = (parallel.shard(parallel.slots(self.devices), self.devices),)
            data = parallel.replicate((self.example, self.labels), self.devices)
            train_epoch = parallel.map_epoch(
                vae, optimizer, self.batch_size, self.devices, skip_non_finite=skip_non_finite
            )
        compiled = train_epoch.lower(*before, key, state, *data).compile()

        def run_epoch(state: TrainState) -> tuple[TrainState, Metrics]:
            state, metrics = compiled(*before, key, state, *data)
            return state, jax.device_get(metrics)  # waits for the epoch, and reads it once

        return run_epoch


class _Stream:
    """Data that are read as they are needed: an epoch is a compiled call for each chunk."""

    def __init__(self, x: Any, y: Any, batch_size: int, devices: tuple[jax.Device, ...] | None):
        if y is not None:
            raise ValueError("y must be None where x gives batches: they hold the labels")
        rows = batch_size
        if devices is not None:
            rows, rest = divmod(batch_size * parallel.local_count(devices), len(devices))
            if rest and jax.process_count() > 1:
                raise ValueError(
                    f"batch_size must give each host whole rows, got {batch_size} "
                    f"for {parallel.local_count(devices)} of {len(devices)} devices"
                )
        self.source, self.rows, self.devices = x, rows, devices
        self.batch_size = batch_size
        for self.example, self.labels in streaming.read(x):
            break
        else:
            raise ValueError("x must give at least one batch, got none")

    def compile(
        self,
        key: jax.Array,
        vae: VAE,
        optimizer: optax.GradientTransformation,
        state: TrainState,
        *,
        skip_non_finite: bool,
    ) -> RunEpoch:
        width = self.example.shape[1]
        steps = streaming.chunk_steps(self.rows, width)
        empty = streaming.Chunk(
            Batch(
                np.zeros((steps, self.rows, width), np.float32),
                None if self.labels is None else np.zeros((steps, self.rows), np.int32),
                np.zeros((steps, self.rows), np.float32),
            ),
            0,
        )
        if self.devices is None:
            train_chunk = _train_chunk(vae, optimizer, skip_non_finite=skip_non_finite)
        else:
            train_chunk = parallel.map_chunk(
                vae, optimizer, self.devices, skip_non_finite=skip_non_finite
            )
        nothing = self._to_device(empty)
        compiled = train_chunk.lower(key, state, *nothing).compile()
        several = jax.process_count() > 1

        def run_epoch(state: TrainState) -> tuple[TrainState, Metrics]:
            all_metrics = []
            with contextlib.closing(
                streaming.prefetch(streaming.chunks(self.source, self.rows, steps), self._to_device)
            ) as ready:
                while True:
                    chunk = next(ready, None)
                    # A host whose data have ended takes part until every host's have.
                    if chunk is None and not several:
                        break
                    state, metrics, made = compiled(key, state, *(chunk or nothing))
                    metrics, made = jax.device_get((metrics, made))
                    all_metrics.append(Metrics(*(leaf[:made] for leaf in metrics)))
                    if made < steps or not (skip_non_finite or all_metrics[-1].finite.all()):
                        break
            if not sum(len(metrics.loss) for metrics in all_metrics):
                raise ValueError("x must give its batches again in each epoch, got none")
            return state, jax.tree.map(lambda *leaves: np.concatenate(leaves), *all_metrics)

        return run_epoch

    def _to_device(self, chunk: streaming.Chunk) -> tuple[Any, Any]:
        if self.devices is None:
            return jax.device_put((chunk.batches, np.int32(chunk.used)))
        local = parallel.local_count(self.devices)
        batches = parallel.split_rows(chunk.batches, local, axis=1)
        return parallel.shard((batches, np.full(local, chunk.used, np.int32)), self.devices)


# The same function for the same model, optimizer and batch size: JAX then finds what it compiled
# for it before, and a second call of `fit` on data of the same shape compiles nothing.
_train_epoch = functools.lru_cache(maxsize=16)(make_train_epoch)


@functools.lru_cache(maxsize=16)
def _train_chunk(
    vae: VAE, optimizer: optax.GradientTransformation, *, skip_non_finite: bool
) -> jax.stages.Wrapped:
    chunk = chunk_function(vae, optimizer, skip_non_finite=skip_non_finite)
    return jax.jit(chunk, donate_argnums=1)


def epoch_record(epoch: int, metrics: Metrics, seconds: float) -> EpochRecord:
    """The record of an epoch.

    Args:
      epoch: which.
      metrics: of its steps, [steps]; each batch counts by its true weight.
      seconds: wall time.

    Returns:
      The record.
    """
    weight, made = np.asarray(metrics.weight, np.float64), np.asarray(metrics.finite)
    loss, reconstruction, kl = (
        float(np.average(term[made], weights=weight[made])) if made.any() else float("nan")
        for term in (metrics.loss, metrics.reconstruction, metrics.kl)
    )
    return EpochRecord(
        epoch,
        loss,
        reconstruction,
        kl,
        seconds,
        images_per_second=float(weight.sum()) / seconds,
        batch_losses=np.asarray(metrics.loss),
        skipped=int((~made).sum()),
    )


def non_finite(
    metrics: Metrics,
    first_step: int,
    epoch: int,
    state: TrainState,
    history: History,
    *,
    member: int | None = None,
) -> NonFiniteStepError:
    """The error that an epoch calls for in which a step was not finite.

    Args:
      metrics: of its steps, [steps].
      first_step: the number of the first of them.
      epoch: which.
      state: the state before the step that was not finite.
      history: the epochs before.
      member: which run of several at once.

    Returns:
      The error, to be raised.
    """
    i = int(np.argmin(metrics.finite))
    values = {"reconstruction": metrics.reconstruction[i], "kl": metrics.kl[i]}
    bad = [f"{name} is {value}" for name, value in values.items() if not np.isfinite(value)]
    what = " and ".join(bad) or "the gradient is not finite"
    where = "" if member is None else f"member {member}, "
    return NonFiniteStepError(
        f"{where}step {first_step + i} (epoch {epoch}): {what}; the parameters are those before "
        "it. A smaller learning rate, or a likelihood that fits the data's range, may help.",
        first_step + i,
        state,
        history,
    )


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree)


class Progress:
    """A bar on stderr and a line an epoch on stdout, or nothing at all."""

    def __init__(self, epochs: int, *, enabled: bool):
        self._epochs, self._enabled = epochs, enabled
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        if self._enabled:
            # Where stderr is no terminal a bar would only litter the log: the lines say it all.
            quiet = not sys.stderr.isatty()
            self._bar = tqdm(total=self._epochs, unit="epoch", leave=False, disable=quiet)
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.close()

    def note(self, text: str) -> None:
        if self._enabled:
            tqdm.write(text, file=sys.stdout)
            sys.stdout.flush()

    def restored(self, records: list[EpochRecord]) -> None:
        """Say where the run goes on."""
        self.note(f"going on after epoch {len(records)}")
        if self._bar is not None:
            self._bar.update(len(records))

    def epoch(self, *members: EpochRecord) -> None:
        """The line of an epoch; of several runs at once the means, and the loss's spread."""
        width, record = len(str(self._epochs)), members[0]
        loss, reconstruction, kl = (
            np.array([getattr(member, term) for member in members])
            for term in ("loss", "reconstruction", "kl")
        )
        spread = f" ± {loss.std(ddof=1):.4f}" if len(members) > 1 else ""
        self.note(
            f"epoch {record.epoch + 1:{width}d}/{self._epochs}   "
            f"loss {loss.mean():9.4f}{spread}   reconstruction {reconstruction.mean():9.4f}   "
            f"kl {kl.mean():8.4f}   {record.seconds:6.2f} s   "
            f"{sum(member.images_per_second for member in members):9,.0f} images/s"
            + (f"   held out {record.validation_loss:9.4f}" if record.validation_loss else "")
            + (f"   {record.skipped} steps skipped" if record.skipped else "")
        )
        if self._bar is not None:
            self._bar.update()
