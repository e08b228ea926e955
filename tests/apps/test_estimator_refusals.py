"""What the estimators refuse: by the names of what the user gave, and without a trace."""

import pickle

import jax
import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from jaxvae import likelihoods
from jaxvae.apps.estimators import DirichletVAEClassifier, NormalVAE

SMALL = {"layers": 1, "hidden_units": 8, "epochs": 1, "random_state": 0}
X = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
COUNTS = np.random.default_rng(0).poisson(3.0, (30, 3)).astype(np.float32)
NAMES = ["a", "b", "c"]


@pytest.mark.parametrize("kind", [NormalVAE, DirichletVAEClassifier])
def test_a_refit_that_is_refused_leaves_the_fitted_model(kind):
    frame, y = pd.DataFrame(X, columns=NAMES), np.arange(30) % 2
    fitted = kind(**SMALL).fit(frame, y)
    before, z = dict(vars(fitted)), fitted.transform(frame)
    other = frame[NAMES[:1]].rename(columns={"a": "z"})
    fitted.set_params(learning_rate=-1)
    with pytest.raises(ValueError, match="learning_rate must be finite and above 0"):
        fitted.fit(other, y)
    assert vars(fitted) == before | {"learning_rate": -1}
    np.testing.assert_array_equal(fitted.transform(frame), z)
    with pytest.raises(ValueError, match="feature names"):
        fitted.transform(other)


def test_a_first_fit_that_is_refused_leaves_nothing():
    model = NormalVAE(**SMALL).set_params(batch_size=-1)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        model.fit(X)
    assert not hasattr(model, "n_features_in_")


MULTINOMIAL = likelihoods.dirichlet_multinomial()
HOLES = np.where(COUNTS == 2, np.nan, COUNTS).astype(np.float32)


@pytest.mark.parametrize(
    ("options", "x", "message"),
    [
        (
            {"likelihood": "bernoulli"},
            100 + X,
            r"X must lie in \[0, 1\] for a Bernoulli likelihood, got 1\d\d.*, and scale=",
        ),
        ({"likelihood": "poisson"}, COUNTS + 0.5, "X must hold counts, .* Poisson .* got"),
        (
            {"likelihood": "multinomial", "missing": "mask"},
            HOLES,
            "missing must be 'refuse' for a multinomial.*: .*, got 'mask' and an X that holds nan",
        ),
        (
            {"likelihood": MULTINOMIAL, "missing": "mask", "scale": "none"},
            HOLES,
            "missing must be 'refuse' for a Dirichlet-multinomial.*, got 'mask' and an X",
        ),
        (
            {"likelihood": MULTINOMIAL},
            COUNTS,
            "X must hold counts, .* once it was scaled; scale='none' leaves it as it is",
        ),
        (
            {"missing": "mask"},
            csr_array(HOLES),
            "X must be dense with missing='mask', got a sparse matrix that holds nan",
        ),
        (
            {"missing": "mask"},
            np.full((5, 3), np.nan),
            "X must hold at least one value with missing='mask', got nan alone",
        ),
    ],
)
def test_the_user_s_names(options, x, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        NormalVAE(**SMALL, **options).fit(x)


@pytest.mark.parametrize("form", [np.asarray, csr_array])
def test_what_fit_refuses_is_refused_by_all(form):
    fitted = NormalVAE(**SMALL, likelihood="poisson").fit(form(COUNTS))
    labelled = DirichletVAEClassifier(**SMALL, likelihood="poisson")
    labelled.fit(form(COUNTS), np.arange(30) % 2)
    message = "^X must hold counts, integers of at least 0, for a Poisson likelihood, got -"
    for call in (fitted.transform, fitted.score, labelled.predict, labelled.predict_proba):
        with pytest.raises(ValueError, match=message):
            call(form(-COUNTS))


def test_a_first_batch_that_says_too_little_of_the_scale():
    """It is fixed by that batch, and a warning says where it cannot be right."""
    apart = X * np.array([1, 2, 3], np.float32) + 5
    still = apart.copy()
    still[:, 1] = 7
    for first, what in (
        (apart[:1], "it is one example"),
        (still, "1 of its columns hold one value"),
    ):
        with pytest.warns(UserWarning, match=f"first batch of partial_fit fixes .*, and {what}"):
            model = NormalVAE(**SMALL).partial_fit(first)
        transform = model.vae_.parts.transform
        assert model.partial_fit(apart).vae_.parts.transform == transform
    NormalVAE(**SMALL).fit(still)  # the suite makes errors of warnings
    NormalVAE(**SMALL).partial_fit(apart)
    NormalVAE(**SMALL, scale="none").partial_fit(still)


def test_an_activation_of_jax_is_pickled_by_its_name():
    fitted = NormalVAE(**SMALL, activation=jax.nn.relu).fit(X)
    again = pickle.loads(pickle.dumps(fitted))
    assert again.activation is jax.nn.relu
    assert again.vae_ == fitted.vae_
    np.testing.assert_array_equal(again.transform(X), fitted.transform(X))
    assert fitted.activation is jax.nn.relu
