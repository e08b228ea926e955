"""Train: steps, epochs, devices, `fit`, checkpoints."""

from jaxvae.training.loop import fit
from jaxvae.training.saves import Checkpoints, load_state

__all__ = ["Checkpoints", "fit", "load_state"]
