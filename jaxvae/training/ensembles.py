"""`fit_many`: many seeds, or many values of a hyper-parameter, trained as one program."""

import functools
import operator
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
import optax

from jaxvae.model.vae import VAE, check_model
from jaxvae.numerics import checks
from jaxvae.training import parallel
from jaxvae.training.diagnosis import too_large
from jaxvae.training.epochs import epoch_function
from jaxvae.training.history import EpochRecord, History, Progress, epoch_record, non_finite
from jaxvae.training.programs import Program, checked_data, compile_ahead, stopping, trusts
from jaxvae.training.state import Metrics, TrainState, init_state
from jaxvae.training.updates import check_optimizer


def fit_many(
    keys: jax.Array,
    vae: VAE,
    x: Any,
    y: Any = None,
    *,
    weight: Any = None,
    batch_size: int,
    epochs: int,
    optimizer: optax.GradientTransformation | None = None,
    hyperparams: Mapping[str, Any] | None = None,
    devices: parallel.Devices = None,
    progress: bool = False,
    on_epoch: Callable[[tuple[EpochRecord, ...], TrainState], Any] | None = None,
) -> tuple[TrainState, tuple[History, ...]]:
    """Train a model many times at once, by `vmap` over keys: one program, compiled once.

    Args:
      keys: typed keys [M], one for each member: `jax.random.split(key, M)`. Each member is the
        run that `fit` makes with its key, to rounding.
      vae: the model.
      x: examples [N, D].
      y: integer labels [N], where the model's prior is made from labels.
      weight: examples' weights [N], as in `fit`.
      batch_size: examples a step of each member, at least 1; no more than N are used.
      epochs: how often each example is seen, at least 1.
      optimizer: any Optax transformation; Adam where None.
      hyperparams: values [M] by name, one for each member, as `{"learning_rate": [...]}`. The
        optimizer must then be made by `optax.inject_hyperparams` (where None it is, of
        `optax.adam`).
      devices: JAX devices, or how many, to spread the members over; one where None.
      progress: show a bar and a line an epoch, the loss as mean and standard deviation.
      on_epoch: called as `on_epoch(records, states)` after each epoch; training ends early when it
        returns True.

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
        "there call make_train_epoch", keys=keys, x=x, y=y, weight=weight, hyperparams=hyperparams
    )
    members = checks.typed_keys("keys", keys)
    check_model(vae)
    x, y, weight = checked_data(x, y, weight)
    batch_size = min(checks.positive_int("batch_size", batch_size), len(x))
    epochs = checks.positive_int("epochs", epochs)
    if optimizer is None:
        optimizer = optax.inject_hyperparams(optax.adam)(1e-3) if hyperparams else optax.adam(1e-3)
    check_optimizer(optimizer)
    chosen = parallel.choose_devices(1 if devices is None else devices)
    if jax.process_count() > 1:
        raise ValueError("fit_many trains on the devices of one host, got several hosts")
    fresh = jax.eval_shape(lambda keys: init_state(keys[0], vae, optimizer, x), keys)
    vae.check_data(fresh.params, x, y)
    trust = trusts(optimizer, fresh.params)
    values = _check_hyperparams(hyperparams or {}, fresh.opt_state, members)

    # Devices get members in equal numbers; the last member again where they do not divide.
    devices_used = chosen[: min(len(chosen), members)]
    share = -(-members // len(devices_used))
    rows = np.minimum(np.arange(share * len(devices_used)), members - 1)
    split = functools.partial(_split, devices=len(devices_used))
    keys = jax.jit(lambda keys: split(keys[rows]))(keys)
    states = jax.vmap(jax.vmap(lambda key: init_state(key, vae, optimizer, x)))(keys)
    if values:
        stored = states.opt_state.hyperparams
        given = {
            name: split(jax.device_put(value[rows].astype(stored[name].dtype)))
            for name, value in values.items()
        }
        opt_state = states.opt_state._replace(hyperparams={**stored, **given})
        states = states._replace(opt_state=opt_state)

    records: list[list[EpochRecord]] = [[] for _ in range(members)]
    with Progress(epochs, enabled=progress) as show, parallel.no_mesh():
        if warning := too_large(x):
            show.note(warning)
        show.note("compiling ...")
        started = time.perf_counter()
        keys, states = parallel.shard((keys, states), devices_used)
        data = parallel.replicate((x, y) if weight is None else (x, y, weight), devices_used)

        def compile_for(on_non_finite: str) -> Program:
            train = _train_epochs(
                vae, optimizer, batch_size, devices_used, on_non_finite, weight is not None
            )
            compiled = compile_ahead(train, keys, states, *data)

            def program(states: TrainState) -> tuple[TrainState, Metrics]:
                states, metrics = compiled(keys, states, *data)
                return states, jax.tree.map(_join, jax.device_get(metrics))

            return program

        program = stopping(compile_for, trust=trust)
        compile_seconds = time.perf_counter() - started
        show.note(f"compiled in {compile_seconds:.1f} s")
        for epoch in range(epochs):
            started = time.perf_counter()
            first_steps = jax.device_get(states.step).reshape(-1)
            states, metrics = program(states)
            seconds = time.perf_counter() - started
            for member in range(members):
                of_member = jax.tree.map(operator.itemgetter(member), metrics)
                if not of_member.finite.all():
                    raise non_finite(
                        of_member,
                        int(first_steps[member]),
                        epoch,
                        _members(states, members),
                        History(tuple(records[member]), compile_seconds),
                        vae=vae,
                        x=x,
                        member=member,
                    )
                records[member].append(epoch_record(epoch, of_member, seconds, len(x)))
            latest = tuple(record[-1] for record in records)
            show.epoch(*latest)
            if on_epoch is not None and on_epoch(latest, _members(states, members)):
                break
        histories = tuple(History(tuple(record), compile_seconds) for record in records)
        return _members(states, members), histories


@functools.lru_cache(maxsize=16)
def _train_epochs(
    vae: VAE,
    optimizer: optax.GradientTransformation,
    batch_size: int,
    devices: tuple[jax.Device, ...],
    on_non_finite: str,
    weighted: bool,
) -> Any:
    """An epoch of every member: by `pmap` over devices and `vmap` over the members of each."""
    in_axes = (0, 0, *[None] * (3 if weighted else 2))
    epoch = epoch_function(vae, optimizer, batch_size, on_non_finite=on_non_finite)
    return jax.pmap(
        jax.vmap(epoch, in_axes=in_axes),
        in_axes=in_axes,
        donate_argnums=() if on_non_finite == "trust" else 1,
        devices=devices,
        axis_name=parallel.AXIS,
    )


def _check_hyperparams(
    hyperparams: Mapping[str, Any], opt_state: Any, members: int
) -> dict[str, np.ndarray]:
    known = getattr(opt_state, "hyperparams", {})
    if hyperparams and not known:
        raise ValueError(
            "optimizer must be made by optax.inject_hyperparams where hyperparams are given"
        )
    checked = {}
    for name, values in hyperparams.items():
        checks.one_of("hyperparams", name, known)
        array = np.asarray(jax.device_get(values))
        checks.finite_array(f"hyperparams[{name!r}]", array)
        if array.shape != (members,):
            raise ValueError(
                f"hyperparams[{name!r}] must have the shape [{members}] of keys, got {array.shape}"
            )
        checked[name] = array
    return checked


def _split(leaf: jax.Array, *, devices: int) -> jax.Array:
    return leaf.reshape(devices, -1, *leaf.shape[1:])


def _join(leaf: Any) -> Any:
    return leaf.reshape(-1, *leaf.shape[2:])


def _members(states: TrainState, members: int) -> TrainState:
    """The states of the members alone, on the first device."""
    first = jax.devices()[0]
    return jax.tree.map(lambda leaf: jax.device_put(_join(leaf)[:members], first), states)
