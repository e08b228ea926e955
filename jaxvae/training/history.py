"""What `fit` and `fit_many` saw: records, and the error of a step that is not finite."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxvae._door import door
from jaxvae._output import warn
from jaxvae.model.vae import VAE
from jaxvae.training.diagnosis import why_not_finite
from jaxvae.training.state import Metrics, TrainState


@door("history")
class EpochRecord(NamedTuple):
    """One line of a run's history.

    Attributes:
      epoch: counted from 0 within the call of `fit`, or within the run if it has checkpoints.
      loss: the mean over the epoch's examples, by their weights, each before the update of its
        step.
      reconstruction: the same of the reconstruction term.
      kl: the same of the KL term, before its weight.
      seconds: wall time of the epoch, compilation not counted.
      images_per_second: examples by seconds.
      batch_losses: the loss of each step, float32 [steps].
      skipped: steps whose loss or gradient was not finite and whose update was left out; the
        means leave them out too.
      validation_loss: the loss on the held-out examples after the epoch; None without them.
      more: {name: number}: what else the objective reports, its mean as that of the loss, and the
        user's own metrics.

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
    more: Mapping[str, float] = {}


@door("history")
class History(NamedTuple):
    """What `fit` saw.

    Attributes:
      epochs: a record for each epoch.
      compile_seconds: the time that tracing and compiling took, the initial state included.

    Example:
      >>> record = EpochRecord(0, 4.0, 3.0, 1.0, 0.5, 2874.0, np.array([5.0, 3.0], np.float32))
      >>> [record.loss for record in History((record,), compile_seconds=2.0).epochs]
      [4.0]
    """

    epochs: tuple[EpochRecord, ...]
    compile_seconds: float


@door("history")
class NonFiniteStepError(FloatingPointError):
    """A step's loss, gradient or update was not finite. Its update was not made.

    Attributes:
      step: which step, counted from 0 over the whole run.
      state: the state before that step; all its parameters are finite.
      history: the epochs before it.
      member: which run of several at once; None of one alone.

    Example:
      >>> import jax
      >>> from jaxvae import dense_normal_network, fit, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> try:
      ...     fit(jax.random.key(0), vae, np.full((64, 64), 1e30), batch_size=32, epochs=1)
      ... except NonFiniteStepError as error:
      ...     print(error.step, int(error.state.step))
      0 0
    """

    def __init__(
        self,
        message: str,
        step: int,
        state: TrainState,
        history: History,
        member: int | None = None,
    ):
        super().__init__(message)
        self.step, self.state, self.history, self.member = step, state, history, member

    def __reduce__(self) -> tuple[Any, ...]:
        # An exception is rebuilt from its message alone, unless it says what else it needs.
        own = str(self), self.step, self.state, self.history, self.member
        return type(self), own, vars(self)


def epoch_record(epoch: int, metrics: Metrics, seconds: float, examples: int) -> EpochRecord:
    """The record of an epoch.

    Args:
      epoch: which.
      metrics: of its steps, [steps]; each batch counts by its true weight.
      seconds: wall time.
      examples: how many, whatever they weigh.

    Returns:
      The record.
    """
    weight, made = np.asarray(metrics.weight, np.float64), np.asarray(metrics.finite)

    def mean(term: Any) -> float:
        return float(np.average(term[made], weights=weight[made])) if made.any() else float("nan")

    loss, reconstruction, kl = map(mean, (metrics.loss, metrics.reconstruction, metrics.kl))
    return EpochRecord(
        epoch,
        loss,
        reconstruction,
        kl,
        seconds,
        images_per_second=examples / seconds,
        batch_losses=np.asarray(metrics.loss),
        skipped=int((~made).sum()),
        more={name: mean(term) for name, term in metrics.more.items()},
    )


