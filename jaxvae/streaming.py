"""Data that are read as they are needed: any re-iterable of batches, in chunks of one shape."""

from jaxvae.data.examples import is_stream
from jaxvae.data.streaming import (
    CHUNK_BYTES,
    LARGEST_WEIGHT,
    LONGEST_CHUNK,
    Chunk,
    chunk_steps,
    chunks,
    prefetch,
    read,
)

__all__ = [
    "CHUNK_BYTES",
    "LARGEST_WEIGHT",
    "LONGEST_CHUNK",
    "Chunk",
    "chunk_steps",
    "chunks",
    "is_stream",
    "prefetch",
    "read",
]
