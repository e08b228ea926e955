"""`fit`: the loop on the host that drives the compiled epochs."""

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

from jaxvae import _checks
from jaxvae.models import VAE
from jaxvae.steps import Metrics, TrainState, init_state, make_train_epoch


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
    progress: bool = False,
    on_epoch: Callable[[EpochRecord, TrainState], Any] | None = None,
) -> tuple[TrainState, History]:
    """Train a model.

    Args:
      key: the base key of the run, a typed one. The initial parameters, the order of the
        examples and all noise follow from it.
      vae: the model.
      x: examples [N, D].
      y: integer labels [N], where the model's prior is made from labels.
      batch_size: examples a step, at least 1; no more than N are used.
      epochs: how often each example is seen, at least 1.
      optimizer: any Optax transformation; `optax.adam(1e-3)` where None.
      state: where to start; a fresh state where None. It is donated. With the same key and
        optimizer, training goes on as if it had never stopped.
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
    if not isinstance(vae, VAE):
        raise TypeError(f"vae must be a jaxvae.VAE, got {vae!r}")
    x = _checks.data_array("x", x)
    y = None if y is None else _checks.label_array("y", y, len(x))
    batch_size = min(_checks.positive_int("batch_size", batch_size), len(x))
    epochs = _checks.positive_int("epochs", epochs)
    optimizer = optax.adam(1e-3) if optimizer is None else optimizer
    if not isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(f"optimizer must be an optax.GradientTransformation, got {optimizer!r}")
    fresh = jax.eval_shape(lambda key: init_state(key, vae, optimizer, x), key)
    vae.check_data(fresh.params, x, y)
    if state is None:
        state = init_state(key, vae, optimizer, x)
    elif _shapes(state) != _shapes(fresh):
        raise ValueError("state must be of this model and optimizer, got arrays of other shapes")

    records: list[EpochRecord] = []
    device_x, device_y = jnp.asarray(x), None if y is None else jnp.asarray(y)
    with _Progress(epochs, enabled=progress) as show:
        show.note("compiling ...")
        started = time.perf_counter()
        train_epoch = _train_epoch(vae, optimizer, batch_size=batch_size)
        compiled = train_epoch.lower(key, state, device_x, device_y).compile()
        compile_seconds = time.perf_counter() - started
        show.note(f"compiled in {compile_seconds:.1f} s")
        for epoch in range(epochs):
            started = time.perf_counter()
            first_step = int(state.step)
            state, metrics = compiled(key, state, device_x, device_y)
            metrics = jax.device_get(metrics)  # waits for the epoch, and reads it once
            seconds = time.perf_counter() - started
            if not metrics.finite.all():
                history = History(tuple(records), compile_seconds)
                raise _non_finite(metrics, first_step, epoch, state, history)
            loss, reconstruction, kl = _epoch_means(metrics)
            rate = len(x) / seconds
            records.append(
                EpochRecord(epoch, loss, reconstruction, kl, seconds, rate, metrics.loss)
            )
            show.epoch(records[-1])
            if on_epoch is not None and on_epoch(records[-1], state):
                break
    return state, History(tuple(records), compile_seconds)


# The same function for the same model, optimizer and batch size: JAX then finds what it compiled
# for it before, and a second call of `fit` on data of the same shape compiles nothing.
_train_epoch = functools.lru_cache(maxsize=16)(make_train_epoch)


def _epoch_means(metrics: Metrics) -> list[float]:
    """loss, reconstruction and kl over the epoch's examples, each batch by its true weight."""
    weight = metrics.weight.astype(np.float64)
    terms = (metrics.loss, metrics.reconstruction, metrics.kl)
    return [float(np.average(term, weights=weight)) for term in terms]


def _non_finite(
    metrics: Metrics, first_step: int, epoch: int, state: TrainState, history: History
) -> NonFiniteStepError:
    i = int(np.argmin(metrics.finite))
    values = {"reconstruction": metrics.reconstruction[i], "kl": metrics.kl[i]}
    bad = [f"{name} is {value}" for name, value in values.items() if not np.isfinite(value)]
    what = " and ".join(bad) or "the gradient is not finite"
    return NonFiniteStepError(
        f"step {first_step + i} (epoch {epoch}): {what}; the parameters are those before it. "
        "A smaller learning rate, or a likelihood that fits the data's range, may help.",
        first_step + i,
        state,
        history,
    )


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), tree)


class _Progress:
    """A bar on stderr and a line an epoch on stdout, or nothing at all."""

    def __init__(self, epochs: int, *, enabled: bool):
        self._epochs, self._enabled = epochs, enabled
        self._bar: Any = None

    def __enter__(self) -> "_Progress":
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

    def epoch(self, record: EpochRecord) -> None:
        width = len(str(self._epochs))
        self.note(
            f"epoch {record.epoch + 1:{width}d}/{self._epochs}   loss {record.loss:9.4f}   "
            f"reconstruction {record.reconstruction:9.4f}   kl {record.kl:8.4f}   "
            f"{record.seconds:6.2f} s   {record.images_per_second:9,.0f} images/s"
        )
        if self._bar is not None:
            self._bar.update()
