"""A program with compiler options of its own, called where JAX takes none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.numerics import compiled


@compiled.jit
def cube(x):
    """x^3."""
    return x * x * x


CALLS = {
    "alone": lambda x: cube(x),
    "jit": jax.jit(lambda x: cube(x)),
    "jit of a constant": lambda x: jax.jit(lambda: cube(np.arange(4.0, dtype=np.float32)))(),
    "vmap": jax.vmap(cube),
    "scan": lambda x: jax.lax.scan(lambda carry, x: (carry, cube(x)), 0, x)[1],
    "made ahead": lambda x: cube.lower(x).compile()(x),
    "disabled": lambda x: disabled(x),
}


def disabled(x):
    with jax.disable_jit():
        return cube(x)


@pytest.mark.parametrize("options", [None, {"no_option_of_any_compiler": 1}])
@pytest.mark.parametrize("call", CALLS)
def test_it_may_be_called_anywhere(call, options, monkeypatch):
    monkeypatch.setitem(vars(cube), "_options", {})
    vars(cube).pop("_alone", None)
    if options is not None:
        monkeypatch.setattr(compiled, "_ON_CPU", options)
        if call == "made ahead":
            with pytest.raises(Exception, match="No such compile option"):
                CALLS[call](jnp.arange(4.0))
            return
    np.testing.assert_array_equal(CALLS[call](jnp.arange(4.0)), [0, 1, 8, 27])
    vars(cube).pop("_alone", None)


def test_an_argument_of_any_name():
    power = compiled.jit(lambda first, otherwise: first**otherwise, static_argnums=1)
    assert power(first=jnp.float32(3), otherwise=2) == 9


def test_gradients_and_shapes():
    assert jax.grad(cube)(2.0) == 12
    assert jax.make_jaxpr(cube)(2.0).out_avals[0].shape == ()
    assert jax.eval_shape(cube, jnp.ones(3)).shape == (3,)
    assert (cube.__name__, cube.__doc__) == ("cube", "x^3.")


def test_errors_of_the_function_are_its_own():
    calls = []

    @compiled.jit
    def failing(x):
        calls.append(x)
        raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        failing(1.0)
    assert len(calls) == 1
