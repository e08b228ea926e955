"""scikit-learn's estimators over `fit`: for a `Pipeline`, a `GridSearchCV`, a pickle.

Three classes, as scikit-learn tells estimators apart by whether they need y: `NormalVAE` and
`DirichletVAE` are transformers that ignore it, `DirichletVAEClassifier` needs it. One class for
both would be a classifier that cannot classify until it was fitted with labels.

Import them from here: `import jaxvae` leaves scikit-learn out, which is slow to import.
"""

import functools
from typing import Any, NamedTuple, Self

import jax
import numpy as np
import optax
from sklearn.base import (
    BaseEstimator,
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxvae import _checks, evaluation, models, networks, training
from jaxvae.models import VAE


class _Transformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """What the three share."""

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
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        return evaluation.encode_mean(_build(self._model), self.params_, X)

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
        check_is_fitted(self)
        z = _checks.data_array("X", X)
        if z.shape[1] != self._n_features_out:
            raise ValueError(f"X must have {self._n_features_out} columns, got {z.shape[1]}")
        return np.asarray(jax.jit(_build(self._model).decode)(self.params_, z))

    def _fit(self, model: "_Model", X: np.ndarray, y: np.ndarray | None = None) -> Self:
        seed = check_random_state(self.random_state).randint(2**31 - 1)
        state, history = training.fit(
            jax.random.key(seed),
            _build(model),
            X,
            y,
            batch_size=self.batch_size,
            epochs=self.epochs,
            optimizer=optax.adam(_checks.positive_float("learning_rate", self.learning_rate)),
        )
        self.params_ = jax.device_get(state.params)
        self.loss_curve_ = [record.loss for record in history.epochs]
        self._model, self._seed, self._n_features_out = model, seed, model.latent_dim
        return self

    def _model_of(self, data_dim: int, latent_dim: int, prior: str, *options: float) -> "_Model":
        shared = self.layers, self.hidden_units, self.activation, self.likelihood, self.kl_weight
        return _Model(data_dim, latent_dim, prior, options, *shared)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags


class _Unsupervised(_Transformer):
    """A transformer whose score is the ELBO."""

    def score(self, X: Any, y: Any = None) -> float:
        """Minus the mean loss of the examples: the ELBO in nats where `kl_weight` is 1.

        Args:
          X: examples [N, D].
          y: ignored.

        Returns:
          The score, higher is better. z is drawn once an example, alike in each call.

        Raises:
          NotFittedError: before `fit`.
          ValueError, TypeError: if X is not an array [N, D] of finite numbers.
        """
        check_is_fitted(self)
        X = validate_data(self, X, dtype=np.float32, reset=False)
        key = jax.random.key(self._seed)
        return -evaluation.evaluate(key, _build(self._model), self.params_, X).loss


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
      random_state: seed of everything random: an int, a `RandomState`, or None.

    Attributes:
      params_: the trained parameters, for `encode` and `decode` of a `jaxvae.VAE`.
      loss_curve_: the mean loss of each epoch.
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
            random_state=random_state,
        )
        self.latent_dim = latent_dim
        self.prior_variance = prior_variance

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on examples.

        Args:
          X: examples [N, D].
          y: ignored.

        Returns:
          The estimator itself.

        Raises:
          ValueError, TypeError: if X or a parameter is outside what is allowed; it is named.
          NonFiniteStepError: if a step's loss or gradient is not finite.
        """
        X = validate_data(self, X, dtype=np.float32)
        model = self._model_of(X.shape[1], self.latent_dim, "normal", self.prior_variance)
        return self._fit(model, X)


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
      random_state: seed of everything random: an int, a `RandomState`, or None.

    Attributes:
      params_: the trained parameters, for `encode` and `decode` of a `jaxvae.VAE`.
      loss_curve_: the mean loss of each epoch.
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
            random_state=random_state,
        )
        self.latent_dim = latent_dim
        self.prior_concentration = prior_concentration

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train on examples.

        Args:
          X: examples [N, D].
          y: ignored.

        Returns:
          The estimator itself.

        Raises:
          ValueError, TypeError: if X or a parameter is outside what is allowed; it is named.
          NonFiniteStepError: if a step's loss or gradient is not finite.
        """
        X = validate_data(self, X, dtype=np.float32)
        model = self._model_of(X.shape[1], self.latent_dim, "symmetric", self.prior_concentration)
        return self._fit(model, X)


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
      random_state: seed of everything random: an int, a `RandomState`, or None.

    Attributes:
      classes_: the labels, sorted: of any kind that scikit-learn takes.
      params_: the trained parameters, for `encode` and `decode` of a `jaxvae.VAE`.
      loss_curve_: the mean loss of each epoch.
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
            random_state=random_state,
        )
        self.smoothness = smoothness
        self.total_concentration = total_concentration

    def fit(self, X: Any, y: Any) -> Self:
        """Train on labelled examples.

        Args:
          X: examples [N, D].
          y: labels [N], of at least two classes.

        Returns:
          The estimator itself.

        Raises:
          ValueError, TypeError: if X, y or a parameter is outside what is allowed; it is named.
          NonFiniteStepError: if a step's loss or gradient is not finite.
        """
        X, y = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must hold at least two classes, got one class, {self.classes_[0]}")
        prior = "labels", self.smoothness, self.total_concentration
        return self._fit(self._model_of(X.shape[1], len(self.classes_), *prior), X, labels)

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
        return self.transform(X)

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
        shares = self.predict_proba(X)
        return self.classes_[shares.argmax(axis=1)]


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
        network = networks.dense_normal_network(model.data_dim, model.latent_dim, **dense)
        return models.normal_vae(network, prior_variance=model.prior_options[0], **common)
    network = networks.dense_dirichlet_network(model.data_dim, model.latent_dim, **dense)
    if model.prior == "symmetric":
        prior = models.symmetric_prior(*model.prior_options)
    else:
        smoothness, total = model.prior_options
        prior = models.label_prior(smoothness=smoothness, total_concentration=total)
    return models.dirichlet_vae(network, prior=prior, **common)
