"""What a trained model is worth, and what it makes."""

from jaxvae.model.evaluation import Evaluation, accuracy, encode_mean, evaluate, marginal_nll
from jaxvae.model.generation import generate, reconstruct
from jaxvae.model.refinement import posterior_elbo, refine
from jaxvae.model.reports import CollapseReport, PartReport, collapse_report

__all__ = [
    "CollapseReport",
    "Evaluation",
    "PartReport",
    "accuracy",
    "collapse_report",
    "encode_mean",
    "evaluate",
    "generate",
    "marginal_nll",
    "posterior_elbo",
    "reconstruct",
    "refine",
]
