"""What the scikit-learn estimators share: training, encoding, pickles."""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxvae.apps import description
from jaxvae.apps.description import Description
from jaxvae.apps.estimator_inputs import (
    by_the_users_names,
    masked,
    seed_of,
    to_numpy,
    unchanged_if_refused,
    warn_of_a_first_batch,
    weights,
)
from jaxvae.apps.model_parts import BY_NAME, KINDS, Dense, Elbo, Identity
from jaxvae.data import labels, looks
from jaxvae.data.batches import Batch
from jaxvae.data.formats.source import each_once
from jaxvae.data.sparse import is_sparse
from jaxvae.model import bind_checks, evaluation, modules, portable, transforms
from jaxvae.model.finite import numbers
from jaxvae.model.likelihoods import Likelihood
from jaxvae.model.vae import VAE
from jaxvae.numerics import checks
from jaxvae.training.loop import fit
from jaxvae.training.state import TrainState

# What the parameters of a run that goes on were made for.
NETWORK = ("latent_dim", "layers", "hidden_units", "activation", "likelihood")


@dataclass(eq=False, repr=False, kw_only=True)
class Transformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """What the three share. scikit-learn reads the options from the constructor's signature."""

    layers: int = 4
    hidden_units: int = 128
    activation: str = "relu"
    likelihood: Any = "normal"
    kl_weight: float = 1.0
    scale: str = "auto"
    missing: str = "refuse"
    batch_size: int = 64
    epochs: int = 60
    learning_rate: float = 1e-3
    warm_start: bool = False
    random_state: Any = None
    params_: Any = field(init=False)
    loss_curve_: list[float] = field(init=False)
    _model: Description = field(init=False)
    _seed: int = field(init=False)
    _step: int = field(init=False)
    _opt_state: Any = field(init=False)

    @property
    def vae_(self) -> VAE:
        """The model that was fitted, whose parameters are `params_`. To save it with the names of
        labels and columns, give `jaxvae.save` the estimator itself.
        """
        check_is_fitted(self, "params_")
        return description.build(self._model)

    def _described(self) -> Description:
        """The model with what is known of its data, for `jaxvae.save`."""
        check_is_fitted(self, "params_")
        classes, columns = (getattr(self, own, None) for own in ("classes_", "feature_names_in_"))
        return dataclasses.replace(
            self._model,
            masked=self.missing == "mask",
            label_names=None if classes is None else labels.names_of(classes),
            column_names=None if columns is None else each_once(columns, "."),
        )

    def transform(self, X: Any) -> np.ndarray:
        """The posterior mean of z for each example.

        Args:
          X: examples [N, D].

        Returns:
          [N, K], float32.

        Raises:
          NotFittedError: before `fit`.
          ValueError, TypeError: if X is not an array [N, D] of finite numbers.
        """
        x, give_back = self._seen(X)
        return give_back(self._encode(x))

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The mean of x given z.

        Args:
          X: points of the latent space [N, K].

        Returns:
          [N, D], float32.

        Raises:
          NotFittedError: before `fit`.
          ValueError, TypeError: if X is not an array [N, K] of finite numbers.
        """
        check_is_fitted(self, "params_")
        own, give_back = to_numpy(X)
        z = checks.data_array("X", own)
        if z.shape[1] != self._n_features_out:
            raise ValueError(f"X must have {self._n_features_out} columns, got {z.shape[1]}")
        decoded = jax.jit(description.build(self._model).decode)(self.params_, z)
        found = np.array(decoded)  # a copy: what JAX lends can only be read
        return give_back(numbers("the mean", found, self.params_, finite=True))

    def _seen(self, X: Any) -> tuple[Batch, Callable[[np.ndarray], Any]]:
        """X like what was fitted, checked; and what makes of a result an array like X."""
        check_is_fitted(self, "params_")
        own, give_back = to_numpy(X)
        data = masked(validate_data(self, own, **self._taken(), reset=False))
        with by_the_users_names(self._model, data.x):
            bind_checks.check_in_units(description.build(self._model).parts, data.x)
        return data, give_back

    def _taken(self) -> dict[str, Any]:
        """What X may be, for scikit-learn's check."""
        missing = checks.one_of("missing", self.missing, ("refuse", "mask"))
        finite: Any = "allow-nan" if missing == "mask" else True
        return {"dtype": np.float32, "accept_sparse": "csr", "ensure_all_finite": finite}

    def _encode(self, x: Batch) -> np.ndarray:
        return evaluation.encode_mean(description.build(self._model), self.params_, x)

    def _goes_on(self, *, partial: bool) -> bool:
        """Whether training goes on where it ended, rather than anew."""
        warm_start = checks.boolean("warm_start", self.warm_start)
        return (partial or warm_start) and hasattr(self, "params_")

    def _train(
        self,
        model: Description,
        data: Batch,
        *,
        goes_on: bool,
        partial: bool,
    ) -> Self:
        learning_rate = checks.positive_float("learning_rate", self.learning_rate)
        epochs = checks.positive_int("epochs", self.epochs)
        if goes_on:
            fitted, wanted = (_network_of(each) for each in (self._model, model))
            for name in NETWORK:
                before, now = fitted[name], wanted[name]
                if before != now:
                    raise ValueError(
                        f"{name} must stay what it was where training goes on, {before!r}, "
                        f"got {now!r}"
                    )
            seed, losses = self._seed, self.loss_curve_
            state = TrainState(jnp.int32(self._step), self.params_, self._opt_state)
            state = jax.tree.map(jnp.array, state)  # copies: it may be donated
        else:
            seed, losses, state = seed_of(self.random_state), [], None
        if partial and not goes_on and model.transform != Identity():
            warn_of_a_first_batch(data)
        with by_the_users_names(model, data.x):
            state, history = fit(
                jax.random.key(seed),
                description.build(model),
                data,
                batch_size=self.batch_size,
                epochs=1 if partial else epochs,
                optimizer=_adam(learning_rate),
                state=state,
            )
        step, self.params_, self._opt_state = jax.device_get(state)
        self._step = int(step)
        self.loss_curve_ = [*losses, *(record.loss for record in history.epochs)]
        self._model, self._seed, self._n_features_out = model, seed, model.latent_dim
        return self

    def _model_of(
        self, x: Any, latent_dim: int, latent: Any, prior: Any, *, goes_on: bool
    ) -> Description:
        """The model for examples, each value of one kind: 2 and 2.0 would be one key."""
        if not is_sparse(x) and np.isnan(x).all():
            raise ValueError("X must hold at least one value with missing='mask', got nan alone")
        activation = self.activation
        if isinstance(activation, str):
            checks.one_of("activation", activation, modules.ACTIVATIONS)
        else:
            checks.function("activation", activation)
            checks.hashable("activation", activation, "a name or a hashable function")
        likelihood = self.likelihood
        if not isinstance(likelihood, Likelihood):
            likelihood = self._named(checks.one_of("likelihood", likelihood, BY_NAME))
        of_counts = getattr(likelihood, "of_counts", False)
        return Description(
            latent=latent,
            prior=prior,
            likelihood=likelihood,
            objective=Elbo(kl_weight=checks.positive_float("kl_weight", self.kl_weight, zero=True)),
            network=Dense(
                layers=checks.positive_int("layers", self.layers),
                hidden_units=checks.positive_int("hidden_units", self.hidden_units),
                activation=activation,
                counts=of_counts,
            ),
            transform=Identity() if of_counts else self._transform(x, goes_on=goes_on),
            data_shape=(x.shape[1],),
            latent_dim=latent_dim,
        )

    def _transform(self, x: Any, *, goes_on: bool) -> Any:
        """The scale that suits the examples, or that of those with which training began."""
        scale = checks.one_of("scale", self.scale, ("auto", "none"))
        if goes_on:
            return self._model.transform
        found = looks.look(x, kind="table").scale
        return transforms.of_scale(found) if scale == "auto" and found.changes else Identity()

    @staticmethod
    def _named(likelihood: str) -> Any:
        """The likelihood that a name stands for."""
        return KINDS["likelihood"][likelihood]()

    def __getstate__(self) -> dict[str, Any]:
        """A pickle holds the description as plain values, and arrays: no classes but its own."""
        state = dict(super().__getstate__())
        # A function of JAX's own is pickled by its name, as in a saved model.
        state["activation"] = description.by_name(state["activation"])
        if "_model" in state:
            state["_model"] = description.to_plain(state["_model"])
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        if isinstance(model := state.get("_model"), dict):  # else of the first version
            state = state | {"_model": description.from_json(model)}
        if isinstance(activation := state["activation"], dict):
            state = state | {"activation": portable.from_json(activation)}
        # An earlier version scaled and masked nothing.
        state = {"scale": "none", "missing": "refuse"} | state
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.missing == "mask"
        # `array_api_support` stays False, though arrays of any namespace are taken and given back:
        # the tag also promises to refuse another one than that of `fit`. Parameters lie in JAX.
        return tags


