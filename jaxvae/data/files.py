"""Read files of arrays, NumPy's and IDX. Nothing is unpickled, and no header is believed."""

import contextlib
import gzip
import io
import math
import os
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read a NumPy file. Pickled objects inside are refused.

    Args:
      path: an `.npz`, or an `.npy`, whose one array is called `x`.

    Returns:
      Its arrays by name.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it is damaged, or holds anything but arrays of plain numbers.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "mine.npy")
      >>> np.save(path, np.zeros(3))
      >>> read_arrays(path)
      {'x': array([0., 0., 0.])}

    Source: NumPy's description of its format, numpy.lib.format.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must name an existing file, got {path}")
    try:
        with path.open("rb") as file:
            if file.read(len(np.lib.format.MAGIC_PREFIX)) == np.lib.format.MAGIC_PREFIX:
                file.seek(0)
                return {"x": _read_npy(file, path.stat().st_size)}
            return _read_npz(file, path.stat().st_size)
    except Exception as error:  # damaged bytes make NumPy and zipfile raise a dozen kinds
        raise ValueError(f"path must name a whole NumPy file of numbers, {path}: {error}") from None


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """Read an IDX file of unsigned bytes, gzipped or not.

    Args:
      path: the file. Its header is `0 0 8 rank`, then each dimension as a big-endian uint32. A
        `.gz` must be gzipped; of another its first bytes say whether it is.

    Returns:
      The array, uint8, of rank 1 to 4.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if the header is not IDX's, or the length is not what the header says.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "labels.gz")
      >>> header = bytes([0, 0, 8, 1]) + (3).to_bytes(4, "big")
      >>> with gzip.open(path, "wb") as file:
      ...     written = file.write(header + bytes([7, 2, 1]))
      >>> read_idx(path)
      array([7, 2, 1], dtype=uint8)

    Source: LeCun's description of the IDX format, which is MNIST's.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"path must name an existing file, got {path}")
    try:
        with contextlib.ExitStack() as stack:
            file: IO[bytes] | gzip.GzipFile = stack.enter_context(path.open("rb"))
            zipped = path.suffix == ".gz" or file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if zipped:
                file = stack.enter_context(gzip.open(file))
            magic = file.read(4)
            if len(magic) != 4 or magic[:3] != b"\0\0\x08" or not 1 <= magic[3] <= 4:
                raise ValueError(f"its header must be 00 00 08 and a rank of 1 to 4, got {magic!r}")
            rank = magic[3]
            header = file.read(4 * rank)
            if len(header) != 4 * rank:
                raise ValueError(f"its header must have {rank} dimensions, but it ends early")
            shape = tuple(int(n) for n in np.frombuffer(header, ">u4"))
            size = math.prod(shape)
            content = _read_at_most(file, size)
        if len(content) != size:
            found = f"more than {size}" if len(content) > size else len(content)
            raise ValueError(f"it must hold {size} bytes for its shape {shape}, got {found}")
        return np.frombuffer(content, np.uint8).reshape(shape)
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        kind = "gzipped IDX" if path.suffix == ".gz" else "IDX"
        raise ValueError(f"{path} is not a whole {kind} file: {error}") from None


# By the version of the format. The third differs in the names of fields, which numbers have not.
NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
LONGEST_NPY_HEADER = 16_384  # bytes; NumPy refuses one of more than 10,000


def _read_npy(file: IO[bytes], size: int) -> np.ndarray:
    """The array of an `.npy` of `size` bytes; nothing is read unless its header says that size."""
    start = file.read(LONGEST_NPY_HEADER)
    head = io.BytesIO(start)  # ends where the bytes do, whatever length the header claims
    version = np.lib.format.read_magic(head)
    if version not in NPY_HEADERS:
        raise ValueError(f"its version must be 1.0 or 2.0, got {version}")
    shape, fortran_order, dtype = NPY_HEADERS[version](head)
    if dtype.hasobject:
        raise ValueError(f"it must hold numbers, got pickled objects, dtype {dtype}")
    wanted = head.tell() + math.prod(shape) * dtype.itemsize
    if wanted != size or min(shape, default=0) < 0:
        raise ValueError(f"it must have {wanted} bytes for its {dtype} {shape}, got {size}")
    content = _read_at_most(file, wanted, start)
    if len(content) != wanted:
        raise ValueError(f"it must have {wanted} bytes, but ends after {len(content)}")
    array = np.frombuffer(content, dtype, offset=head.tell())
    return array.reshape(shape, order="F" if fortran_order else "C")


def _read_npz(file: IO[bytes], size: int) -> dict[str, np.ndarray]:
    """The arrays of an `.npz` of `size` bytes, by name. Nothing is ever extracted to disk."""
    arrays: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        if sum(member.compress_size for member in members) > size:
            raise ValueError("its members must not overlap")  # one piece, unpacked many times
        for member in members:
            # All that NumPy writes; LZMA would allocate what its header asks for.
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise ValueError(f"{member.filename} must be stored or deflated")
            name = member.filename.removesuffix(".npy")
            if name in arrays:
                raise ValueError(f"it must hold each array once, got {name} again")
            with archive.open(member) as content:
                arrays[name] = _read_npy(content, member.file_size)
    return arrays


def _read_at_most(file: IO[bytes] | gzip.GzipFile, size: int, start: bytes = b"") -> bytearray:
    """`start` and what follows, to one piece beyond `size` bytes at the most.

    In pieces: memory follows what the file really holds, not what its header claims.
    """
    content = bytearray(start)
    while len(content) <= size and (piece := file.read(1 << 20)):
        content += piece
    return content
