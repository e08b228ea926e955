"""A network, a latent, a prior, a likelihood, an objective, and the VAE that they make."""
