"""Keras's objects as JAX's: activations, optimizers and layers, without importing TensorFlow.

What an object is follows from the module that defines it and from its name; its numbers are read
from the object itself.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae.numerics import checks

Activation = Callable[[jax.Array], jax.Array]

# By the names that Keras gives them, and with its constants: `jax.nn.gelu` is by default an
# approximation where Keras's is exact, and the slope of its `leaky_relu` is 0.01, not 0.2.
ACTIVATIONS: dict[str, Activation] = {
    "celu": jax.nn.celu,
    "elu": jax.nn.elu,
    "exp": jnp.exp,
    "exponential": jnp.exp,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "hard_silu": jax.nn.hard_silu,
    "hard_swish": jax.nn.hard_silu,
    "hard_tanh": jax.nn.hard_tanh,
    "identity": jax.nn.identity,
    "leaky_relu": functools.partial(jax.nn.leaky_relu, negative_slope=0.2),
    "linear": jax.nn.identity,
    "log_sigmoid": jax.nn.log_sigmoid,
    "log_softmax": jax.nn.log_softmax,
    "mish": jax.nn.mish,
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "softmax": jax.nn.softmax,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "swish": jax.nn.silu,
    "tanh": jnp.tanh,
}
KERAS_PACKAGES = ("tensorflow", "keras", "tf_keras")


def activation(value: Any) -> Activation:
    """The JAX function that an activation names, is, or equals.

    Args:
      value: a name of Keras's, one of TensorFlow's or Keras's own functions, a JAX function, or
        None for no activation.

    Returns:
      A function of an array.

    Raises:
      ValueError: if it is a name, or a function of TensorFlow's, without an equal here.
      TypeError: if it is no function that JAX can trace from an array to one of its shape.
    """
    if value is None:
        return jax.nn.identity
    if isinstance(value, str):
        return ACTIVATIONS[checks.one_of("activation", value, ACTIVATIONS)]
    checks.function("activation", value)
    checks.hashable("activation", value, "a hashable function")
    if _package(value) in KERAS_PACKAGES:
        name = getattr(value, "__name__", type(value).__name__).removesuffix("_v2")
        if name not in ACTIVATIONS:
            raise ValueError(
                f"activation must be a JAX function, or one of TensorFlow's or Keras's that has "
                f"an equal here ({', '.join(sorted(ACTIVATIONS))}), got {value!r}"
            )
        return ACTIVATIONS[name]
    example = jax.ShapeDtypeStruct((2, 3), jnp.float32)
    try:
        result = jax.eval_shape(value, example)
    except Exception as error:
        raise TypeError(
            f"activation must be a function that JAX can trace (jax.nn, jax.numpy), "
            f"got {value!r}, which raises {type(error).__name__}"
        ) from error
    if getattr(result, "shape", None) != example.shape:
        raise TypeError(f"activation must keep the shape of its input, got {value!r}")
    return value


def is_optimizer(value: Any) -> bool:
    """Whether the value is one of Keras's optimizers."""
    return _package(value) in KERAS_PACKAGES and hasattr(value, "get_config")


def optimizer(value: Any) -> optax.GradientTransformation:
    """The Optax transformation that makes the updates of a Keras optimizer.

    The same object comes back for the same hyper-parameters, so that what was compiled with it
    is used again.

    Args:
      value: a Keras optimizer, legacy or not.

    Returns:
      The transformation; its state starts afresh.

    Raises:
      ValueError: if the optimizer, or one of its options, is not translated.
    """
    name = type(value).__name__
    if name not in _OPTIMIZERS:
        raise ValueError(
            f"optimizer must be an Optax transformation or one of Keras's "
            f"{', '.join(_OPTIMIZERS)}, got {value!r}"
        )
    numbers = {}
    for option, setting in value.get_config().items():
        if setting is None or setting in _NEUTRAL.get(option, ()) or option in _IRRELEVANT:
            continue
        if option not in (*_SHARED, *_OPTIMIZERS[name].options):
            raise ValueError(
                f"optimizer must not set {option}, which has no equal here, got {setting!r}; "
                "an Optax transformation can take its place"
            )
        if isinstance(setting, dict) or callable(setting):
            raise ValueError(
                f"optimizer must have a number as its {option}, got {setting!r}; for a schedule "
                "give an Optax transformation"
            )
        numbers[option] = float(setting)
    return _build(name, tuple(sorted(numbers.items())))


