"""`fit_many`: many seeds, or many values of a hyper-parameter, trained by one program."""

import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax

from jaxvae.data.batches import Batch
from jaxvae.model.vae import VAE, check_model
from jaxvae.numerics import checks
from jaxvae.training import compilation_cache
from jaxvae.training import devices as places
from jaxvae.training.history import EpochRecord, History
from jaxvae.training.layouts import ONE_DEVICE, SpreadMembers
from jaxvae.training.loop import run
from jaxvae.training.members import Concurrent, Many
from jaxvae.training.options import checked_options
from jaxvae.training.saves import Checkpoints, checkpoints_of
from jaxvae.training.state import TrainState


def fit_many(
    keys: jax.Array,
    make: VAE | Callable[..., VAE],
    x: Any,
    y: Any = None,
    *,
    weight: Any = None,
    condition: Any = None,
    mask: Any = None,
    batch_size: int,
    epochs: int,
    optimizer: optax.GradientTransformation | None = None,
    hyperparams: Mapping[str, Any] | None = None,
    state: TrainState | None = None,
    devices: places.Devices = None,
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
    on_epoch: Callable[[tuple[EpochRecord, ...], TrainState], Any] | None = None,
) -> tuple[TrainState, tuple[History, ...]]:
    """Train a model many times at once: one program, compiled once.

    On a CPU it is that of a run alone, called on as many threads as there are cores. On an
    accelerator, and over several devices, it is the same by `vmap`.

    Args:
      keys: typed keys [M], one for each member: `jax.random.split(key, M)`. Each member is the
        run that `fit` makes with its key: on a CPU without hyperparams to the bit, else to
        rounding.
      make: the model; or a function that returns it, its parameters among the names of
        `hyperparams`: it is called with each member's numbers on the host, and with traced values
        once in the program.
      x: examples, or a stream of batches, as in `fit`; all members see the same.
      y: integer labels [N], where the model's prior is made from labels.
      weight: examples' weights [N], as in `fit`.
      condition: as in `fit`.
      mask: as in `fit`.
      batch_size: examples a step of each member, at least 1; no more than N are used.
      epochs: how often each example is seen, at least 1.
      optimizer: any Optax transformation; Adam where None.
      hyperparams: values [M] by name, one for each member, as `{"learning_rate": [...]}`. Those
        that `make` does not take are the optimizer's, which must then be made by
        `optax.inject_hyperparams` (where None it is, of `optax.adam`).
      state: where to start, each array with a leading axis of M; fresh states where None. It may be
        donated. The optimizer's own hyperparams are put into it.
      devices: JAX devices, or how many, to spread the members over; one where None.
      validation: as in `fit`; the loss of each member.
      patience: as in `fit`, for each member: its records end there, and its state is the best one.
      on_non_finite: as in `fit`.
      checkpoints: as in `fit`; one folder holds all members.
      checkpoint_dir: as in `fit`.
      checkpoint_every: as in `fit`.
      keep: as in `fit`; the best checkpoint is that of the lowest mean over members.
      metrics: as in `fit`, called for each member with its key, its model and its state.
      keep_compiled: as in `fit`.
      progress: show a bar and a line an epoch, the loss as mean and standard deviation.
      on_epoch: called as `on_epoch(records, states)` after each epoch; training ends early when it
        returns True. The states it sees may be donated to the next epoch: copy what stays.

    Returns:
      The final states, each array with a leading axis of M: one member's are
      `jax.tree.map(lambda leaf: leaf[i], states)`. And a history for each member; its seconds are
      those of all members together.

    Raises:
      ValueError, TypeError: before anything is compiled, if an argument is outside what is
        allowed or the data do not fit the model; the argument is named.
      NonFiniteStepError: if a member's step is not finite. It names the member, and holds the
        states and the member's history.

    Example:
      >>> from jaxvae import datasets, dense_normal_network, normal_vae
      >>> x = datasets.load_digits().x_train[:128]
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=8))
      >>> keys = jax.random.split(jax.random.key(0), 3)
      >>> states, histories = fit_many(keys, vae, x, batch_size=64, epochs=2)
      >>> states.step.tolist(), len(histories), len(histories[0].epochs)
      ([4, 4, 4], 3, 2)
    """
    checks.on_host(
        "there call make_train_epoch",
        keys=keys,
        x=x,
        y=y,
        weight=weight,
        condition=condition,
        mask=mask,
        hyperparams=hyperparams,
        validation=validation,
    )
    members = checks.typed_keys("keys", keys)
    names = _names(make)
    if hyperparams is not None:
        checks.instance("hyperparams", hyperparams, Mapping, "a mapping {name: values}")
    given = {name: _values(name, own, members) for name, own in (hyperparams or {}).items()}
    for name, needed in names.items():
        if needed and name not in given:
            raise ValueError(f"hyperparams must hold {name!r}, which make takes, got {list(given)}")
    values = {name: given.pop(name) for name in names if name in given}
    if optimizer is None:
        optimizer = optax.inject_hyperparams(optax.adam)(1e-3) if given else optax.adam(1e-3)
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
    chosen = None if devices is None else places.choose_devices(devices)
    if jax.process_count() > 1:
        raise ValueError("fit_many trains on the devices of one host, got several hosts")
    models = _models(make, values, members)
    _check_optimizer(optimizer, given)
    # `vmap` makes large operations of small ones, which an accelerator needs. On two cores of a CPU
    # it took eight seeds 0.69 to 1.11 times the time of one after another; threads 0.39 to 0.69
    # times, since one small step leaves a core idle, and 0.99 where a step is large (width 1024,
    # batch 512). `benchmarks/scaling.py` measures both.
    on_cpu = all(device.platform == "cpu" for device in keys.devices())
    kind = Concurrent if on_cpu and chosen is None else Many
    layout = ONE_DEVICE if chosen is None else SpreadMembers(chosen[:members], members)
    who = kind(keys, make, models, optimizer, layout, values, given)
    state = None if state is None else who.with_hyperparams(state)
    with compilation_cache.keep_compiled(options.keep_compiled):
        return run(who, Batch(x, y, weight, condition=condition, mask=mask), options, state)


