"""What the estimators refuse: by the names of what the user gave, and without a trace."""

import numpy as np
import pandas as pd
import pytest

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
