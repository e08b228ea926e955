"""Who is trained: one run, or many at once. The loop knows no more of them than is here."""

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae.data.batches import Batch
from jaxvae.data.examples import host_batches
from jaxvae.model import evaluation
from jaxvae.model.vae import VAE, for_labels
from jaxvae.model.values import Same
from jaxvae.training import devices as places
from jaxvae.training.averaging import averaged_params
from jaxvae.training.programs import model_of
from jaxvae.training.state import (
    Metrics,
    TrainState,
    fresh_params,
    init_opt_state,
    init_state,
    shapes_of_one,
)

HELD_OUT_BATCH = 1024  # as `evaluate` has it
MISSING = np.array([-1])  # labels of which some are missing


class One:
    """One run, its batches split over `split`.

    Attributes:
      members: how many; None here.
      models: each member's model, for use on the host.
      keys: each member's base key.
      make: of `train_program`.
    """

    members: int | None = None

    def __init__(
        self,
        key: jax.Array,
        vae: VAE,
        optimizer: optax.GradientTransformation,
        split: tuple[jax.Device, ...] | None,
    ):
        self.models, self.keys = [vae], [key]
        self.make: VAE | Same = vae
        self.optimizer, self.split = optimizer, split
        self.spread: tuple[jax.Device, ...] | None = None
        self.base: jax.Array = key
        self.swept: dict[str, list[float]] = {}

    def see(self, y: Any) -> None:
        """Train the form of the model that these labels need, of which some may be missing."""
        self.make = self._form(y)

    def _form(self, y: Any) -> VAE | Same:
        if isinstance(self.make, VAE):
            return for_labels(self.make, y)
        if y is None or not (y < 0).any():
            return self.make
        return Same(functools.partial(_for_missing, self.make.value))

    def one(self, first: Batch) -> TrainState:
        """A member's state before the first step, its shapes."""
        return jax.eval_shape(
            lambda key: init_state(key, self.models[0], self.optimizer, first), self.keys[0]
        )

    def shapes(self, first: Batch) -> TrainState:
        """All that is trained, its shapes."""
        return self.one(first)

    def begin(self, first: Batch) -> TrainState:
        """All that is trained, before the first step."""
        return init_state(self.base, self.models[0], self.optimizer, first)

    def place(self, state: TrainState) -> tuple[Any, TrainState, Any]:
        """Keys, state and values where the program wants them."""
        if self.split is None:
            return self.base, state, {}
        return *places.replicate((self.base, state), self.split), {}

    def local(self, state: TrainState) -> TrainState:
        """The state as the user sees it."""
        return state if self.split is None else places.local_copy(state)

    def metrics_of(self, metrics: Metrics, member: int) -> Metrics:
        """A member's metrics [steps]."""
        return metrics

    def state_of(self, state: TrainState, member: int) -> TrainState:
        """A member's state."""
        return state

    def losses(self, state: TrainState, held_out: Batch) -> list[float]:
        """Each member's loss on held-out examples."""
        params = averaged_params(state)
        return [evaluation.evaluate(self.base, self.models[0], params, held_out).loss]

    def best_of(self, best: TrainState | None, state: TrainState, better: list[bool]) -> TrainState:
        """The best state so far, copied: the state itself is donated."""
        return jax.tree.map(jnp.copy, state)


