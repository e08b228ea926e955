"""Metrics of a trained model."""

from jaxvae.model.evaluation import Evaluation, accuracy, encode_mean, evaluate

__all__ = ["Evaluation", "accuracy", "encode_mean", "evaluate"]
