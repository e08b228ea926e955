"""The API of the 2020 TensorFlow script, on the functional core.

`from jaxvae import compat as vae` takes the place of `import vae`: same names, arguments, defaults,
return shapes and printed lines. Every method is one call of a function of the library.
`docs/migration.md` says what differs and why.
"""

import functools
import secrets
import zipfile
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as MappingABC
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae._output import say
from jaxvae.compat import keras
from jaxvae.data.batches import Batch
from jaxvae.model import evaluation, models, networks
from jaxvae.model.networks import Function, Params
from jaxvae.numerics import checks
from jaxvae.training import history, steps
from jaxvae.training.diagnosis import why_not_finite
from jaxvae.training.loop import fit
from jaxvae.training.revival import revive_dead_categories

Mapping = Callable[[Any], Any]
"""A function of one array; so the original calls the type of an encoder or a decoder."""

__all__ = [
    "DIRICHLET_VAE",
    "VAE",
    "Array",
    "Coder",
    "Mapping",
    "dense_encoder_decoder",
    "dense_encoder_decoder_dirichlet",
    "get_weights",
    "set_seed",
    "set_weights",
]

# Our names of the layers to the original's; the trunk has none there.
ORIGINAL_NAMES = {
    "loc": "encoder_mu_layer",
    "log_scale": "encoder_sigma_layer",
    "concentration": "alpha_layer",
    "decoded": "decoder_mu_layer",
}


class Array(np.ndarray):
    """A NumPy array with the `.numpy()` of a TensorFlow tensor.

    Example:
      >>> np.ones(2).view(Array).numpy()
      array([1., 1.])
    """

    def numpy(self) -> Any:
        """The plain NumPy array, or for a scalar the plain NumPy number."""
        return np.asarray(self)[()]


class Coder:
    """An encoder or a decoder that owns its weights, as a Keras model does.

    Its weights are made when they are first needed. After `fit` or `train_op` they are the
    trained ones.

    Attributes:
      function: the pure functions behind it.
      input_dim: the width of what it takes; None until it is known.
      output_dim: the width of what it gives; None where unknown.

    Example:
      >>> encoder, decoder = dense_encoder_decoder_dirichlet(64, 10, 4, 128, "relu")
      >>> decoder.input_dim, decoder.output_dim
      (10, 64)
    """

    def __init__(
        self, function: Function, input_dim: int | None = None, output_dim: int | None = None
    ):
        self.function, self.input_dim, self.output_dim = function, input_dim, output_dim
        self.params: Params | None = None

    def __call__(self, x: Any) -> Any:
        """Apply it to an array [B, D] of any float or integer type."""
        x = _floats("x", x)
        given = _apply(self.function, self.build(x.shape[-1]), x)
        # The constant beside the Normal decoder's mu is a number, as the original's.
        return jax.tree.map(lambda out: _output(out) if out.ndim else float(out), given)

    def build(self, width: int | None = None) -> Params:
        """The weights, made now if they are not yet.

        Args:
          width: of the input, where it is known.

        Returns:
          The parameters of `function`.

        Raises:
          ValueError: if the width is not the one that the weights are for, or is needed.
        """
        if width is not None and self.input_dim not in (None, width):
            raise ValueError(f"x must have {self.input_dim} columns, got {width}")
        if self.params is None:
            self.input_dim = self.input_dim or width
            if self.input_dim is None:
                raise ValueError(
                    "the encoder and the decoder must have been called, or fit, for their "
                    "weights to exist, got one of your own modules that was not"
                )
            self.params = self.function.init(_next_key(), jnp.zeros((1, self.input_dim)))
        return self.params


def set_seed(seed: int) -> None:
    """Make what follows repeatable: weights, order and noise.

    The n-th thing that needs randomness afterwards (an encoder's weights, a decoder's, a call of
    `fit`, `loss_op` or `train_op`; n from 0) gets the key `fold_in(jax.random.key(seed), n)`.
    Without a call of this function every process has a seed of its own.

    Args:
      seed: an integer of at least 0.

    Raises:
      TypeError, ValueError: if the seed is none.

    Example:
      >>> def encoded():
      ...     set_seed(0)
      ...     encoder, _ = dense_encoder_decoder(64, 2, 4, 128, "relu")
      ...     return encoder(np.ones((5, 64)))[0]
      >>> bool((encoded() == encoded()).all())
      True
    """
    global _seed, _drawn
    _seed, _drawn = checks.positive_int("seed", seed, minimum=0), 0


