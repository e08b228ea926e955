"""Bring categories back whose ReLU has died: an Optax transformation around any other."""

from jaxvae.training.revival import NUDGE, PATIENCE, RevivalState, revive_dead_categories

__all__ = ["NUDGE", "PATIENCE", "RevivalState", "revive_dead_categories"]
