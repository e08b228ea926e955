"""scikit-learn's estimators over `fit`: for a `Pipeline`, a `GridSearchCV`, a pickle."""

from jaxvae.apps.estimators import NETWORK, DirichletVAE, DirichletVAEClassifier, NormalVAE

__all__ = ["NETWORK", "DirichletVAE", "DirichletVAEClassifier", "NormalVAE"]
