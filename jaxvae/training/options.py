"""What `fit` and `fit_many` were given, checked."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from jaxvae.data import examples as data_forms
from jaxvae.data.batches import Batch
from jaxvae.numerics import checks
from jaxvae.training.saves import Checkpoints
from jaxvae.training.updates import check_optimizer


class Options(NamedTuple):
    """The arguments of `fit` that one run and many have in common, checked."""

    batch_size: int
    epochs: int
    held_out: Batch | None
    patience: int | None
    on_non_finite: str
    checkpoints: Checkpoints | None
    metrics: Callable[..., Any] | None
    keep_compiled: bool
    progress: bool
    on_epoch: Callable[..., Any] | None


def checked_options(
    batch_size: int,
    epochs: int,
    optimizer: optax.GradientTransformation,
    *,
    validation: Any,
    patience: int | None,
    on_non_finite: str,
    checkpoints: Checkpoints | None,
    metrics: Callable[..., Any] | None,
    keep_compiled: bool,
    progress: bool,
    on_epoch: Callable[..., Any] | None,
) -> Options:
    """The options of a run, each as `fit` says.

    Args:
      batch_size: examples a step.
      epochs: how many.
      optimizer: looked at, no more.
      validation: held-out examples.
      patience: epochs without a lower loss on them.
      on_non_finite: "raise" or "skip".
      checkpoints: where to save.
      metrics: the user's own.
      keep_compiled: whether what is compiled is kept on disk.
      progress: whether it is shown.
      on_epoch: called after each epoch.

    Returns:
      The options.

    Raises:
      ValueError, TypeError: if one is outside what is allowed; it is named.
    """
    batch_size = checks.positive_int("batch_size", batch_size)
    epochs = checks.positive_int("epochs", epochs)
    check_optimizer(optimizer)
    checks.one_of("on_non_finite", on_non_finite, ("raise", "skip"))
    if on_epoch is not None:
        checks.function("on_epoch", on_epoch, "record", "state")
    if metrics is not None:
        checks.function("metrics", metrics, "key", "vae", "state")
    return Options(
        batch_size,
        epochs,
        _held_out(validation, patience),
        patience,
        on_non_finite,
        checkpoints,
        metrics,
        checks.boolean("keep_compiled", keep_compiled),
        progress,
        on_epoch,
    )


def check_alike(held_out: Batch, trained: Batch) -> None:
    """Refuse held-out examples of another form than those that are trained on.

    Args:
      held_out: examples.
      trained: the first of the others.

    Raises:
      ValueError: the argument is named.
    """
    for field in ("x", "condition"):
        own, like = (
            jax.tree.map(lambda leaf: ("N", *np.shape(leaf)[1:]), getattr(batch, field))
            for batch in (held_out, trained)
        )
        if own != like:
            raise ValueError(
                f"validation {field} must have the shape of {field}, {_shown(like)}, "
                f"got {_shown(own)}"
            )


def _shown(shape: Any) -> str:
    return str(shape).replace("'", "")


def _held_out(validation: Any, patience: int | None) -> Batch | None:
    """The held-out examples, checked."""
    if patience is not None:
        checks.positive_int("patience", patience)
        if validation is None:
            raise ValueError("validation must be given where patience is, got None")
    if validation is None:
        return None
    if isinstance(validation, Batch):
        return data_forms.examples(validation, name="validation x")
    if not isinstance(validation, tuple) or len(validation) not in (2, 3):
        allowed = "(x, y, weight), a pair (x, y) or a jaxvae.Batch"
        if isinstance(validation, tuple):
            raise TypeError(f"validation must be {allowed}, got {len(validation)} values")
        raise TypeError(f"validation must be {allowed}, got {type(validation).__name__}")
    x, y, weight = (*validation, None)[:3]
    return data_forms.examples(x, y, weight=weight, name="validation x")
