"""scikit-learn's own checks of the estimators, and what they promise beyond those."""

import functools
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import jaxvae
from jaxvae.estimators import DirichletVAE, DirichletVAEClassifier, NormalVAE

SMALL = {"layers": 1, "hidden_units": 8, "epochs": 3, "batch_size": 32}
LEARNING = {"layers": 1, "hidden_units": 16, "epochs": 30, "batch_size": 32, "learning_rate": 1e-2}


@parametrize_with_checks(
    [NormalVAE(**SMALL), DirichletVAE(3, **SMALL), DirichletVAEClassifier(**LEARNING)]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