def dense_encoder_decoder(
    data_dim: int, latent_dim: int, layers: int, hidden_units: int, activation: Any
) -> tuple[Coder, Coder]:
    """The dense networks of the Normal model.

    Args:
      data_dim: D, values an example.
      latent_dim: K, at least 1.
      layers: hidden layers each, at least 1.
      hidden_units: width of a hidden layer.
      activation: a JAX function, a name, or TensorFlow's own (`tf.nn.relu`).

    Returns:
      encoder, from x [B, D] to `(mu, sigma)`, each [B, K]; decoder, from z [B, K] to
      `(mu [B, D], 1.0)`.

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> encoder, decoder = dense_encoder_decoder(64, 2, 4, 128, "relu")
      >>> mu, sigma = encoder(np.zeros((5, 64)))
      >>> decoded, one = decoder(mu)
      >>> mu.shape, decoded.numpy().shape, one
      ((5, 2), (5, 64), 1.0)

    Source: the 2020 TensorFlow script; `docs/migration.md`.
    """
    return _pair(_normal_functions, data_dim, latent_dim, layers, hidden_units, activation)


def dense_encoder_decoder_dirichlet(
    data_dim: int, latent_dim: int, layers: int, hidden_units: int, activation: Any
) -> tuple[Coder, Coder]:
    """The dense networks of the Dirichlet model.

    Args:
      data_dim: D, values an example.
      latent_dim: K, the number of categories, at least 2.
      layers: hidden layers each, at least 1.
      hidden_units: width of a hidden layer.
      activation: a JAX function, a name, or TensorFlow's own (`tf.nn.relu`).

    Returns:
      encoder, from x [B, D] to its ReLU output [B, K], which can be exactly 0 (the model adds
      `alpha_smoothing`); decoder, from z [B, K] to mu [B, D].

    Raises:
      ValueError, TypeError: if an argument is outside what is allowed; it is named.

    Example:
      >>> encoder, decoder = dense_encoder_decoder_dirichlet(64, 10, 4, 128, jax.nn.relu)
      >>> decoder(np.eye(10)).shape
      (10, 64)

    Source: the 2020 TensorFlow script; `docs/migration.md`.
    """
    checks.positive_int("latent_dim", latent_dim, minimum=2)
    return _pair(_dirichlet_functions, data_dim, latent_dim, layers, hidden_units, activation)