class Many(One):
    """Many runs as one program; spread over devices in equal numbers, the last one again where
    they do not divide.
    """

    def __init__(
        self,
        keys: jax.Array,
        make: VAE | Callable[..., VAE],
        models: list[VAE],
        optimizer: optax.GradientTransformation,
        spread: tuple[jax.Device, ...] | None,
        values: Mapping[str, np.ndarray],
        hyperparams: Mapping[str, np.ndarray],
    ):
        self.members, self.models = len(models), models
        self.base, self.keys = keys, list(keys)
        self.make: VAE | Same = make if isinstance(make, VAE) else Same(make)
        self.optimizer, self.split = optimizer, None
        self.spread = None if spread is None else spread[: min(len(spread), self.members)]
        self._values = {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}
        self._hyperparams = hyperparams
        self.swept = {name: value.tolist() for name, value in {**values, **hyperparams}.items()}
        count = 1 if self.spread is None else len(self.spread)
        share = -(-self.members // count)
        self._rows = np.minimum(np.arange(share * count), self.members - 1)

    def shapes(self, first: Batch) -> TrainState:
        return jax.eval_shape(self._fresh(first), self.base, self._values)

    def begin(self, first: Batch) -> TrainState:
        return self.with_hyperparams(self._fresh(first)(self.base, self._values))

    def with_hyperparams(self, states: TrainState) -> TrainState:
        """States whose optimizers have each member's own numbers."""
        if not self._hyperparams:
            return states
        stored = states.opt_state.hyperparams
        given = {
            name: jax.device_put(value.astype(stored[name].dtype))
            for name, value in self._hyperparams.items()
        }
        opt_state = states.opt_state._replace(hyperparams={**stored, **given})
        return states._replace(opt_state=opt_state)

    def _fresh(self, first: Batch) -> Callable[..., Any]:
        return _fresh_members(self.make, Same(self.optimizer), *shapes_of_one(first))

    def place(self, state: TrainState) -> tuple[Any, TrainState, Any]:
        tree = self.base, state, self._values
        if self.spread is None:
            return tree
        tree = jax.tree.map(
            functools.partial(_split, rows=self._rows, count=len(self.spread)), tree
        )
        return places.shard(tree, self.spread)

    def local(self, state: TrainState) -> TrainState:
        if self.spread is None:
            return state
        first = jax.devices()[0]
        return jax.tree.map(lambda leaf: jax.device_put(_join(leaf)[: self.members], first), state)

    def metrics_of(self, metrics: Metrics, member: int) -> Metrics:
        return jax.tree.map(operator.itemgetter(member), metrics)

    def state_of(self, state: TrainState, member: int) -> TrainState:
        return jax.tree.map(operator.itemgetter(member), state)

    def losses(self, state: TrainState, held_out: Batch) -> list[float]:
        params, totals = averaged_params(state), np.zeros((2, len(self.models)))
        program = _held_out_totals(self._form(held_out.y))
        for batch in host_batches(held_out, HELD_OUT_BATCH):
            found = program(self.base, self._values, params, jax.device_put(batch))
            totals += np.asarray(jax.device_get(found))
        return (totals[0] / totals[1]).tolist()

    def best_of(self, best: TrainState | None, state: TrainState, better: list[bool]) -> TrainState:
        if best is None:
            return jax.tree.map(jnp.copy, state)
        return _chosen(jnp.asarray(better), state, best)


def _for_missing(make: Callable[..., VAE], **values: Any) -> VAE:
    return for_labels(make(**values), MISSING)


@functools.lru_cache(maxsize=16)
def _fresh_members(make: VAE | Same, optimizer: Same, tree: Any, shapes: Any) -> Any:
    def fresh(key: jax.Array, values: Any) -> TrainState:
        params = fresh_params(key, model_of(make, values), tree, shapes)
        return TrainState(jnp.int32(0), params, init_opt_state(optimizer.value, params))

    return jax.jit(jax.vmap(fresh))


@functools.lru_cache(maxsize=16)
def _held_out_totals(make: VAE | Same) -> Any:
    def totals(key: jax.Array, values: Any, params: Any, batch: Batch) -> Any:
        loss, _ = model_of(make, values).loss(params, key, batch)
        total = jnp.sum(jnp.asarray(batch.weight))
        return loss * total, total

    return jax.jit(jax.vmap(totals, in_axes=(0, 0, 0, None)))


@jax.jit
def _chosen(better: jax.Array, state: TrainState, best: TrainState) -> TrainState:
    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        wide = better.reshape(better.shape + (1,) * (new.ndim - 1))
        return jnp.where(wide, new, old)

    return jax.tree.map(choose, state, best)


def _split(leaf: Any, *, rows: np.ndarray, count: int) -> jax.Array:
    leaf = jnp.asarray(leaf)[rows]
    return leaf.reshape(count, -1, *leaf.shape[1:])


def _join(leaf: Any) -> Any:
    return leaf.reshape(-1, *leaf.shape[2:])
