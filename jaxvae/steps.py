"""Training by hand: the state, the compiled step and the compiled epoch."""

from jaxvae.training.epochs import make_train_epoch
from jaxvae.training.state import Metrics, TrainState, init_state
from jaxvae.training.steps import make_train_step

__all__ = ["Metrics", "TrainState", "init_state", "make_train_epoch", "make_train_step"]
