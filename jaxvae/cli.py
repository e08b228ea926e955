"""The command line: `jaxvae train`, and what is done with a trained run."""

from jaxvae.apps.cli import main

__all__ = ["main"]
