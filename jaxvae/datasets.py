"""Load and check data: the embedded digits, MNIST, or a user's own arrays, files and folders."""

from jaxvae.data.batches import Batch
from jaxvae.data.dataset import Dataset, from_arrays
from jaxvae.data.datasets import MNIST_FILES, MNIST_SHA256, load, load_digits, load_mnist
from jaxvae.data.files import read_arrays, read_idx
from jaxvae.data.formats.image_stream import ImageStream, stream_images
from jaxvae.data.formats.row_stream import RowStream, stream_rows
from jaxvae.data.formats.source import Reading
from jaxvae.data.labels import encode_labels

__all__ = [
    "MNIST_FILES",
    "MNIST_SHA256",
    "Batch",
    "Dataset",
    "ImageStream",
    "Reading",
    "RowStream",
    "encode_labels",
    "from_arrays",
    "load",
    "load_digits",
    "load_mnist",
    "read_arrays",
    "read_idx",
    "stream_images",
    "stream_rows",
]
