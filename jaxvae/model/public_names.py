"""The names by which a saved model says what it is made of: public ones, and the user's own."""

import functools
import importlib
import inspect
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.model import modules, ready
from jaxvae.model.modules import Module
from jaxvae.model.values import CONSTRUCTORS
from jaxvae.numerics import checks

DOORS = ("latents", "priors", "likelihoods", "networks", "objectives", "transforms", "models")
RESERVED = (*DOORS, "jax", "numpy", "flax")  # what a name of the user's must not begin with

Thing = TypeVar("Thing")
_registered: dict[str, Any] = {}


def register(name: str, thing: Thing) -> Thing:
    """Give something of your own a name, so that models made with it can be saved and loaded.

    A saved model holds names and numbers, no code. The process that loads it must have registered
    the same names first.

    Args:
      name: under which it is saved.
      thing: a function of a module, a Flax module class, or a value such as a `latents.Latent`.

    Returns:
      The same thing.

    Raises:
      ValueError: if the name is taken, by the library or by another thing.
      TypeError: if it is no name, or no such thing.

    Example:
      >>> import jaxvae
      >>> def squashed(x):
      ...     return x / (1 + jnp.abs(x))
      >>> squashed = jaxvae.register("squashed", squashed)
      >>> network = jaxvae.dense_normal_network(64, 2, activation=squashed)
      >>> from jaxvae.model.portable import to_json
      >>> to_json(network)["with"]["activation"]
      {'name': 'squashed'}
    """
    checks.instance("name", name, str, "a string")
    if not name or name.partition(".")[0] in RESERVED:
        raise ValueError(
            f"name must be one of your own, which begins with none of {', '.join(RESERVED)}, "
            f"got {name!r}"
        )
    if not callable(thing) and not is_value(thing):
        raise TypeError(
            f"thing must be a function, a Flax module class or a value of jaxvae, got {thing!r}"
        )
    if name in _registered and not _again(_registered[name], thing):
        raise ValueError(f"name must be free, got {name!r}, which is {_registered[name]!r}")
    _registered[name] = thing
    return thing


def _again(before: Any, now: Any) -> bool:
    """Whether one thing is the other, or the same definition run again, as in a notebook."""
    if before is now or (is_value(now) and before == now):
        return True
    places = [
        (getattr(t, "__module__", ""), getattr(t, "__qualname__", "<")) for t in (before, now)
    ]
    return places[0] == places[1] and "<" not in places[0][1]


def is_value(thing: Any) -> bool:
    """Whether something is a value of the kind that `bind` takes: a NamedTuple.

    Args:
      thing: anything.

    Returns:
      True for one.

    Example:
      >>> from jaxvae import latents
      >>> is_value(latents.normal), is_value((1, 2))
      (True, False)
    """
    return isinstance(thing, tuple) and hasattr(type(thing), "_fields")


def _is_maker(thing: Any) -> bool:
    """Whether a file may have it called: it makes a value or a Flax module, and does no more."""
    if isinstance(thing, type):
        is_module = issubclass(thing, Module) and thing is not Module
        return is_module or (issubclass(thing, tuple) and hasattr(thing, "_fields"))
    return inspect.isfunction(thing) and thing in CONSTRUCTORS


@functools.cache
def _public() -> dict[str, Any]:
    """All that has a name by itself."""
    found: dict[str, Any] = {}
    for door in DOORS:
        module = importlib.import_module(f"jaxvae.{door}")
        for name in module.__all__:
            thing = getattr(module, name)
            if _is_maker(thing) or is_value(thing):
                found[f"{door}.{name}"] = thing
    found["models.DirichletPrior"] = ready._by_concentration  # which that class stands for
    linen = {f"flax.linen.{name}": thing for name, thing in vars(modules.nn).items()}
    found |= {name: thing for name, thing in linen.items() if _is_maker(thing)}
    initializers = jax.nn.initializers
    found |= {f"jax.nn.initializers.{n}": getattr(initializers, n) for n in ("zeros", "ones")}
    for name, thing in vars(jnp).items():
        if isinstance(thing, type(jnp.float32)) or isinstance(getattr(np, name, None), np.ufunc):
            found[f"jax.numpy.{name}"] = thing
    for name, thing in vars(jax.nn).items():
        if name[0] != "_" and callable(thing) and not isinstance(thing, type):
            found[f"jax.nn.{name}"] = thing
    for number in (np.float16, np.float32, np.float64):
        found[f"numpy.{number.__name__}"] = number
    return found


def _named() -> dict[str, Any]:
    return {**_public(), **_registered}


def name_of(thing: Any) -> str | None:
    """The name of a thing: of a value by its equality, of all else by identity.

    Args:
      thing: anything.

    Returns:
      The name, or None.

    Example:
      >>> name_of(jax.nn.relu), name_of(lambda x: x)
      ('jax.nn.relu', None)
    """
    if is_value(thing):
        try:
            same = {value: name for name, value in _named().items() if is_value(value)}
            return same.get(thing)
        except TypeError:  # it cannot be hashed
            return next((name for name, value in _registered.items() if value is thing), None)
    return next((name for name, value in _named().items() if value is thing), None)


def named(name: Any) -> Any:
    """What a name stands for.

    Args:
      name: from a file, perhaps no name at all.

    Returns:
      The thing.

    Raises:
      ValueError: if nothing has this name.

    Example:
      >>> named("jax.nn.relu") is jax.nn.relu
      True
    """
    if isinstance(name, str) and (thing := _named().get(name)) is not None:
        return thing
    raise ValueError(f"name must be public in jaxvae, or registered by jaxvae.register before the "
                     f"model is loaded, got {name!r}")  # fmt: skip


def maker(name: Any) -> Any:
    """What a name stands for, if it may be called to make a value or a Flax module.

    Args:
      name: from a file, perhaps no name at all.

    Returns:
      The constructor.

    Raises:
      ValueError: if no constructor has this name.

    Example:
      >>> maker("priors.symmetric").__name__
      'symmetric'
    """
    if not _is_maker(thing := named(name)):
        raise ValueError(f"make must name a constructor of values, got {name!r}")
    return thing
