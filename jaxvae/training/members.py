"""Who is trained: one run, or many at once. The loop knows no more of them than is here."""

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae._collector import uncollected
from jaxvae.data.batches import Batch
from jaxvae.data.examples import host_batches
from jaxvae.model import evaluation
from jaxvae.model.vae import VAE, for_labels
from jaxvae.model.values import Same
from jaxvae.numerics import compiled
from jaxvae.training.averaging import averaged_params
from jaxvae.training.layouts import Call, Layout
from jaxvae.training.programs import States, at_once, compile_ahead
from jaxvae.training.state import TrainState, begin, compiler_of_begin, init_state

HELD_OUT_BATCH = 1024  # as `evaluate` has it
MISSING = np.array([-1])  # labels of which some are missing


class One:
    """One run.

    Attributes:
      members: how many; None here.
      models: each member's model, for use on the host.
      keys: each member's base key.
      make: of `train_program`.
      one: a member's state before the first step, its shapes; known from `see` on.
      mapped: whether one call of the program trains all members.
      layout: where the run lies.
    """

    members: int | None = None
    mapped = False
    one: TrainState

    def __init__(
        self,
        key: jax.Array,
        vae: VAE,
        optimizer: optax.GradientTransformation,
        layout: Layout,
    ):
        self.models, self.keys = [vae], [key]
        self.make: VAE | Same = vae
        self.optimizer, self.layout = optimizer, layout
        self.base: jax.Array = key
        self.swept: dict[str, list[float]] = {}

    @uncollected()
    def see(self, y: Any, first: Batch) -> None:
        """Train the form of the model that these data need: labels, of which some may be missing,
        and an example.
        """
        self.make = self._form(y)
        self.one = jax.eval_shape(
            lambda key: init_state(key, self.models[0], self.optimizer, first), self.keys[0]
        )
        self.layout = self.layout.of_state(self.one)

    def _form(self, y: Any) -> VAE | Same:
        if isinstance(self.make, VAE):
            return for_labels(self.make, y)
        if y is None or not (y < 0).any():
            return self.make
        return Same(functools.partial(_for_missing, self.make.value))

    def shapes(self) -> TrainState:
        """All that is trained, its shapes as they lie."""
        return self.layout.like(self.one)

    def like(self) -> Call | None:
        """What a call of the program begins with, as far as the compiler asks, where there is no
        state; None where it has to know on which devices that lies.
        """
        return (self.base, self.one, {}) if self.layout.by_itself else None

    def compiler_of_calls(self, first: Batch) -> Callable[[], None]:
        """What compiles, in any thread, what `calls` needs where there is no state."""
        if not self.layout.one_has_all:  # the state is made in another way then
            return lambda: None
        return compiler_of_begin(self.base, self.models[0], {}, self.optimizer, first)

    def calls(self, state: TrainState | None, first: Batch) -> list[Call]:
        """What each call of the program begins with, on its devices; from the first step on where
        there is no state.
        """
        if state is None:
            vae, optimizer = self.models[0], self.optimizer
            state = self.layout.made(lambda key: init_state(key, vae, optimizer, first), self.base)
        return [self.layout.call((self.base, state, {}))]

    def needed(self, alive: list[bool]) -> list[bool]:
        """Of each call, whether it still trains a member."""
        return [any(alive)]

    def local(self, states: States) -> TrainState:
        """The calls' states as the user sees them."""
        return self.layout.local(states[0])

    def each(self, states: States) -> States:
        """Each member's state."""
        return [self.local(states)]

    def losses(self, states: States, held_out: Batch) -> list[float]:
        """Each member's loss on held-out examples."""
        vae, params = for_labels(self.models[0], held_out.y), averaged_params(self.local(states))
        means = evaluation.mean_losses(self.base, vae, params, held_out, HELD_OUT_BATCH)
        return [means["loss"]]

    def best_of(self, best: TrainState | None, state: TrainState, better: list[bool]) -> TrainState:
        """The best state so far, copied: the state itself is donated."""
        return jax.tree.map(jnp.copy, state)