def _names(make: Any) -> dict[str, bool]:
    """The parameters of a function that makes the model, and whether it needs them; else none."""
    if isinstance(make, VAE):
        check_model(make)
        return {}
    if not callable(make):
        raise TypeError(f"make must be a jaxvae.VAE or a function that returns one, got {make!r}")
    parameters = inspect.signature(make).parameters
    if any(own.kind in (own.VAR_KEYWORD, own.VAR_POSITIONAL) for own in parameters.values()):
        raise TypeError("make must name each hyper-parameter that it takes, got one of * or **")
    return {name: own.default is own.empty for name, own in parameters.items()}


def _models(make: Any, values: Mapping[str, np.ndarray], members: int) -> list[VAE]:
    """Each member's model, of numbers: what a constructor refuses is refused here."""
    if isinstance(make, VAE):
        return [make] * members
    models = []
    for i in range(members):
        model = make(**{name: float(own[i]) for name, own in values.items()})
        if not isinstance(model, VAE):
            raise TypeError(f"make must return a jaxvae.VAE, got {type(model).__name__}")
        check_model(model)
        models.append(model)
    return models


def _values(name: str, values: Any, members: int) -> np.ndarray:
    array = checks.real_array(f"hyperparams[{name!r}]", values)
    checks.finite_array(f"hyperparams[{name!r}]", array)
    if array.shape != (members,):
        raise ValueError(
            f"hyperparams[{name!r}] must have the shape [{members}] of keys, got {array.shape}"
        )
    return array


def _check_optimizer(
    optimizer: optax.GradientTransformation, hyperparams: Mapping[str, Any]
) -> None:
    """Refuse values that the optimizer does not take."""
    if not hyperparams:
        return
    any_params = {"w": np.zeros(1, np.float32)}
    known = getattr(jax.eval_shape(optimizer.init, any_params), "hyperparams", {})
    if not known:
        raise ValueError(
            "optimizer must be made by optax.inject_hyperparams where hyperparams are given"
        )
    for name in hyperparams:
        checks.one_of("hyperparams", name, known)
