"""`jaxvae explore`: one page in which one drags a point through a model's latent space."""
