"""What `fit` and `fit_many` saw: records, the error of a step that is not finite, the progress."""

from jaxvae.training.history import (
    EpochRecord,
    History,
    NonFiniteStepError,
    epoch_record,
    non_finite,
)
from jaxvae.training.progress import Progress

__all__ = ["EpochRecord", "History", "NonFiniteStepError", "Progress", "epoch_record", "non_finite"]