class Many(One):
    """Many runs as one call, by `vmap`."""

    mapped = True

    def __init__(
        self,
        keys: jax.Array,
        make: VAE | Callable[..., VAE],
        models: list[VAE],
        optimizer: optax.GradientTransformation,
        layout: Layout,
        values: Mapping[str, np.ndarray],
        hyperparams: Mapping[str, np.ndarray],
    ):
        self.members, self.models = len(models), models
        self.base, self.keys = keys, list(keys)
        self.make: VAE | Same = make if isinstance(make, VAE) else Same(make)
        self.optimizer, self.layout = optimizer, layout
        self._values = {name: jnp.asarray(value, jnp.float32) for name, value in values.items()}
        self._own_values = _apart(self._values, self.members)
        self._hyperparams = hyperparams
        self.swept = {name: value.tolist() for name, value in {**values, **hyperparams}.items()}

    def shapes(self) -> TrainState:
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((len(self.models), *leaf.shape), leaf.dtype),
            self.one,
        )

    def like(self) -> Call | None:
        return None

    def compiler_of_calls(self, first: Batch) -> Callable[[], None]:
        key, values = self.keys[0], self._own_values[0]
        return compiler_of_begin(key, self.make, values, self.optimizer, first)

    def calls(self, state: TrainState | None, first: Batch) -> list[Call]:
        state = _stacked(self._fresh(first)) if state is None else state
        return [self.layout.call((self.base, state, self._values))]

    def with_hyperparams(self, state: TrainState, member: Any = ...) -> TrainState:
        """States whose optimizers have each member's own numbers; or one member's state."""
        if not self._hyperparams:
            return state
        stored = state.opt_state.hyperparams
        given = {
            name: jax.device_put(values[member].astype(stored[name].dtype))
            for name, values in self._hyperparams.items()
        }
        opt_state = state.opt_state._replace(hyperparams={**stored, **given})
        return state._replace(opt_state=opt_state)

    def _fresh(self, first: Batch) -> list[TrainState]:
        """Each member's state before the first step."""
        own = zip(self.keys, self._own_values, strict=True)
        return [
            self.with_hyperparams(begin(key, self.make, values, self.optimizer, first), member)
            for member, (key, values) in enumerate(own)
        ]

    def each(self, states: States) -> States:
        return _apart(self.local(states), len(self.models))

    def losses(self, states: States, held_out: Batch) -> list[float]:
        totals = np.zeros((2, len(self.models)))
        function = _held_out_totals(self._form(held_out.y), self.mapped)
        keys, states, values = zip(*self._unspread(states), strict=True)
        params = [averaged_params(state) for state in states]
        for batch in map(jax.device_put, host_batches(held_out, HELD_OUT_BATCH)):
            program = compile_ahead(function, keys[0], values[0], params[0], batch)
            call = functools.partial(_read_totals, program, batch)
            totals += np.concatenate(at_once(call, keys, values, params), axis=1)
        return (totals[0] / totals[1]).tolist()

    def _unspread(self, states: States) -> list[Call]:
        """Calls on one device, of the states of the program's."""
        return [(self.base, self.local(states), self._values)]

    def best_of(self, best: TrainState | None, state: TrainState, better: list[bool]) -> TrainState:
        if best is None:
            return jax.tree.map(jnp.copy, state)
        return _chosen(jnp.asarray(better), state, best)


class Concurrent(Many):
    """Many runs as calls of one program, that of a run alone, on threads."""

    mapped = False

    def like(self) -> Call | None:
        # Hyperparams are put in by `with_hyperparams`, of a type of their own; the numbers of a
        # member are traced in its parameters, and may be of another type there than on the host.
        if self._hyperparams or self._own_values[0]:
            return None
        return self.keys[0], self.one, self._own_values[0]

    def calls(self, state: TrainState | None, first: Batch) -> list[Call]:
        members = len(self.models)
        return self._unspread(self._fresh(first) if state is None else _apart(state, members))

    def needed(self, alive: list[bool]) -> list[bool]:
        return alive

    def local(self, states: States) -> TrainState:
        return _stacked(states)

    def each(self, states: States) -> States:
        return states

    def _unspread(self, states: States) -> list[Call]:
        return list(zip(self.keys, states, self._own_values, strict=True))


def _for_missing(make: Callable[..., VAE], **values: Any) -> VAE:
    return for_labels(make(**values), MISSING)


@functools.lru_cache(maxsize=16)
def _held_out_totals(make: VAE | Same, mapped: bool) -> Any:
    def totals(key: jax.Array, *rest: Any) -> dict[str, jax.Array]:
        return evaluation.loss_totals(key, make, *rest)

    return compiled.jit(jax.vmap(totals, in_axes=(0, 0, 0, None)) if mapped else totals)


def _read_totals(program: Callable[..., Any], batch: Batch, *call: Any) -> np.ndarray:
    """Losses and weights [2, members] of a call."""
    found = jax.device_get(program(*call, batch))
    return np.array([found["loss"], found["weight"]]).reshape(2, -1)


@compiled.jit
def _stacked(states: States) -> TrainState:
    """Each array with a leading axis of members."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)


def _apart(tree: Any, members: int) -> list[Any]:
    """Each member's part of what `_stacked` gave."""
    return [jax.tree.map(operator.itemgetter(member), tree) for member in range(members)]


@compiled.jit
def _chosen(better: jax.Array, state: TrainState, best: TrainState) -> TrainState:
    def choose(new: jax.Array, old: jax.Array) -> jax.Array:
        wide = better.reshape(better.shape + (1,) * (new.ndim - 1))
        return jnp.where(wide, new, old)

    return jax.tree.map(choose, state, best)
