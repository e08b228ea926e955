"""Variational autoencoders in JAX, with a Normal or a Dirichlet latent, as pure functions."""

from jaxvae import _failures as _failures  # first: it answers for the imports below
from jaxvae import datasets, objectives
from jaxvae._version import __version__
from jaxvae.averaging import average_params, averaged_params
from jaxvae.datasets import Batch, Dataset
from jaxvae.distributions import (
    kl_dirichlet,
    kl_normal,
    log_gamma_grad,
    log_prob_dirichlet,
    sample_dirichlet,
    sample_log_dirichlet,
    sample_log_gamma,
    sample_normal,
)
from jaxvae.ensembles import fit_many
from jaxvae.evaluation import Evaluation, accuracy, encode_mean, evaluate
from jaxvae.history import EpochRecord, History, NonFiniteStepError
from jaxvae.models import (
    VAE,
    DirichletPrior,
    dirichlet_vae,
    label_prior,
    normal_vae,
    symmetric_prior,
)
from jaxvae.networks import (
    Network,
    dense_dirichlet_network,
    dense_normal_network,
    flax_network,
)
from jaxvae.objectives import LossTerms
from jaxvae.parallel import pmap_train_epoch, pmap_train_step
from jaxvae.revival import revive_dead_categories
from jaxvae.steps import Metrics, TrainState, init_state, make_train_epoch, make_train_step
from jaxvae.training import fit, load_state

__all__ = [
    "VAE",
    "Batch",
    "Dataset",
    "DirichletPrior",
    "EpochRecord",
    "Evaluation",
    "History",
    "LossTerms",
    "Metrics",
    "Network",
    "NonFiniteStepError",
    "TrainState",
    "__version__",
    "accuracy",
    "average_params",
    "averaged_params",
    "datasets",
    "dense_dirichlet_network",
    "dense_normal_network",
    "dirichlet_vae",
    "encode_mean",
    "evaluate",
    "fit",
    "fit_many",
    "flax_network",
    "init_state",
    "kl_dirichlet",
    "kl_normal",
    "label_prior",
    "load_state",
    "log_gamma_grad",
    "log_prob_dirichlet",
    "make_train_epoch",
    "make_train_step",
    "normal_vae",
    "objectives",
    "pmap_train_epoch",
    "pmap_train_step",
    "revive_dead_categories",
    "sample_dirichlet",
    "sample_log_dirichlet",
    "sample_log_gamma",
    "sample_normal",
    "symmetric_prior",
]
