"""Reparameterised draws and closed-form KL divergences of the Normal and the Dirichlet."""

from jaxvae.numerics.distributions import (
    DIRICHLET_GRADIENTS,
    LOG_GAMMA_METHODS,
    TFP_VERSION,
    kl_dirichlet,
    kl_normal,
    log_gamma_grad,
    log_prob_dirichlet,
    sample_dirichlet,
    sample_log_dirichlet,
    sample_log_gamma,
    sample_normal,
    tfp_distributions,
)

__all__ = [
    "DIRICHLET_GRADIENTS",
    "LOG_GAMMA_METHODS",
    "TFP_VERSION",
    "kl_dirichlet",
    "kl_normal",
    "log_gamma_grad",
    "log_prob_dirichlet",
    "sample_dirichlet",
    "sample_log_dirichlet",
    "sample_log_gamma",
    "sample_normal",
    "tfp_distributions",
]
