"""Load and check data: the embedded digits, MNIST, or a user's own arrays and files."""

from jaxvae.data.batches import Batch
from jaxvae.data.datasets import (
    MNIST_FILES,
    MNIST_SHA256,
    Dataset,
    from_arrays,
    load_digits,
    load_file,
    load_mnist,
)
from jaxvae.data.files import read_arrays, read_idx

__all__ = [
    "MNIST_FILES",
    "MNIST_SHA256",
    "Batch",
    "Dataset",
    "from_arrays",
    "load_digits",
    "load_file",
    "load_mnist",
    "read_arrays",
    "read_idx",
]
