"""MatrixMarket files, alone or as 10x Genomics lays them beside names of cells and genes."""

import csv
import gzip
import io
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.data.formats.source import (
    Reading,
    Source,
    by_name,
    by_place,
    counts_or_table,
    each_once,
    needed,
    refuse_unused,
)

MTX = re.compile(r"(?P<stem>.*)\.mtx(\.gz)?", re.IGNORECASE)
GENES = "Gene Expression"  # what 10x calls the rows that are genes, where there are others


def read_mtx(path: Path, reading: Reading, *, examples_only: bool = False) -> Source:
    """A MatrixMarket file: rows are examples, unless 10x's names lie beside it.

    Args:
      path: the file, gzipped or not. Where barcodes.tsv and features.tsv (or genes.tsv) lie beside
        it, gzipped or not, perhaps with what stands before "matrix.mtx" before them, it is genes x
        cells: it is transposed.
      reading: its `columns` and `leave_out` count, where there are names.
      examples_only: has no effect: there are no labels.

    Returns:
      A CSR of float32, or an array where the file is dense; the kind is "counts" where all values
      are non-negative whole numbers, else "table".

    Raises:
      ValueError: if it is damaged, or there are not as many names as rows and columns.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "a.mtx")
      >>> head = "%%MatrixMarket matrix coordinate integer general"
      >>> written = path.write_text(f"{head}\\n2 3 1\\n1 3 7\\n")
      >>> read_mtx(path, Reading()).x.toarray().tolist()
      [[0.0, 0.0, 7.0], [0.0, 0.0, 0.0]]
    """
    where = str(path)
    refuse_unused(where, reading, ("columns", "leave_out"))
    matrix = _matrix(path)
    barcodes, features = _beside(path, "barcodes"), _beside(path, "features", "genes")
    said: tuple[str, ...] = ()
    names = ids = None
    if barcodes is not None or features is not None:
        matrix, names, ids, said = _cells_by_genes(path, matrix, barcodes, features)
    if names is None:
        names, more = by_place(where, matrix.shape[1], reading)
        said = (*said, *more)
    else:
        matrix, names = by_name(where, matrix, names, reading)
    kind = counts_or_table(matrix if isinstance(matrix, np.ndarray) else matrix.data)
    return Source(matrix, column_names=names, ids=ids, kind=kind, said=said)


def read_10x_folder(path: Path, reading: Reading, *, examples_only: bool = False) -> Source:
    """A folder of 10x Genomics: matrix.mtx, barcodes.tsv, and features.tsv or genes.tsv.

    Args:
      path: the folder.
      reading: as in `read_mtx`.
      examples_only: has no effect: there are no labels.

    Returns:
      As `read_mtx`: a row a cell.

    Raises:
      ValueError: if it holds several matrices, or what `read_mtx` refuses.

    Example:
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> head = "%%MatrixMarket matrix coordinate integer general"
      >>> for name, text in {
      ...     "matrix.mtx": f"{head}\\n2 1 1\\n2 1 7\\n",
      ...     "barcodes.tsv": "AAAC-1\\n",
      ...     "genes.tsv": "ENSG1\\tCD4\\nENSG2\\tCD8A\\n",
      ... }.items():
      ...     written = (folder / name).write_text(text)
      >>> source = read_10x_folder(folder, Reading())
      >>> source.x.toarray().tolist(), source.column_names, source.ids
      ([[0.0, 7.0]], ('CD4', 'CD8A'), ('AAAC-1',))
    """
    found = mtx_files(path)
    if len(found) != 1:
        names = ", ".join(file.name for file in found)
        raise ValueError(f"{path}: it must hold one .mtx, got {names or 'none'}; give one file")
    return read_mtx(found[0], reading, examples_only=examples_only)


def mtx_files(folder: Path) -> list[Path]:
    """The MatrixMarket files right in a folder.

    Args:
      folder: where.

    Returns:
      The files, sorted; of one that is there zipped and not, the one that is not.

    Example:
      >>> import tempfile
      >>> mtx_files(Path(tempfile.mkdtemp()))
      []
    """
    by_stem: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        name = MTX.fullmatch(file.name)
        if name and not file.name.startswith("."):
            by_stem.setdefault(name["stem"], file)
    return list(by_stem.values())


