"""`fit_many`: many seeds, or many values of a hyper-parameter, trained by one program."""

from jaxvae.training.ensembles import fit_many

__all__ = ["fit_many"]
