"""An exponential moving average of the parameters, kept by the optimizer's state."""

from jaxvae.training.averaging import AveragedState, average_params, averaged_params

__all__ = ["AveragedState", "average_params", "averaged_params"]