class _Ended(io.RawIOBase):
    """A file that ends with a new line. SciPy's reader is killed by a number without one."""

    def __init__(self, file: Any):
        self._file = file
        self._over = False

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._file.read(size)
        if piece or self._over:
            return piece
        self._over = True
        return b"\n"


def _opened(path: Path) -> Any:
    """The file, unzipped where its first bytes say that it is zipped."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if zipped else path.open("rb")


def _matrix(path: Path) -> Any:
    """The matrix as it stands there: a CSR of float32, or an array."""
    market, scipy = needed("scipy.io", str(path)), needed("scipy.sparse", str(path))
    try:
        with _opened(path) as file:
            rows, columns, entries, layout, field, _ = market.mminfo(_Ended(file))
        size = path.stat().st_size * (1100 if path.suffix.lower() == ".gz" else 1)
        if entries > size or field == "complex":  # an entry takes two bytes or more
            what = "complex numbers" if field == "complex" else f"{entries} entries"
            raise ValueError(f"it must hold real numbers, as many as its header says, got {what}")
        if not rows or not columns:
            raise ValueError(f"it must not be empty, got the shape ({rows}, {columns})")
        with _opened(path) as file:
            matrix = market.mmread(_Ended(file))
    except (FileNotFoundError, PermissionError):
        raise
    except (
        ValueError,
        TypeError,
        OverflowError,
        OSError,
        EOFError,
        zlib.error,
        MemoryError,
    ) as error:
        text = str(error).partition("\n")[0]
        raise ValueError(f"{path} is not a whole MatrixMarket file: {text}") from None
    with np.errstate(over="ignore"):
        if layout == "array":
            return np.asarray(matrix, np.float32)
        return scipy.csr_array(matrix.astype(np.float32))


def _beside(path: Path, *whats: str) -> Path | None:
    """The file of names beside a matrix, of its own name's beginning first."""
    match = MTX.fullmatch(path.name)
    stem = match["stem"] if match else path.stem
    starts = [f"{stem}_", f"{stem}.", f"{stem}-", ""]
    if stem.lower().endswith("matrix"):
        starts.insert(0, stem[: -len("matrix")])
    for start in starts:
        for what in whats:
            for ending in (".tsv", ".tsv.gz"):
                file = path.parent / f"{start}{what}{ending}"
                if file.is_file():
                    return file
    return None


def _rows_of(path: Path) -> list[list[str]]:
    """The cells of a table of names."""
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        lines = content.decode("utf-8-sig").splitlines()
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a whole table of names: {error}") from None
    return [row for row in csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE) if row]


def _cells_by_genes(
    path: Path, matrix: Any, barcodes: Path | None, features: Path | None
) -> tuple[Any, tuple[str, ...] | None, tuple[str, ...] | None, tuple[str, ...]]:
    """A matrix of genes x cells turned round, with the names of both."""
    cells = None if barcodes is None else [row[0] for row in _rows_of(barcodes)]
    genes = None if features is None else _rows_of(features)
    lengths = (None if genes is None else len(genes), None if cells is None else len(cells))

    def fits(shape: tuple[int, ...]) -> bool:
        return all(n is None or n == own for n, own in zip(lengths, shape, strict=True))

    said = []
    if fits(matrix.shape):
        matrix = matrix.T if isinstance(matrix, np.ndarray) else matrix.T.tocsr()
        said.append("Rows are genes and columns are cells, as 10x writes them: transposed.")
    elif fits(matrix.shape[::-1]):
        said.append("Rows are cells and columns are genes already.")
    else:
        found = " and ".join(
            f"{n} in {file.name}"
            for n, file in zip(lengths, (features, barcodes), strict=True)
            if file is not None
        )
        raise ValueError(
            f"{path}: it must have as many rows and columns as there are names beside it, "
            f"got the shape {matrix.shape}, and names: {found}"
        )
    names = None
    if genes is not None:
        types = [row[2] if len(row) > 2 else GENES for row in genes]
        names = each_once((row[1] if len(row) > 1 and row[1] else row[0] for row in genes), "-")
        if GENES in types and set(types) != {GENES}:
            keep = [i for i, kind in enumerate(types) if kind == GENES]
            others = sorted(set(types) - {GENES})
            said.append(f"Features that are not genes are left out: {', '.join(others)}.")
            matrix, names = matrix[:, keep], tuple(names[i] for i in keep)
    return matrix, names, None if cells is None else tuple(cells), tuple(said)
