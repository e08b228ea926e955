"""Data that are read as they are needed: any re-iterable of batches, in chunks of one shape."""

from jaxvae.data.streaming import (
    CHUNK_BYTES,
    LARGEST_WEIGHT,
    LONGEST_CHUNK,
    Chunk,
    chunk_steps,
    chunks,
    is_stream,
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