class _Model:
    """What both classes share: an encoder, a decoder, and calls of the core.

    Attributes:
      encoder, decoder: as given; a Flax module is wrapped in a `Coder`.
    """

    def __init__(self, encoder: Any, decoder: Any):
        self.encoder, self.decoder = _coder("encoder", encoder), _coder("decoder", decoder)
        for name, coder, other_name, other in (
            ("decoder", self.decoder, "encoder", self.encoder),
            ("encoder", self.encoder, "decoder", self.decoder),
        ):
            widths = (coder.input_dim, other.output_dim)
            if None not in widths and widths[0] != widths[1]:
                raise ValueError(
                    f"{name} must take the {widths[1]} columns that the {other_name} gives, "
                    f"got one that takes {widths[0]}"
                )
        self._opt_states: dict[int, tuple[Any, Any]] = {}
        self._checked: set[Any] = set()

    def map_from_latent(self, z: Any) -> Any:
        """What the decoder makes of z [B, K]."""
        return self.decoder(z)

    def _core(self) -> models.VAE:
        """The model as pure functions, for the attributes as they are now."""
        raise NotImplementedError

    def _labels(self, y: Any, examples: int) -> np.ndarray | None:
        return None

    def _optimizer(self, optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
        return optimizer

    def _loss_op(self, x: Any, y: Any = None) -> Array:
        core, params, batch = self._prepare(x, y)
        return _output(_loss(core, params, _next_key(), batch))

    def _train_op(self, optimizer: Any, x: Any, y: Any = None) -> Array:
        transformation = _transformation(optimizer)
        core, params, batch = self._prepare(x, y)
        transformation = self._optimizer(transformation)
        _, opt_state = self._opt_states.get(id(optimizer), (None, None))
        if fresh := opt_state is None:
            opt_state = steps.init_opt_state(transformation, params)
        state = steps.TrainState(jnp.int32(0), params, opt_state)
        state, metrics = _train_step(core, transformation)(_next_key(), state, batch)
        # The optimizer is kept beside its state, so that no other object gets its id.
        self._opt_states[id(optimizer)] = optimizer, state.opt_state
        self._keep(state.params)
        if not metrics.finite:
            reason = why_not_finite(core, state.params, np.asarray(batch.x), step=0 if fresh else 1)
            raise FloatingPointError(
                f"the loss of this step is {metrics.loss}, or its gradient is not finite; the "
                f"weights are those before it. {reason}"
            )
        return _output(metrics.loss)

    def _fit(self, x: Any, y: Any, batch_size: int, epochs: int) -> None:
        x = np.asarray(x)
        if x.ndim != 2:
            checks.data_array("x", x)  # raises: it has no rows
        y = self._labels(y, len(x))
        # One row makes the weights and checks the model; `fit` checks the data, once.
        core, params, _ = self._prepare(x[:1], None if y is None else y[:1])
        optimizer = self._optimizer(keras.adam())
        # Training donates what it is given and what `on_epoch` sees: the coders hold copies.
        params = jax.tree.map(jnp.copy, params)
        start = state = steps.TrainState(
            jnp.int32(0), params, steps.init_opt_state(optimizer, params)
        )

        def on_epoch(record: history.EpochRecord, state: steps.TrainState) -> None:
            self._keep(jax.tree.map(jnp.copy, state.params))
            say(f"Error {record.batch_losses[-1]:.2f}", end="\r")
            say(f"epoch {record.epoch} - {record.batch_losses.mean():.2f}")

        try:
            state, _ = fit(
                _next_key(),
                core,
                x,
                y,
                batch_size=batch_size,
                epochs=epochs,
                optimizer=optimizer,
                state=state,
                on_epoch=on_epoch,
            )
        except history.NonFiniteStepError as error:
            state = error.state
            raise
        finally:
            # After any other exception these are the copies of the last epoch's end.
            if state is not start:
                self._keep(state.params)

    def _keep(self, params: Params) -> None:
        self.encoder.params, self.decoder.params = params["encoder"], params["decoder"]

    def _prepare(self, x: Any, y: Any) -> tuple[models.VAE, Params, Batch]:
        """The core, the weights (made now if they are not yet), and the checked batch."""
        x = checks.data_array("x", x)
        y = self._labels(y, len(x))
        encoder = self.encoder.build(x.shape[1])
        if self.decoder.params is None:
            posterior = jax.eval_shape(self.encoder.function.apply, encoder, x)
            self.decoder.build(jax.tree.leaves(posterior)[0].shape[-1])
        params = {"encoder": encoder, "decoder": self.decoder.build()}
        core = self._core()
        if (core, x.shape) not in self._checked:  # tracing costs more than a step
            core.check_data(params, x, y)
            self._checked.add((core, x.shape))
        return core, params, Batch(x, y)


class VAE(_Model):
    """The original's VAE with a Normal latent, trained by the original's objective.

    Args:
      encoder: from `dense_encoder_decoder`, or a Flax module from x [B, D] to `(mu, sigma)`.
      decoder: its pair, or a Flax module from z [B, K] to `(mu, 1.0)` or mu.
      C: the prior's variance.

    Raises:
      TypeError: if one of the two is neither.
      ValueError: if their widths differ, or C is not above zero.

    Example:
      >>> v = VAE(*dense_encoder_decoder(64, 2, 4, 128, "relu"), C=3.0)
      >>> v.fit(np.zeros((100, 64)), batch_size=50, epochs=1)  # doctest: +ELLIPSIS
      Error ...epoch 0 - ...
      >>> mu, sigma = v.map_to_latent(np.zeros((5, 64)))
      >>> mu.shape
      (5, 2)

    Source: the 2020 TensorFlow script; `docs/objectives.md` on what it minimises.
    """

    def __init__(self, encoder: Any, decoder: Any, C: float = 1.0):  # noqa: N803
        super().__init__(encoder, decoder)
        self.C = checks.positive_float("C", C)

    def map_to_latent(self, x: Any) -> Any:
        """`(mu, sigma)`, each [B, K], of x [B, D]."""
        return self.encoder(x)

    def sample_given_z(self, z: Any) -> Any:
        """The same as `map_from_latent`."""
        return self.map_from_latent(z)

    def loss_op(self, x: Any) -> Array:
        """The original's objective of x [B, D], from one draw of z an example; a scalar."""
        return self._loss_op(x)

    def train_op(self, x: Any, optimizer: Any) -> Array:
        """One gradient step on x [B, D] with an Optax or a Keras optimizer; the loss before it.

        Raises:
          TypeError, ValueError: if the optimizer is neither, or cannot be translated.
          FloatingPointError: if loss or gradient is not finite; the weights stay as they were.
        """
        return self._train_op(optimizer, x)

    def fit(self, data: Any, batch_size: int = 1, epochs: int = 3) -> None:
        """Train on data [N, D] with a fresh Adam, and print a line an epoch.

        Called again, it goes on from the weights as they are.

        Raises:
          ValueError, TypeError: if an argument is outside what is allowed; it is named.
          NonFiniteStepError: if a step's loss or gradient is not finite; the weights are those
            before it.
        """
        self._fit(data, None, batch_size, epochs)

    def _core(self) -> models.VAE:
        return _normal_core(self.encoder.function, self.decoder.function, float(self.C))


class DIRICHLET_VAE(_Model):  # noqa: N801
    """The original's VAE with a Dirichlet latent and labels, trained by the original's objective.

    A category whose ReLU has died is brought back (`jaxvae.revive_dead_categories`); a run in
    which none dies is not touched.

    Args:
      encoder: from `dense_encoder_decoder_dirichlet`, or a Flax module from x [B, D] to [B, K],
        nowhere negative.
      decoder: its pair, or a Flax module from z [B, K] to [B, D].
      smoothness: of the prior: what each category gets beside the label's 1, above zero.
      categories: K, the number of labels.
      alpha_smoothing: added to the encoder's output to make the concentration, above zero.
      label_smoothing: the prior's total concentration, above zero.

    Raises:
      TypeError: if encoder or decoder is neither.
      ValueError: if widths and categories differ, or a number is outside what is allowed.

    Example:
      >>> v = DIRICHLET_VAE(*dense_encoder_decoder_dirichlet(64, 10, 4, 128, "relu"),
      ...                   smoothness=0.5, categories=10)
      >>> z = v.map_to_latent(np.zeros((5, 64)))
      >>> z.numpy().shape, bool(np.allclose(z.sum(axis=1), 1))
      ((5, 10), True)

    Source: the 2020 TensorFlow script; `docs/objectives.md` on what it minimises.
    """

    def __init__(
        self,
        encoder: Any,
        decoder: Any,
        smoothness: float,
        categories: int,
        alpha_smoothing: float = 0.1,
        label_smoothing: float = 8,
    ):
        super().__init__(encoder, decoder)
        self.smoothness = checks.positive_float("smoothness", smoothness)
        self.categories = checks.positive_int("categories", categories, minimum=2)
        self.alpha_smoothing = checks.positive_float("alpha_smoothing", alpha_smoothing)
        self.label_smoothing = checks.positive_float("label_smoothing", label_smoothing)
        if self.encoder.output_dim not in (None, categories):
            raise ValueError(
                f"categories must be the width of the encoder's output, "
                f"{self.encoder.output_dim}, got {categories}"
            )

    def map_to_latent(self, x: Any) -> Any:
        """The mean of z, [B, K], of x [B, D]: concentration / sum(concentration)."""
        x = _floats("x", x)
        params = {"encoder": self.encoder.build(x.shape[-1]), "decoder": {}}
        return evaluation.encode_mean(self._core(), params, x).view(Array)

    def loss_op(self, x: Any, y: Any) -> Array:
        """The original's objective of x [B, D] and labels y [B], from one draw an example."""
        return self._loss_op(x, y)

    def train_op(self, x: Any, y: Any, optimizer: Any) -> Array:
        """One gradient step on x [B, D], y [B]: as `VAE.train_op`."""
        return self._train_op(optimizer, x, y)

    def fit(self, x: Any, y: Any, batch_size: int = 1, epochs: int = 3) -> None:
        """Train on x [N, D] and labels y [N]: as `VAE.fit`."""
        self._fit(x, y, batch_size, epochs)

    def _labels(self, y: Any, examples: int) -> np.ndarray:
        y = np.asarray(y)
        if np.issubdtype(y.dtype, np.floating) and (y == np.round(y)).all():
            y = y.astype(np.int64)  # the original casts labels; a fraction is refused just below
        return checks.label_array("y", y, examples, self.categories)

    def _optimizer(self, optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
        # An encoder of the user's own may have no such head.
        head = self.encoder.build().get("concentration", {})
        return _revived(optimizer) if "bias" in head else optimizer

    def _core(self) -> models.VAE:
        return _dirichlet_core(
            self.encoder.function,
            self.decoder.function,
            self.categories,
            float(self.smoothness),
            float(self.alpha_smoothing),
            float(self.label_smoothing),
        )


def get_weights(model: Any) -> dict[str, np.ndarray]:
    """The weights by the original's names, as NumPy arrays: `numpy.savez(path, **weights)`.

    Args:
      model: a `VAE` or `DIRICHLET_VAE`; or an encoder or a decoder alone.

    Returns:
      `encoder/hidden_0/kernel` [in, out], `encoder/hidden_0/bias`, ..., with the heads
      `encoder_mu_layer` and `encoder_sigma_layer` (its output is log sigma), or `alpha_layer`,
      and `decoder_mu_layer`. Of an encoder or a decoder alone, without its first part. Your own
      modules' weights are named by their Flax paths.

    Raises:
      TypeError: if it is none of these.
      ValueError: if the weights do not exist yet and their width is not known.

    Example:
      >>> encoder, decoder = dense_encoder_decoder(64, 2, 1, 16, "relu")
      >>> for name, weight in get_weights(encoder).items():
      ...     print(name, weight.shape)
      encoder_mu_layer/bias (2,)
      encoder_mu_layer/kernel (16, 2)
      encoder_sigma_layer/bias (2,)
      encoder_sigma_layer/kernel (16, 2)
      hidden_0/bias (16,)
      hidden_0/kernel (64, 16)
    """
    return {
        prefix + _name(path): np.array(weight)
        for prefix, coder in _coders(model).items()
        for path, weight in jax.tree.leaves_with_path(coder.build())
    }


def set_weights(model: Any, source: Any, *, prefix: str = "") -> None:
    """Put in weights, for example those that were trained in TensorFlow.

    Args:
      model: a `VAE` or `DIRICHLET_VAE`; or an encoder or a decoder alone.
      source: one of: arrays by name, as `get_weights` gives them; the path of an .npz file of
        these; Keras layers by name (`encoder/hidden_0`); a sequence of Keras layers, models or
        of arrays (kernel, bias, ...) in the order of use, the encoder's before the decoder's.
      prefix: what stands before each name in the source, as `init/`; names without it are
        left out.

    Raises:
      ValueError: if a weight is missing, left over, of another shape or not finite; it is named,
        and nothing has been changed.
      TypeError: if the source is none of these.

    Example:
      >>> mine, other = (dense_encoder_decoder(64, 2, 1, 16, "relu")[0] for _ in range(2))
      >>> set_weights(mine, get_weights(other))
      >>> bool((mine(np.ones((1, 64)))[0] == other(np.ones((1, 64)))[0]).all())
      True
    """
    coders = _coders(model)
    paths = {
        side + _name(path): path
        for side, coder in coders.items()
        for path, _ in jax.tree.leaves_with_path(coder.build())
    }
    given = _named_arrays(source, paths, prefix)
    missing, extra = sorted(set(paths) - set(given)), sorted(set(given) - set(paths))
    if missing or extra:
        raise ValueError(
            f"source must hold each of the model's {len(paths)} weights and no other, "
            f"got {len(given)}: missing {missing or 'none'}, left over {extra or 'none'}"
        )

    made = {}
    for side, coder in coders.items():

        def take(path: Any, old: jax.Array, side: str = side) -> jax.Array:
            name = side + _name(path)
            new = _floats(name, given[name])
            if new.shape != old.shape:
                raise ValueError(f"{name} must have the shape {old.shape}, got {new.shape}")
            checks.finite_array(name, new)
            return jnp.array(new)

        made[side] = jax.tree.map_with_path(take, coder.build())
    for side, coder in coders.items():
        coder.params = made[side]


_seed: int | None = None
_drawn = 0


def _next_key() -> jax.Array:
    global _seed, _drawn
    if _seed is None:
        _seed = secrets.randbits(32)
    _drawn += 1
    return jax.random.fold_in(jax.random.key(_seed), _drawn - 1)


@functools.partial(jax.jit, static_argnums=0)
def _apply(function: Function, params: Params, x: jax.Array) -> Any:
    return function.apply(params, x)


@functools.partial(jax.jit, static_argnums=0)
def _loss(core: models.VAE, params: Params, key: jax.Array, batch: Batch) -> jax.Array:
    return core.loss(params, key, batch)[0]


# From here to `_dirichlet_core`: the same functions, core and optimizer for the same arguments, so
# that two models of one shape share what was compiled. JAX caches by identity.


@functools.lru_cache(maxsize=64)
def _normal_functions(
    data_dim: int, latent_dim: int, layers: int, hidden_units: int, activation: Any
) -> tuple[Function, Function]:
    encoder = networks.NormalEncoder(latent_dim, networks.MLP(layers, hidden_units, activation))
    decoder = networks.Decoder(data_dim, networks.MLP(layers, hidden_units, activation))
    mean = networks.flax_function("decoder", decoder)
    pair = Function(mean.init, lambda params, z: (mean.apply(params, z), 1.0))
    return networks.flax_function("encoder", encoder), pair


@functools.lru_cache(maxsize=64)
def _dirichlet_functions(
    data_dim: int, latent_dim: int, layers: int, hidden_units: int, activation: Any
) -> tuple[Function, Function]:
    trunk = networks.MLP(layers, hidden_units, activation)
    head = networks.CONCENTRATION_HEADS["relu"]
    encoder = networks.DirichletEncoder(latent_dim, trunk, head, floor=0.0)
    decoder = networks.Decoder(data_dim, networks.MLP(layers, hidden_units, activation))
    return networks.flax_function("encoder", encoder), networks.flax_function("decoder", decoder)


_train_step = functools.lru_cache(maxsize=64)(steps.make_train_step)
_revived = functools.lru_cache(maxsize=64)(revive_dead_categories)


@functools.lru_cache(maxsize=64)
def _normal_core(encoder: Function, decoder: Function, prior_variance: float) -> models.VAE:
    network = networks.join(encoder, _decoded_mean(decoder))
    return models.normal_vae(network, prior_variance=prior_variance, objective="original")


@functools.lru_cache(maxsize=64)
def _dirichlet_core(
    encoder: Function,
    decoder: Function,
    categories: int,
    smoothness: float,
    alpha_smoothing: float,
    label_smoothing: float,
) -> models.VAE:
    def concentration(params: Params, x: Any) -> Any:
        alpha = encoder.apply(params, x)
        shape = getattr(alpha, "shape", None)
        if shape is None or shape[-1:] != (categories,):
            raise ValueError(
                f"encoder must return one array [B, {categories}], as wide as categories, "
                f"got {type(alpha).__name__ if shape is None else shape}"
            )
        return alpha + alpha_smoothing

    network = networks.join(Function(encoder.init, concentration), _decoded_mean(decoder))
    prior = models.label_prior(smoothness=smoothness, total_concentration=label_smoothing)
    return models.dirichlet_vae(network, prior=prior, objective="original", gradient="gamma")


def _decoded_mean(decoder: Function) -> Function:
    """The decoder without the constant 1.0 that the original's Normal one returns beside mu."""

    def apply(params: Params, z: Any) -> Any:
        decoded = decoder.apply(params, z)
        if not isinstance(decoded, tuple):
            return decoded
        if len(decoded) != 2 or not (isinstance(decoded[1], int | float) and decoded[1] == 1):
            raise ValueError(
                "decoder must return (mu, 1.0), or mu alone: a variance of its own has no place "
                f"in the objective, got {decoded!r}"
            )
        return decoded[0]

    return Function(decoder.init, apply)


def _coder(name: str, value: Any) -> Coder:
    if isinstance(value, Coder):
        return value
    if keras.is_layer(value):
        raise TypeError(
            f"{name} must be made by dense_encoder_decoder or be a Flax module, got the Keras "
            f"object {value!r}; set_weights takes its weights over"
        )
    return Coder(networks.flax_function(name, value))


def _coders(model: Any) -> dict[str, Coder]:
    if isinstance(model, Coder):
        return {"": model}
    if isinstance(model, _Model):
        return {"encoder/": model.encoder, "decoder/": model.decoder}
    raise TypeError(f"model must be a VAE, a DIRICHLET_VAE or one of its coders, got {model!r}")


def _name(path: Sequence[Any]) -> str:
    parts = [ORIGINAL_NAMES.get(entry.key, entry.key) for entry in path]
    return "/".join(part for part in parts if part != "trunk")


def _named_arrays(source: Any, names: Iterable[str], prefix: str) -> dict[str, Any]:
    """What a source of `set_weights` holds, by name, the prefix taken away."""
    if isinstance(source, str | Path):
        source = _read_npz(Path(source))
    if isinstance(source, MappingABC):
        given: dict[str, Any] = {}
        for name, value in source.items():
            if not name.startswith(prefix):
                continue
            name = name.removeprefix(prefix)
            if keras.is_layer(value):
                given |= zip((f"{name}/kernel", f"{name}/bias"), keras.arrays(value), strict=True)
            else:
                given[name] = value
        return given
    if keras.is_layer(source):
        source = [source]
    if not isinstance(source, Sequence):
        raise TypeError(
            f"source must be a mapping, the path of an .npz file, or a sequence of Keras layers "
            f"or arrays, got {type(source).__name__}"
        )
    arrays: list[Any] = []
    for item in source:
        arrays += keras.arrays(item) if keras.is_layer(item) else [item]
    ordered = sorted(names, key=_place)
    if len(arrays) != len(ordered):
        raise ValueError(f"source must hold {len(ordered)} weights, got {len(arrays)}")
    return dict(zip(ordered, arrays, strict=True))


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"source must be a readable .npz file, got {path}: {error}") from error


def _place(name: str) -> tuple[bool, bool, int, bool]:
    """Sorts names in the order of use: encoder, decoder; hidden layers, heads; kernel, bias."""
    *side, layer, kind = name.split("/")
    heads, number = list(ORIGINAL_NAMES.values()), layer.removeprefix("hidden_")
    if not (layer in heads or number.isdecimal()):
        raise ValueError(f"source must name the weights of your own modules, got none for {name}")
    place = heads.index(layer) if layer in heads else int(number)
    return side == ["decoder"], layer in heads, place, kind == "bias"


def _transformation(optimizer: Any) -> optax.GradientTransformation:
    if isinstance(optimizer, optax.GradientTransformation | optax.MultiSteps):
        steps.check_optimizer(optimizer)
        return optimizer
    if keras.is_optimizer(optimizer):
        return keras.optimizer(optimizer)
    raise TypeError(f"optimizer must be an Optax or a Keras optimizer, got {optimizer!r}")


def _pair(
    functions: Callable[..., tuple[Function, Function]],
    data_dim: int,
    latent_dim: int,
    layers: int,
    hidden_units: int,
    activation: Any,
) -> tuple[Coder, Coder]:
    data_dim = checks.positive_int("data_dim", data_dim)
    latent_dim = checks.positive_int("latent_dim", latent_dim)
    layers = checks.positive_int("layers", layers)
    hidden_units = checks.positive_int("hidden_units", hidden_units)
    encoder, decoder = functions(
        data_dim, latent_dim, layers, hidden_units, keras.activation(activation)
    )
    return Coder(encoder, data_dim, latent_dim), Coder(decoder, latent_dim, data_dim)


def _floats(name: str, value: Any) -> np.ndarray:
    """An array of any real type, TensorFlow's included, as float32."""
    return checks.real_array(name, value).astype(np.float32, copy=False)


def _output(value: Any) -> Array:
    """An array as users of the original expect it: their own, to be written to."""
    return np.array(value).view(Array)