def with_held_out(record: EpochRecord, loss: float, member: int | None = None) -> EpochRecord:
    """A record with the loss on the held-out examples.

    Args:
      record: of the epoch.
      loss: in nats.
      member: which run of several at once.

    Returns:
      The record.

    Warns:
      UserWarning: if the loss is not finite; it stands in the record as it is, and is never the
        lowest.
    """
    if not math.isfinite(loss):
        of = "" if member is None else f" of member {member}"
        warn(f"the loss{of} on validation is {loss} after epoch {record.epoch}")
    return record._replace(validation_loss=loss)


def lowest(losses: Sequence[float | None]) -> float:
    """The lowest loss on the held-out examples so far.

    Args:
      losses: after each epoch; None where there were no such examples.

    Returns:
      The loss; infinity where none is known that is finite.

    Example:
      >>> lowest([None, 3.0, 2.0, float("nan")]), lowest([])
      (2.0, inf)
    """
    known = (loss for loss in losses if loss is not None and math.isfinite(loss))
    return min(known, default=float("inf"))


def stopped(losses: Sequence[float | None], patience: int | None) -> bool:
    """Whether early stopping has ended a run.

    Args:
      losses: on the held-out examples, after each epoch; None where there were none.
      patience: so many epochs in a row without a lower one end it; None: none do.

    Returns:
      Whether it has.

    Example:
      >>> stopped([2.0, 3.0], patience=2), stopped([2.0, 3.0, 2.5], patience=2)
      (False, True)
    """
    known = [loss for loss in losses if loss is not None]
    if patience is None or len(known) <= patience:
        return False
    return lowest(known) < lowest(known[-patience:])


def users_metrics(given: Any, record: EpochRecord) -> EpochRecord:
    """A record with the user's own metrics.

    Args:
      given: what the function returned that `fit` had as metrics.
      record: of the epoch.

    Returns:
      The record, the numbers in its `more`.

    Raises:
      ValueError, TypeError: if it is no mapping from names to numbers, or a name is taken.

    Warns:
      UserWarning: if a number is not finite; it stands in the record as it is.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"metrics must return {{name: number}}, got {type(given).__name__}")
    own = {}
    for name, value in given.items():
        if not isinstance(name, str):
            raise TypeError(f"metrics must return {{name: number}}, got the name {name!r}")
        if name in EpochRecord._fields:
            raise ValueError(f"metrics must not use the names of a record, got {name!r}")
        if name in record.more:
            raise ValueError(f"metrics must not use what the objective reports, got {name!r}")
        array = np.asarray(jax.device_get(value))
        if array.ndim or array.dtype.kind not in "biuf":
            raise ValueError(f"metrics must return numbers, got {value!r} for {name!r}")
        own[name] = float(array)
        if not np.isfinite(array):
            warn(f"metrics returned {own[name]} for {name!r} after epoch {record.epoch}")
    return record._replace(more={**record.more, **own})


def non_finite(
    metrics: Metrics,
    first_step: int,
    epoch: int,
    state: TrainState,
    history: History,
    *,
    vae: VAE,
    params: Any,
    x: Any,
    member: int | None = None,
) -> NonFiniteStepError:
    """The error that an epoch calls for in which a step was not finite.

    Args:
      metrics: of its steps, [steps].
      first_step: the number of the first of them.
      epoch: which.
      state: the state before the step that was not finite.
      history: the epochs before.
      vae: the model.
      params: its parameters, of the member alone.
      x: the examples among which the steps' were; looked at for what is wrong.
      member: which run of several at once.

    Returns:
      The error, to be raised.
    """
    i = int(np.argmin(metrics.finite))
    values = {"reconstruction": metrics.reconstruction[i], "kl": metrics.kl[i]}
    bad = [f"{name} is {value}" for name, value in values.items() if not np.isfinite(value)]
    what = " and ".join(bad) or "the gradient, or the optimizer's update, is not finite"
    step, where = first_step + i, "" if member is None else f"member {member}, "
    reason = why_not_finite(vae, params, x, step=step)
    return NonFiniteStepError(
        f"{where}step {step} (epoch {epoch}): {what}; the parameters are those before it. {reason}",
        step,
        state,
        history,
        member,
    )
