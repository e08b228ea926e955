"""scikit-learn's estimators over `fit`: for a `Pipeline`, a `GridSearchCV`, a pickle.

Three classes, as scikit-learn tells estimators apart by whether they need y: `NormalVAE` and
`DirichletVAE` are transformers that ignore it, `DirichletVAEClassifier` needs it. One class for
both would be a classifier that cannot classify until it was fitted with labels.

Import them from here: `import jaxvae` leaves scikit-learn out, which is slow to import.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn import get_config
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils._array_api import _convert_to_numpy, get_namespace
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxvae._door import door
from jaxvae.model import evaluation, modules, ready, ready_networks
from jaxvae.model.vae import VAE
from jaxvae.numerics import checks
from jaxvae.training.loop import fit
from jaxvae.training.state import TrainState

# What the parameters of a run that goes on were made for.
NETWORK = ("latent_dim", "layers", "hidden_units", "activation", "likelihood")


class _Transformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """What the three share."""

    params_: Any
    loss_curve_: list[float]
    _model: "_Model"
    _seed: int
    _step: int
    _opt_state: Any

    def __init__(
        self,
        *,
        layers: int,
        hidden_units: int,
        activation: str,
        likelihood: str,
        kl_weight: float,
        batch_size: int,
        epochs: int,
        learning_rate: float,
        warm_start: bool,
        random_state: Any,
    ):
        self.layers = layers
        self.hidden_units = hidden_units
        self.activation = activation
        self.likelihood = likelihood
        self.kl_weight = kl_weight
        self.batch_size = batch_size
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.warm_start = warm_start
        self.random_state = random_state

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
        own, give_back = _to_numpy(X)
        z = checks.data_array("X", own)
        if z.shape[1] != self._n_features_out:
            raise ValueError(f"X must have {self._n_features_out} columns, got {z.shape[1]}")
        decoded = jax.jit(_build(self._model).decode)(self.params_, z)
        return give_back(np.array(decoded))  # a copy: what JAX lends can only be read

    def _seen(self, X: Any) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
        """X like what was fitted, checked; and what makes of a result an array like X."""
        check_is_fitted(self, "params_")
        own, give_back = _to_numpy(X)
        return validate_data(self, own, dtype=np.float32, reset=False), give_back

    def _encode(self, x: np.ndarray) -> np.ndarray:
        return evaluation.encode_mean(_build(self._model), self.params_, x)

    def _goes_on(self, *, partial: bool) -> bool:
        """Whether training goes on where it ended, rather than anew."""
        warm_start = checks.boolean("warm_start", self.warm_start)
        return (partial or warm_start) and hasattr(self, "params_")

    def _train(
        self,
        model: "_Model",
        x: np.ndarray,
        y: np.ndarray | None,
        weight: np.ndarray | None,
        *,
        goes_on: bool,
        partial: bool,
    ) -> Self:
        learning_rate = checks.positive_float("learning_rate", self.learning_rate)
        epochs = checks.positive_int("epochs", self.epochs)
        if goes_on:
            for name in NETWORK:
                before, now = getattr(self._model, name), getattr(model, name)
                if before != now:
                    raise ValueError(
                        f"{name} must stay what it was where training goes on, {before!r}, "
                        f"got {now!r}"
                    )
            seed, losses = self._seed, self.loss_curve_
            state = TrainState(jnp.int32(self._step), self.params_, self._opt_state)
            state = jax.tree.map(jnp.array, state)  # copies: it may be donated
        else:
            seed, losses, state = _seed(self.random_state), [], None
        state, history = fit(
            jax.random.key(seed),
            _build(model),
            x,
            y,
            weight=weight,
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

    def _model_of(self, data_dim: int, latent_dim: int, prior: str, *options: float) -> "_Model":
        """What makes the VAE, each value checked and of one kind: 2 and 2.0 would be one key."""
        activation = self.activation
        if isinstance(activation, str):
            checks.one_of("activation", activation, modules.ACTIVATIONS)
        else:
            checks.function("activation", activation)
            checks.hashable("activation", activation, "a name or a hashable function")
        return _Model(
            data_dim,
            latent_dim,
            prior,
            options,
            layers=checks.positive_int("layers", self.layers),
            hidden_units=checks.positive_int("hidden_units", self.hidden_units),
            activation=activation,
            likelihood=checks.one_of("likelihood", self.likelihood, ready.LIKELIHOODS),
            kl_weight=checks.positive_float("kl_weight", self.kl_weight, zero=True),
        )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        # `array_api_support` stays False, though arrays of any namespace are taken and given back:
        # the tag also promises to refuse another one than that of `fit`. Parameters lie in JAX.
        return tags


class _Unsupervised(_Transformer):
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
          X: examples [N, D]; `batch_size` of them, or fewer, are one step.
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
        x = validate_data(self, _to_numpy(X)[0], dtype=np.float32, reset=not goes_on)
        weight = _weights(sample_weight, len(x))
        model = self._own_model(x.shape[1])
        return self._train(model, x, None, weight, goes_on=goes_on, partial=partial)

    def _own_model(self, data_dim: int) -> "_Model":
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
        x, _ = self._seen(X)
        key, weight = jax.random.key(self._seed), _weights(sample_weight, len(x))
        vae = _build(self._model)
        return -evaluation.evaluate(key, vae, self.params_, x, weight=weight).loss


@door("estimators")
class NormalVAE(_Unsupervised):
    """A VAE with a Normal latent as a scikit-learn transformer.

    Args:
      latent_dim: width of the latent.
      prior_variance: the prior's variance.
      layers: hidden layers each of encoder and decoder.
      hidden_units: width of a hidden layer.
      activation: of the hidden layers, by name.
      likelihood: "normal" (unit variance) or "bernoulli" (X in [0, 1]).
      kl_weight: factor of the KL term; 1 is the ELBO.
      batch_size: examples a step.
      epochs: passes over the examples.
      learning_rate: of Adam.
      warm_start: let `fit` go on where the last one ended, the optimizer too; what makes the
        network must then stay as it was.
      random_state: seed of everything random: an int, a `RandomState`, or None.

    Attributes:
      params_: the trained parameters, for `encode` and `decode` of a `jaxvae.VAE`.
      loss_curve_: the mean loss of each epoch, and of each call of `partial_fit`.
      n_features_in_: the width of an example.

    Example:
      >>> from sklearn.datasets import load_digits
      >>> X = load_digits().data[:200] / 16
      >>> vae = NormalVAE(layers=1, hidden_units=16, epochs=2, random_state=0)
      >>> z = vae.fit_transform(X)
      >>> z.shape, vae.inverse_transform(z).shape
      ((200, 2), (200, 64))
    """

    def __init__(
        self,
        latent_dim: int = 2,
        *,
        prior_variance: float = 1.0,
        layers: int = 4,
        hidden_units: int = 128,
        activation: str = "relu",
        likelihood: str = "normal",
        kl_weight: float = 1.0,
        batch_size: int = 64,
        epochs: int = 60,
        learning_rate: float = 1e-3,
        warm_start: bool = False,
        random_state: Any = None,
    ):
        super().__init__(
            layers=layers,
            hidden_units=hidden_units,
            activation=activation,
            likelihood=likelihood,
            kl_weight=kl_weight,
            batch_size=batch_size,
            epochs=epochs,
            learning_rate=learning_rate,
            warm_start=warm_start,
            random_state=random_state,
        )
        self.latent_dim = latent_dim
        self.prior_variance = prior_variance

    def _own_model(self, data_dim: int) -> "_Model":
        latent_dim = checks.positive_int("latent_dim", self.latent_dim)
        variance = checks.positive_float("prior_variance", self.prior_variance)
        return self._model_of(data_dim, latent_dim, "normal", variance)


@door("estimators")
class DirichletVAE(_Unsupervised):
    """A VAE with a Dirichlet latent, the same prior for every example, as a transformer.

    Args:
      latent_dim: the number of categories.
      prior_concentration: the prior's concentration of each category; 1 is uniform on the simplex.
      layers: hidden layers each of encoder and decoder.
      hidden_units: width of a hidden layer.
      activation: of the hidden layers, by name.
      likelihood: "normal" (unit variance) or "bernoulli" (X in [0, 1]).
      kl_weight: factor of the KL term; 1 is the ELBO.
      batch_size: examples a step.
      epochs: passes over the examples.
      learning_rate: of Adam.
      warm_start: let `fit` go on where the last one ended, the optimizer too; what makes the
        network must then stay as it was.
      random_state: seed of everything random: an int, a `RandomState`, or None.

    Attributes:
      params_: the trained parameters, for `encode` and `decode` of a `jaxvae.VAE`.
      loss_curve_: the mean loss of each epoch, and of each call of `partial_fit`.
      n_features_in_: the width of an example.

    Example:
      >>> from sklearn.datasets import load_digits
      >>> X = load_digits().data[:200] / 16
      >>> vae = DirichletVAE(5, layers=1, hidden_units=16, epochs=2, random_state=0)
      >>> shares = vae.fit_transform(X)
      >>> shares.shape, bool(np.allclose(shares.sum(axis=1), 1))
      ((200, 5), True)
    """

    def __init__(
        self,
        latent_dim: int = 10,
        *,
        prior_concentration: float = 1.0,
        layers: int = 4,
        hidden_units: int = 128,
        activation: str = "relu",
        likelihood: str = "normal",
        kl_weight: float = 1.0,
        batch_size: int = 64,
        epochs: int = 60,
        learning_rate: float = 1e-3,
        warm_start: bool = False,
        random_state: Any = None,
    ):
        super().__init__(
            layers=layers,
            hidden_units=hidden_units,
            activation=activation,
            likelihood=likelihood,
            kl_weight=kl_weight,
            batch_size=batch_size,
            epochs=epochs,
            learning_rate=learning_rate,
            warm_start=warm_start,
            random_state=random_state,
        )
        self.latent_dim = latent_dim
        self.prior_concentration = prior_concentration

    def _own_model(self, data_dim: int) -> "_Model":
        latent_dim = checks.positive_int("latent_dim", self.latent_dim, minimum=2)
        concentration = checks.positive_float("prior_concentration", self.prior_concentration)
        return self._model_of(data_dim, latent_dim, "symmetric", concentration)


@door("estimators")
class DirichletVAEClassifier(ClassifierMixin, _Transformer):
    """A VAE with a Dirichlet latent, a category for each class, as a classifier.

    Each example's prior is made from its label (`jaxvae.label_prior`). The posterior mean is then
    both the probability of each class and what `transform` gives. It is drawn towards the prior,
    which never gives a class the whole mass: probabilities stay well below 1.

    Args:
      smoothness: what each class gets in the prior beside the label's 1.
      total_concentration: the prior's total concentration.
      layers: hidden layers each of encoder and decoder.
      hidden_units: width of a hidden layer.
      activation: of the hidden layers, by name.
      likelihood: "normal" (unit variance) or "bernoulli" (X in [0, 1]).
      kl_weight: factor of the KL term; 1 is the ELBO.
      batch_size: examples a step.
      epochs: passes over the examples.
      learning_rate: of Adam.
      warm_start: let `fit` go on where the last one ended, the optimizer too; what makes the
        network must then stay as it was.
      random_state: seed of everything random: an int, a `RandomState`, or None.

    Attributes:
      classes_: the labels, sorted: of any kind that scikit-learn takes.
      params_: the trained parameters, for `encode` and `decode` of a `jaxvae.VAE`.
      loss_curve_: the mean loss of each epoch, and of each call of `partial_fit`.
      n_features_in_: the width of an example.

    Example:
      >>> from sklearn.datasets import load_digits
      >>> X, y = load_digits(return_X_y=True)
      >>> vae = DirichletVAEClassifier(layers=1, epochs=20, random_state=0).fit(X / 16, y)
      >>> vae.predict_proba(X[:3] / 16).shape, vae.score(X / 16, y) > 0.9
      ((3, 10), True)
    """

    def __init__(
        self,
        *,
        smoothness: float = 0.5,
        total_concentration: float = 8.0,
        layers: int = 4,
        hidden_units: int = 128,
        activation: str = "relu",
        likelihood: str = "normal",
        kl_weight: float = 1.0,
        batch_size: int = 64,
        epochs: int = 60,
        learning_rate: float = 1e-3,
        warm_start: bool = False,
        random_state: Any = None,
    ):
        super().__init__(
            layers=layers,
            hidden_units=hidden_units,
            activation=activation,
            likelihood=likelihood,
            kl_weight=kl_weight,
            batch_size=batch_size,
            epochs=epochs,
            learning_rate=learning_rate,
            warm_start=warm_start,
            random_state=random_state,
        )
        self.smoothness = smoothness
        self.total_concentration = total_concentration

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train on labelled examples.

        Args:
          X: examples [N, D].
          y: labels [N], of at least two classes.
          sample_weight: examples' weights [N], as in `jaxvae.fit`; None weighs all alike.

        Returns:
          The estimator itself.

        Raises:
          ValueError, TypeError: if X, y, sample_weight or a parameter is outside what is allowed;
            it is named.
          NonFiniteStepError: if a step's loss or gradient is not finite.
        """
        return self._fit(X, y, sample_weight, partial=False)

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train on labelled examples once, going on where `fit` or the last call ended.

        Args:
          X: examples [N, D]; `batch_size` of them, or fewer, are one step.
          y: labels [N], of `classes`.
          classes: all labels that will come, at least two; needed in the first call.
          sample_weight: examples' weights [N], as in `jaxvae.fit`; None weighs all alike.

        Returns:
          The estimator itself.

        Raises:
          ValueError, TypeError: if X, y, classes, sample_weight or a parameter is outside what is
            allowed, or what makes the network is not what it was; it is named.
          NonFiniteStepError: if a step's loss or gradient is not finite.
        """
        return self._fit(X, y, sample_weight, classes, partial=True)

    def _fit(
        self, X: Any, y: Any, sample_weight: Any, classes: Any = None, *, partial: bool
    ) -> Self:
        goes_on = self._goes_on(partial=partial)
        arrays = (_to_numpy(array)[0] for array in (X, y))
        x, y = validate_data(self, *arrays, dtype=np.float32, reset=not goes_on)
        check_classification_targets(y)
        weight = _weights(sample_weight, len(x))
        known = self._classes(y, weight, classes, goes_on=goes_on, partial=partial)
        place = np.minimum(np.searchsorted(known, y), len(known) - 1)
        if (strange := known[place] != y).any():
            raise ValueError(f"y must hold labels of the classes {known}, got {y[strange][0]!r}")
        prior = (
            checks.positive_float("smoothness", self.smoothness),
            checks.positive_float("total_concentration", self.total_concentration),
        )
        model = self._model_of(x.shape[1], len(known), "labels", *prior)
        self._train(model, x, place, weight, goes_on=goes_on, partial=partial)
        self.classes_ = known
        return self

    def _classes(
        self, y: np.ndarray, weight: Any, classes: Any, *, goes_on: bool, partial: bool
    ) -> np.ndarray:
        """The labels that there are: those given or known, or of y where it has to have all."""
        if classes is not None:
            classes = np.unique(_to_numpy(classes)[0])
            check_classification_targets(classes)
            if goes_on and not np.array_equal(classes, self.classes_):
                raise ValueError(f"classes must be those of before, {self.classes_}, got {classes}")
            if len(classes) < 2:
                raise ValueError(f"classes must be at least two, got {classes}")
        if goes_on:
            return self.classes_
        if partial:
            if classes is None:
                raise ValueError(
                    "classes must be passed on the first call to partial_fit, got None"
                )
            return classes
        counted = np.unique(y if weight is None else y[weight > 0])
        if len(counted) < 2:
            raise ValueError(f"y must hold at least two classes, got one class, {counted[0]}")
        return np.unique(y)

    def predict_proba(self, X: Any) -> np.ndarray:
        """The posterior mean: each class's share of an example.

        Args:
          X: examples [N, D].

        Returns:
          [N, K], float32, in the order of `classes_`.

        Raises:
          NotFittedError: before `fit`.
          ValueError, TypeError: if X is not an array [N, D] of finite numbers.
        """
        x, give_back = self._seen(X)
        return give_back(self._encode(x))

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of `predict_proba`.

        Args:
          X: examples [N, D].

        Returns:
          [N, K], float32, in the order of `classes_`.

        Raises:
          NotFittedError: before `fit`.
          ValueError, TypeError: if X is not an array [N, D] of finite numbers.
        """
        x, give_back = self._seen(X)
        with np.errstate(divide="ignore"):  # a share of 0
            return give_back(np.log(self._encode(x)))

    def predict(self, X: Any) -> np.ndarray:
        """The class of the largest share.

        Args:
          X: examples [N, D].

        Returns:
          [N], of `classes_`.

        Raises:
          NotFittedError: before `fit`.
          ValueError, TypeError: if X is not an array [N, D] of finite numbers.
        """
        x, give_back = self._seen(X)
        labels = self.classes_[self._encode(x).argmax(axis=1)]
        return give_back(labels) if labels.dtype.kind in "biuf" else labels