def arrays(value: Any) -> list[np.ndarray]:
    """The weights of a Keras layer or model, `[kernel, bias, ...]`, as NumPy arrays."""
    return [np.asarray(weight) for weight in value.get_weights()]


def is_layer(value: Any) -> bool:
    """Whether the value is one of Keras's layers or models."""
    return hasattr(value, "get_weights") and not isinstance(value, type)


def adam() -> optax.GradientTransformation:
    """Keras's Adam with its own defaults, as the original's `fit` makes it."""
    numbers = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "learning_rate": 1e-3}
    return _build("Adam", tuple(numbers.items()))


class _Translation(NamedTuple):
    build: Callable[..., optax.GradientTransformation]
    options: tuple[str, ...]


def _adam(
    learning_rate: float, beta_1: float, beta_2: float, epsilon: float, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    def eps(count: jax.Array) -> jax.Array:
        # m / (sqrt(v) + epsilon) * sqrt(1 - beta_2^t), in the terms of Optax, which has
        # sqrt(v / (1 - beta_2^t)) + eps below.
        step = jnp.asarray(count, jnp.float32) + 1
        return epsilon / jnp.sqrt(1 - beta_2**step)

    # The betas are static and the learning rate stands outside: a state that holds neither goes on
    # with the next values when the user changes them.
    scale = optax.inject_hyperparams(optax.scale_by_adam, static_args=("b1", "b2"))
    decay = optax.add_decayed_weights(weight_decay) if weight_decay else optax.identity()
    return optax.chain(
        scale(b1=beta_1, b2=beta_2, eps=eps), decay, optax.scale_by_learning_rate(learning_rate)
    )


def _sgd(learning_rate: float, momentum: float, nesterov: float) -> optax.GradientTransformation:
    return optax.sgd(learning_rate, momentum or None, bool(nesterov))


def _rmsprop(
    learning_rate: float, rho: float, momentum: float, epsilon: float, centered: float
) -> optax.GradientTransformation:
    return optax.rmsprop(
        learning_rate, rho, epsilon, centered=bool(centered), momentum=momentum or None
    )


def _adagrad(
    learning_rate: float, initial_accumulator_value: float, epsilon: float
) -> optax.GradientTransformation:
    return optax.adagrad(learning_rate, initial_accumulator_value, epsilon)


def _lion(learning_rate: float, beta_1: float, beta_2: float) -> optax.GradientTransformation:
    return optax.lion(learning_rate, beta_1, beta_2, weight_decay=0.0)


_OPTIMIZERS = {
    "SGD": _Translation(_sgd, ("momentum", "nesterov")),
    "Adam": _Translation(_adam, ("beta_1", "beta_2", "epsilon", "weight_decay")),
    "AdamW": _Translation(_adam, ("beta_1", "beta_2", "epsilon", "weight_decay")),
    "RMSprop": _Translation(_rmsprop, ("rho", "momentum", "epsilon", "centered")),
    "Adagrad": _Translation(_adagrad, ("initial_accumulator_value", "epsilon")),
    "Lion": _Translation(_lion, ("beta_1", "beta_2")),
}
_SHARED = ("learning_rate", "clipvalue", "global_clipnorm")
# Options that change nothing at these values, and have no equal at others.
_NEUTRAL: Mapping[str, Sequence[Any]] = {"amsgrad": (False,), "decay": (0.0,), "use_ema": (False,)}
# Options that change no update; the two of the moving average matter with `use_ema` alone.
_IRRELEVANT = (
    "name",
    "jit_compile",
    "is_legacy_optimizer",
    "ema_momentum",
    "ema_overwrite_frequency",
)


@functools.lru_cache(maxsize=128)
def _build(name: str, numbers: tuple[tuple[str, float], ...]) -> optax.GradientTransformation:
    options: dict[str, Any] = dict(numbers)
    clip_value = options.pop("clipvalue", None)
    clip_norm = options.pop("global_clipnorm", None)
    built = _OPTIMIZERS[name].build(**options)
    if clip_norm is not None:
        built = optax.chain(optax.clip_by_global_norm(clip_norm), built)
    if clip_value is not None:
        built = optax.chain(optax.clip(clip_value), built)
    return built


def _package(value: Any) -> str:
    """The top-level package of a function, or of an object's class."""
    module = getattr(value, "__module__", None) or type(value).__module__
    return str(module).split(".")[0]