class Unsupervised(Transformer):
    """A transformer whose score is the ELBO."""

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train on examples.

        Args:
          X: examples [N, D].
          y: ignored.
          sample_weight: examples' weights [N], as in `jaxvae.fit`; None weighs all alike.

        Returns:
          The estimator itself.

        Raises:
          ValueError, TypeError: if X, sample_weight or a parameter is outside what is allowed; it
            is named.
          NonFiniteStepError: if a step's loss or gradient is not finite.
        """
        return self._fit(X, sample_weight, partial=False)

    def partial_fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Train on examples once, going on where `fit` or the last call ended.

        Args:
          X: examples [N, D]; `batch_size` of them, or fewer, are one step. Those of the first call
            fix the scale, so that they have to be like those that come.
          y: ignored.
          sample_weight: examples' weights [N], as in `jaxvae.fit`; None weighs all alike.

        Returns:
          The estimator itself.

        Raises:
          ValueError, TypeError: if X, sample_weight or a parameter is outside what is allowed, or
            what makes the network is not what it was; it is named.
          NonFiniteStepError: if a step's loss or gradient is not finite.
        """
        return self._fit(X, sample_weight, partial=True)

    def _fit(self, X: Any, sample_weight: Any, *, partial: bool) -> Self:
        goes_on = self._goes_on(partial=partial)
        with unchanged_if_refused(self):
            x = validate_data(self, to_numpy(X)[0], **self._taken(), reset=not goes_on)
            weight = weights(sample_weight, x.shape[0])
            model = self._own_model(x if weight is None else x[weight > 0], goes_on=goes_on)
            data = masked(x)._replace(weight=weight)
            return self._train(model, data, goes_on=goes_on, partial=partial)

    def _own_model(self, x: Any, *, goes_on: bool) -> Description:
        raise NotImplementedError

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the mean loss of the examples: the ELBO in nats where `kl_weight` is 1.

        Args:
          X: examples [N, D].
          y: ignored.
          sample_weight: examples' weights [N] in the mean; None weighs all alike.

        Returns:
          The score, higher is better. z is drawn once an example, alike in each call.

        Raises:
          NotFittedError: before `fit`.
          ValueError, TypeError: if X is not an array [N, D] of finite numbers, or sample_weight
            cannot be used.
        """
        data, _ = self._seen(X)
        data = data._replace(weight=weights(sample_weight, data.x.shape[0]))
        key, vae = jax.random.key(self._seed), description.build(self._model)
        with by_the_users_names(self._model, data.x):
            return -evaluation.evaluate(key, vae, self.params_, data).loss


def _network_of(model: Description) -> dict[str, Any]:
    """What `NETWORK` names; a likelihood as the value that its name stands for."""
    return {
        "latent_dim": model.latent_dim,
        **vars(model.network),
        "likelihood": description.likelihood_of(model),
    }


@functools.lru_cache(maxsize=16)
def _adam(learning_rate: float) -> optax.GradientTransformation:
    """The same one for the same rate, so that the next call compiles nothing."""
    return optax.adam(learning_rate)
