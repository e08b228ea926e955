"""scikit-learn's own checks of the estimators, and what they promise beyond those."""

import pickle

import jax
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import jaxvae
from jaxvae.estimators import DirichletVAE, DirichletVAEClassifier, NormalVAE

SMALL = {"layers": 1, "hidden_units": 8, "epochs": 2, "batch_size": 64, "random_state": 0}
# What it takes to reach the accuracy that scikit-learn asks of a classifier.
LEARNING = {"layers": 1, "hidden_units": 16, "epochs": 30, "batch_size": 32, "learning_rate": 1e-2}


def checks(estimator, *marks):
    for own, check in estimator_checks_generator(estimator):
        name = f"{type(estimator).__name__}-{check.func.__name__}"
        yield pytest.param(own, check, id=name, marks=marks)


@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        *checks(NormalVAE(**SMALL)),
        *checks(DirichletVAEClassifier(**LEARNING), pytest.mark.slow),
        # All but its prior is the code of the two above.
        *checks(DirichletVAE(3, **SMALL), pytest.mark.long),
    ],
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def data(digits):
    return digits.x_train[:200].astype(np.float64), digits.y_train[:200]


@pytest.fixture(scope="module")
def words(data):
    """Labels of text: 0 is zero, 1 is one, the others many."""
    return np.array(["zero", "one"] + ["many"] * 8)[data[1]]


@pytest.fixture(scope="module")
def classifier(data, words):
    options = LEARNING | {"hidden_units": 32, "epochs": 40}
    return DirichletVAEClassifier(**options, random_state=0).fit(data[0], words)


@pytest.mark.parametrize("estimator", [NormalVAE(**SMALL), DirichletVAE(4, **SMALL)])
def test_it_is_fit_and_encode_mean_and_decode(data, estimator):
    x, _ = data
    estimator = clone(estimator).fit(x)
    if isinstance(estimator, NormalVAE):
        vae = jaxvae.normal_vae(jaxvae.dense_normal_network(64, 2, layers=1, hidden_units=8))
    else:
        network = jaxvae.dense_dirichlet_network(64, 4, layers=1, hidden_units=8)
        vae = jaxvae.dirichlet_vae(network, prior=jaxvae.symmetric_prior(1.0))
    key = jax.random.key(np.random.RandomState(0).randint(2**31 - 1))
    state, history = jaxvae.fit(key, vae, x, batch_size=64, epochs=2)
    jax.tree.map(np.testing.assert_array_equal, estimator.params_, state.params)
    assert estimator.loss_curve_ == [record.loss for record in history.epochs]
    z = estimator.transform(x)
    np.testing.assert_array_equal(z, jaxvae.encode_mean(vae, state.params, x))
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(estimator.inverse_transform(z), vae.decode(state.params, z), **close)
    loss = jaxvae.evaluate(key, vae, state.params, x).loss
    assert estimator.score(x) == pytest.approx(-loss, rel=1e-6)
    assert (estimator.n_features_in_, z.shape[1]) == (64, estimator.latent_dim)
    name = type(estimator).__name__.lower()
    assert list(estimator.get_feature_names_out()) == [f"{name}{k}" for k in range(z.shape[1])]


def test_a_classifier_of_words(data, words, classifier):
    x, _ = data
    assert list(classifier.classes_) == ["many", "one", "zero"]
    shares = classifier.predict_proba(x)
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(shares, classifier.transform(x))
    np.testing.assert_array_equal(classifier.predict(x), classifier.classes_[shares.argmax(axis=1)])
    assert classifier.score(x, words) > 0.95
    assert classifier.inverse_transform(np.eye(3)).shape == (3, 64)


def test_pickle_and_clone(data, classifier):
    x, _ = data
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(x), classifier.predict_proba(x))
    fresh = clone(classifier)
    assert fresh.get_params() == classifier.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(x)


def test_parameters_set_after_fit_wait_for_the_next(data, classifier):
    x, _ = data
    changed = pickle.loads(pickle.dumps(classifier)).set_params(hidden_units=64, kl_weight=0.1)
    np.testing.assert_array_equal(changed.predict(x), classifier.predict(x))


def test_random_state(data):
    """The same number gives the same run, None a run of its own each time."""
    x, _ = data
    fits = [NormalVAE(**SMALL | {"random_state": seed}).fit(x).transform(x) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(fits[0], fits[1])
    assert not np.allclose(fits[0], fits[2])
    vae = NormalVAE(**SMALL | {"random_state": None})
    assert not np.allclose(vae.fit_transform(x), vae.fit_transform(x))


@pytest.mark.slow
def test_in_a_pipeline_and_a_grid_search(data):
    x, y = data
    classifier = DirichletVAEClassifier(**LEARNING, random_state=0)
    pipeline = make_pipeline(MinMaxScaler(), classifier)
    grid = {"dirichletvaeclassifier__learning_rate": [1e-6, 1e-2]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(x, y)
    assert search.best_params_ == {"dirichletvaeclassifier__learning_rate": 1e-2}
    assert search.best_score_ > 0.5
    assert search.predict_proba(x).shape == (200, 10)
    # A transformer is chosen by its ELBO, without labels.
    search = GridSearchCV(NormalVAE(**SMALL), {"learning_rate": [1e-6, 1e-2]}, cv=2).fit(x)
    assert search.best_params_ == {"learning_rate": 1e-2}


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (NormalVAE(latent_dim=0), "latent_dim must be at least 1, got 0"),
        (NormalVAE(prior_variance=-1.0), "prior_variance must be finite and above 0, got -1.0"),
        (NormalVAE(epochs=0), "epochs must be at least 1, got 0"),
        (NormalVAE(learning_rate=0), "learning_rate must be finite and above 0, got 0.0"),
        (NormalVAE(activation="swoosh"), "activation must be one of"),
        (DirichletVAE(latent_dim=1), "latent_dim must be at least 2, got 1"),
        (DirichletVAE(prior_concentration=0), "concentration must be finite and above 0, got 0.0"),
        (DirichletVAEClassifier(smoothness=0), "smoothness must be finite and above 0, got 0.0"),
        (DirichletVAEClassifier(likelihood="poisson"), "likelihood must be one of"),
    ],
)
def test_a_bad_parameter_is_named_by_fit(data, estimator, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(*data)


def test_bad_arrays(data, classifier):
    x, _ = data
    with pytest.raises(ValueError, match="y must hold at least two classes, got one class, 3"):
        DirichletVAEClassifier(**SMALL).fit(x, np.full(200, 3))
    with pytest.raises(ValueError, match="X must have 3 columns, got 2"):
        classifier.inverse_transform(np.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"x must lie in \[0, 1\] for a Bernoulli likelihood"):
        NormalVAE(likelihood="bernoulli", **SMALL).fit(2 * x)
