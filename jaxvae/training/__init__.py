"""Train: steps, epochs, devices, `fit`, checkpoints."""

from jaxvae.training.loop import fit, load_state
from jaxvae.training.saves import Checkpoints

__all__ = ["Checkpoints", "fit", "load_state"]