def _to_numpy(X: Any) -> tuple[Any, Callable[[np.ndarray], Any]]:
    """X for scikit-learn's checks, and what makes of a result an array like X.

    With `array_api_dispatch` an array of another namespace (JAX, PyTorch, CuPy) becomes NumPy's,
    and the results are of its namespace and on its device.
    """
    if not get_config()["array_api_dispatch"]:
        return X, lambda result: result
    namespace, is_array = get_namespace(X)
    if not is_array or isinstance(X, np.ndarray | np.generic):
        return X, lambda result: result
    own = _convert_to_numpy(X, namespace)
    return own, lambda result: namespace.asarray(result, device=X.device)


def _weights(sample_weight: Any, examples: int) -> np.ndarray | None:
    """Weights as `fit` takes them; one number for all, and booleans, as in scikit-learn."""
    if sample_weight is None:
        return None
    array = np.asarray(_to_numpy(sample_weight)[0])
    array = np.full(examples, array) if array.ndim == 0 else array
    array = array.astype(float) if array.dtype == bool else array
    return checks.weight_array("sample_weight", array, examples)


def _seed(random_state: Any) -> int:
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except (ValueError, TypeError):
        raise ValueError(
            "random_state must be None, an integer from 0 to 2**32 - 1 or a numpy.random."
            f"RandomState, got {random_state!r}"
        ) from None


