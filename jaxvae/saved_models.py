"""Saved models: a trained model as a folder, which another process loads."""

from jaxvae.apps.loading import load
from jaxvae.apps.saved_model import SavedModel
from jaxvae.apps.saved_models import DamagedModelError, save
from jaxvae.model.public_names import register

__all__ = ["DamagedModelError", "SavedModel", "load", "register", "save"]
