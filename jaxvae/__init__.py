"""Variational autoencoders in JAX, with a Normal or a Dirichlet latent, as pure functions."""

import importlib
from typing import TYPE_CHECKING, Any

from jaxvae import _failures as _failures  # first: it answers for the imports below
from jaxvae import _front as _front  # `jaxvae --help` ends here, before those imports
from jaxvae import averaging as averaging
from jaxvae import checkpoints as checkpoints
from jaxvae import datasets, latents, likelihoods, objectives, priors, transforms
from jaxvae import distributions as distributions
from jaxvae import ensembles as ensembles
from jaxvae import evaluation as evaluation
from jaxvae import history as history
from jaxvae import models as models
from jaxvae import networks as networks
from jaxvae import parallel as parallel
from jaxvae import revival as revival
from jaxvae import steps as steps
from jaxvae import streaming as streaming
from jaxvae import training as training
from jaxvae._version import __version__
from jaxvae.data.batches import Batch
from jaxvae.data.dataset import Dataset
from jaxvae.model.evaluation import Evaluation, accuracy, encode_mean, evaluate, marginal_nll
from jaxvae.model.flax_network import flax_network
from jaxvae.model.generation import generate, reconstruct
from jaxvae.model.loss_terms import LossTerms
from jaxvae.model.networks import Network
from jaxvae.model.public_names import register
from jaxvae.model.ready import (
    DirichletPrior,
    dirichlet_vae,
    label_prior,
    normal_vae,
    symmetric_prior,
)
from jaxvae.model.ready_networks import dense_dirichlet_network, dense_normal_network
from jaxvae.model.refinement import refine
from jaxvae.model.reports import collapse_report
from jaxvae.model.vae import VAE, bind
from jaxvae.numerics.distributions import (
    kl_dirichlet,
    kl_normal,
    log_gamma_grad,
    log_prob_dirichlet,
    sample_dirichlet,
    sample_log_dirichlet,
    sample_log_gamma,
    sample_normal,
)
from jaxvae.training.averaging import average_params, averaged_params
from jaxvae.training.ensembles import fit_many
from jaxvae.training.epochs import make_train_epoch
from jaxvae.training.history import EpochRecord, History, NonFiniteStepError
from jaxvae.training.loop import fit
from jaxvae.training.parallel import pmap_train_epoch, pmap_train_step
from jaxvae.training.revival import revive_dead_categories
from jaxvae.training.saves import Checkpoints, load_state
from jaxvae.training.state import Metrics, TrainState, init_state
from jaxvae.training.steps import make_train_step

if TYPE_CHECKING:
    from jaxvae.apps.loading import load
    from jaxvae.apps.saved_models import save
    from jaxvae.apps.vae_for import vae_for

# What is imported when it is first used, and from where.
LATER = {"load": "loading", "save": "saved_models", "vae_for": "vae_for"}

__all__ = [
    "VAE",
    "Batch",
    "Checkpoints",
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
    "bind",
    "collapse_report",
    "datasets",
    "dense_dirichlet_network",
    "dense_normal_network",
    "dirichlet_vae",
    "encode_mean",
    "evaluate",
    "fit",
    "fit_many",
    "flax_network",
    "generate",
    "init_state",
    "kl_dirichlet",
    "kl_normal",
    "label_prior",
    "latents",
    "likelihoods",
    "load",
    "load_state",
    "log_gamma_grad",
    "log_prob_dirichlet",
    "make_train_epoch",
    "make_train_step",
    "marginal_nll",
    "normal_vae",
    "objectives",
    "pmap_train_epoch",
    "pmap_train_step",
    "priors",
    "reconstruct",
    "refine",
    "register",
    "revive_dead_categories",
    "sample_dirichlet",
    "sample_log_dirichlet",
    "sample_log_gamma",
    "sample_normal",
    "save",
    "symmetric_prior",
    "transforms",
    "vae_for",
]


def __getattr__(name: str) -> Any:
    """What is imported when it is first used: `fit` needs none of what it brings."""
    if name not in LATER:
        raise AttributeError(f"module 'jaxvae' has no attribute {name!r}")
    return getattr(importlib.import_module(f"jaxvae.apps.{LATER[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
