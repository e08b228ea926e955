"""Train: steps, epochs, devices, `fit`, checkpoints."""

from jaxvae.training.loop import fit, load_state

__all__ = ["fit", "load_state"]
