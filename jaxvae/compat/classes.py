"""The original's two classes. Their methods call functions of the library."""

import copy
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae._door import door
from jaxvae._output import say
from jaxvae.compat import keras, shared
from jaxvae.compat.coders import Array, as_coder, finite_floats, output, unless_refused
from jaxvae.compat.keys import next_key
from jaxvae.data.batches import Batch
from jaxvae.model import evaluation, vae
from jaxvae.model.finite import numbers
from jaxvae.model.networks import Params
from jaxvae.numerics import checks, compiled
from jaxvae.training import history, updates
from jaxvae.training.diagnosis import why_not_finite
from jaxvae.training.loop import fit
from jaxvae.training.state import TrainState, init_opt_state


class _Model:
    """What both classes share: an encoder, a decoder, and calls of the core.

    Attributes:
      encoder, decoder: as given; a Flax module is wrapped in a `Coder`.
    """

    def __init__(self, encoder: Any, decoder: Any):
        self.encoder, self.decoder = as_coder("encoder", encoder), as_coder("decoder", decoder)
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

    def __getstate__(self) -> dict[str, Any]:
        """For a pickle: without the state of optimizers, which hold functions."""
        return vars(self) | {"_opt_states": {}, "_checked": set()}

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Unlike a pickle with the state of optimizers."""
        own = memo[id(self)] = object.__new__(type(self))
        vars(own).update(copy.deepcopy(vars(self), memo))
        return own

    def map_from_latent(self, z: Any) -> Any:
        """What the decoder makes of z [B, K]."""
        return self.decoder.applied("z", z)

    def _core(self) -> vae.VAE:
        """The model as pure functions, for the attributes as they are now."""
        raise NotImplementedError

    def _labels(self, y: Any, examples: int) -> np.ndarray | None:
        return None

    def _optimizer(self, optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
        return optimizer

    def _loss_op(self, x: Any, y: Any = None) -> Array:
        core, params, batch = self._prepare(x, y)
        loss = _loss(core, params, next_key(), batch)
        return output(numbers("the loss", loss, params, finite=True))

    def _train_op(self, optimizer: Any, x: Any, y: Any = None) -> Array:
        transformation = _transformation(optimizer)
        core, params, batch = self._prepare(x, y)
        transformation = self._optimizer(transformation)
        _, opt_state = self._opt_states.get(id(optimizer), (None, None))
        if fresh := opt_state is None:
            opt_state = init_opt_state(transformation, params)
        state = TrainState(jnp.int32(0), params, opt_state)
        state, metrics = shared.train_step(core, transformation)(next_key(), state, batch)
        # The optimizer is kept beside its state, so that no other object gets its id.
        self._opt_states[id(optimizer)] = optimizer, state.opt_state
        self._keep(state.params)
        if not metrics.finite:
            reason = why_not_finite(core, state.params, np.asarray(batch.x), step=0 if fresh else 1)
            raise FloatingPointError(
                f"the loss of this step is {metrics.loss}, or its gradient or update is not; "
                f"the weights are those before it. {reason}"
            )
        return output(metrics.loss)

    def _fit(self, name: str, x: Any, y: Any, batch_size: int, epochs: int) -> None:
        checks.positive_int("batch_size", batch_size)
        checks.positive_int("epochs", epochs)
        x = checks.real_array(name, x)
        if x.ndim != 2 or x.dtype.kind not in "iu":  # whole numbers need no check, and stay small
            x = checks.data_array(name, x)
        y = self._labels(y, len(x))
        # One row makes the weights and checks the model.
        core, params, _ = self._prepare(x[:1], None if y is None else y[:1], name)
        optimizer = self._optimizer(keras.adam())
        # Training donates what it is given and what `on_epoch` sees: the coders hold copies.
        params = jax.tree.map(jnp.copy, params)
        start = state = TrainState(jnp.int32(0), params, init_opt_state(optimizer, params))

        def on_epoch(record: history.EpochRecord, state: TrainState) -> None:
            self._keep(jax.tree.map(jnp.copy, state.params))
            say(f"Error {record.batch_losses[-1]:.2f}", end="\r")
            say(f"epoch {record.epoch} - {record.batch_losses.mean():.2f}")

        try:
            state, _ = fit(
                next_key(),
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

    def _prepare(self, x: Any, y: Any, name: str = "x") -> tuple[vae.VAE, Params, Batch]:
        """The core, the weights (made now if they are not yet), and the checked batch."""
        x = checks.data_array(name, x)
        y = self._labels(y, len(x))
        with unless_refused(self.encoder, self.decoder):
            encoder = self.encoder.build(x.shape[1], name)
            if self.decoder.params is None:
                posterior = jax.eval_shape(self.encoder.function.apply, encoder, x)
                self.decoder.build(jax.tree.leaves(posterior)[0].shape[-1])
            params = {"encoder": encoder, "decoder": self.decoder.build()}
            core = self._core()
            if (core, x.shape) not in self._checked:  # tracing costs more than a step
                core.check_data(params, x, y)
                self._checked.add((core, x.shape))
        return core, params, Batch(x, y)


@door("compat")
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
        self._fit("data", data, None, batch_size, epochs)

    def _core(self) -> vae.VAE:
        variance = float(checks.positive_float("C", self.C))  # it may have been set since
        return shared.normal_core(self.encoder.function, self.decoder.function, variance)


@door("compat")
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
        x = finite_floats("x", x)
        with unless_refused(self.encoder):
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
        self._fit("x", x, y, batch_size, epochs)

    def _labels(self, y: Any, examples: int) -> np.ndarray:
        y = checks.real_array("y", y)
        if y.dtype.kind == "f":
            checks.finite_array("y", y)
            with np.errstate(invalid="ignore"):
                whole = y.astype(np.int64)
            y = whole if (whole == y).all() else y  # the original casts labels; others are refused
        return checks.label_array("y", y, examples, self.categories)

    def _optimizer(self, optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
        # An encoder of the user's own may have no such head.
        head = self.encoder.build().get("concentration", {})
        return shared.revived(optimizer) if "bias" in head else optimizer

    def _core(self) -> vae.VAE:
        return shared.dirichlet_core(
            self.encoder.function,
            self.decoder.function,
            self.categories,
            float(self.smoothness),
            float(self.alpha_smoothing),
            float(self.label_smoothing),
        )


@functools.partial(compiled.jit, static_argnums=0)
def _loss(core: vae.VAE, params: Params, key: jax.Array, batch: Batch) -> jax.Array:
    return core.loss(params, key, batch)[0]


def _transformation(optimizer: Any) -> optax.GradientTransformation:
    if isinstance(optimizer, optax.GradientTransformation | optax.MultiSteps):
        updates.check_optimizer(optimizer)
        return optimizer
    if keras.is_optimizer(optimizer):
        return keras.optimizer(optimizer)
    raise TypeError(f"optimizer must be an Optax or a Keras optimizer, got {optimizer!r}")
