"""scikit-learn's estimators over `fit`: for a `Pipeline`, a `GridSearchCV`, a pickle."""

from jaxvae.apps.estimator_base import NETWORK
from jaxvae.apps.estimators import DirichletVAE, DirichletVAEClassifier, NormalVAE, _Model

__all__ = ["NETWORK", "DirichletVAE", "DirichletVAEClassifier", "NormalVAE", "_Model"]
