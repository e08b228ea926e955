"""One training step, and the epoch as one `lax.scan` over it. Both are pure and compiled."""

from jaxvae.training.steps import (
    ORDER,
    Metrics,
    TrainState,
    accepts_any_args,
    check_model,
    check_optimizer,
    chunk_function,
    epoch_function,
    epoch_order,
    init_opt_state,
    init_state,
    make_train_epoch,
    make_train_step,
    shows_non_finite,
    step_function,
    steps_per_epoch,
)

__all__ = [
    "ORDER",
    "Metrics",
    "TrainState",
    "accepts_any_args",
    "check_model",
    "check_optimizer",
    "chunk_function",
    "epoch_function",
    "epoch_order",
    "init_opt_state",
    "init_state",
    "make_train_epoch",
    "make_train_step",
    "shows_non_finite",
    "step_function",
    "steps_per_epoch",
]
