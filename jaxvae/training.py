"""`fit`: the loop on the host that drives the compiled epochs."""

import contextlib
import functools
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from tqdm import tqdm

from jaxvae import _checks, parallel, streaming
from jaxvae.datasets import Batch
from jaxvae.models import VAE
from jaxvae.steps import Metrics, TrainState, chunk_function, init_state, make_train_epoch

MODEL = (VAE, "a jaxvae.VAE")
OPTIMIZER = (optax.GradientTransformation, "an optax.GradientTransformation")


class EpochRecord(NamedTuple):
    """One line of a run's history.

    Attributes:
      epoch: counted from 0 within the call of `fit`.
      loss: the mean over the epoch's examples, each before the update of its step.
      reconstruction: the same of the reconstruction term.
      kl: the same of the KL term, before its weight.
      seconds: wall time of the epoch, compilation not counted.
      images_per_second: examples by seconds.
      batch_losses: the loss of each step, float32 [steps].
    """

    epoch: int
    loss: float
    reconstruction: float
    kl: float
    seconds: float
    images_per_second: float
    batch_losses: np.ndarray


class History(NamedTuple):
    """What `fit` saw.

    Attributes:
      epochs: a record for each epoch.
      compile_seconds: the time that tracing and compiling took.
    """

    epochs: tuple[EpochRecord, ...]
    compile_seconds: float


class NonFiniteStepError(FloatingPointError):
    """A step's loss or gradient was not finite. Its update was not made.

    Attributes:
      step: which step, counted from 0 over the whole run.
      state: the state before that step; all its parameters are finite.
      history: the epochs before it.
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
      progress: show a bar and a line an epoch.
      on_epoch: called as `on_epoch(record, state)` after each epoch; training ends early when it
        returns True. The state it sees is donated to the next epoch: copy what must stay.

    Returns:
      The final state, and the history.

    Raises:
      ValueError, TypeError: before anything is compiled, if an argument is outside what is
        allowed or the data do not fit the model; the argument is named.
      NonFiniteStepError: if a step's loss or gradient is not finite. It holds the last good
        state.

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
    if state is None:
        state = init_state(key, vae, optimizer, data.example)
    elif _shapes(state) != _shapes(fresh):
        raise ValueError("state must be of this model and optimizer, got arrays of other shapes")
    if chosen is not None:
        key, state = parallel.replicate((key, state), chosen)

    records: list[EpochRecord] = []
    with Progress(epochs, enabled=progress and jax.process_index() == 0) as show:
        show.note("compiling ...")
        started = time.perf_counter()
        run_epoch = data.compile(key, vae, optimizer, state)
        compile_seconds = time.perf_counter() - started
        show.note(f"compiled in {compile_seconds:.1f} s")
        for epoch in range(epochs):
            started = time.perf_counter()
            first_step = int(state.step)
            state, metrics = run_epoch(state)
            seconds = time.perf_counter() - started
            seen = state if chosen is None else parallel.local_copy(state)
            if not metrics.finite.all():
                history = History(tuple(records), compile_seconds)
                raise non_finite(metrics, first_step, epoch, seen, history)
            records.append(epoch_record(epoch, metrics, seconds))
            show.epoch(records[-1])
            if on_epoch is not None and on_epoch(records[-1], seen):
                break
    return seen, History(tuple(records), compile_seconds)


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
    ) -> RunEpoch:
        before: tuple[Any, ...]
        if self.devices is None:
            before, data = (), jax.tree.map(jnp.asarray, (self.example, self.labels))
            train_epoch = _train_epoch(vae, optimizer, batch_size=self.batch_size)
        else:
            before = (parallel.shard(parallel.slots(self.devices), self.devices),)
            data = parallel.replicate((self.example, self.labels), self.devices)
            train_epoch = parallel.map_epoch(vae, optimizer, self.batch_size, self.devices)
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
            train_chunk = _train_chunk(vae, optimizer)
        else:
            train_chunk = parallel.map_chunk(vae, optimizer, self.devices)
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
                    if made < steps or not all_metrics[-1].finite.all():
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
def _train_chunk(vae: VAE, optimizer: optax.GradientTransformation) -> jax.stages.Wrapped:
    return jax.jit(chunk_function(vae, optimizer), donate_argnums=1)


def epoch_record(epoch: int, metrics: Metrics, seconds: float) -> EpochRecord:
    """The record of an epoch.

    Args:
      epoch: which.
      metrics: of its steps, [steps]; each batch counts by its true weight.
      seconds: wall time.

    Returns:
      The record.
    """
    weight = np.asarray(metrics.weight, np.float64)
    terms = (metrics.loss, metrics.reconstruction, metrics.kl)
    loss, reconstruction, kl = (float(np.average(term, weights=weight)) for term in terms)
    rate = float(weight.sum()) / seconds
    return EpochRecord(
        epoch, loss, reconstruction, kl, seconds, rate, batch_losses=np.asarray(metrics.loss)
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
        )
        if self._bar is not None:
            self._bar.update()