@functools.lru_cache(maxsize=16)
def _adam(learning_rate: float) -> optax.GradientTransformation:
    """The same one for the same rate, so that the next call compiles nothing."""
    return optax.adam(learning_rate)


class _Model(NamedTuple):
    """What makes a VAE, as values: a pickle holds these in place of functions."""

    data_dim: int
    latent_dim: int
    prior: str
    prior_options: tuple[float, ...]
    layers: int
    hidden_units: int
    activation: str
    likelihood: str
    kl_weight: float


@functools.lru_cache(maxsize=64)
def _build(model: _Model) -> VAE:
    """The VAE; the same one for the same values, so that nothing compiles twice."""
    dense: dict[str, Any] = {
        "layers": model.layers,
        "hidden_units": model.hidden_units,
        "activation": model.activation,
    }
    common: dict[str, Any] = {"likelihood": model.likelihood, "kl_weight": model.kl_weight}
    if model.prior == "normal":
        network = ready_networks.dense_normal_network(model.data_dim, model.latent_dim, **dense)
        return ready.normal_vae(network, prior_variance=model.prior_options[0], **common)
    network = ready_networks.dense_dirichlet_network(model.data_dim, model.latent_dim, **dense)
    if model.prior == "symmetric":
        prior = ready.symmetric_prior(*model.prior_options)
    else:
        smoothness, total = model.prior_options
        prior = ready.label_prior(smoothness=smoothness, total_concentration=total)
    return ready.dirichlet_vae(network, prior=prior, **common)
