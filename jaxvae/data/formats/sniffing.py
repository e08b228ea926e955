"""How a table in a text file is written, found out by a look at its first lines."""

import bz2
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

PIECE = 1 << 18  # bytes, read until there are enough lines
LONGEST = 1 << 25  # of a header of tens of thousands of names
ENOUGH_LINES = 50
SEPARATORS = ("\t", ";", "|", ",")  # the first that divides all lines into as many cells
SPACES = r"\s+"
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
DECIMAL_POINT = re.compile(r"[+-]?\d*\.\d+([eE][+-]?\d+)?")
# What the readers of compressed files raise.
DAMAGED = (
    OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError,
    RuntimeError,
)  # fmt: skip


class Writing(NamedTuple):
    """How a table is written.

    Attributes:
      separator: between cells.
      decimal: "." or ",".
      encoding: of its text.
      header: whether the first line is names.
      skip: lines before it.
      names: the cells of the first line.
      numbers: whether there are numbers among the names of a header.
      one_short: the header lacks the name of the first column, as R writes it.

    Example:
      >>> Writing(",", ".", "utf-8", True, 0, ("a", "b"), False).header
      True
    """

    separator: str
    decimal: str
    encoding: str
    header: bool
    skip: int
    names: tuple[str, ...]
    one_short: bool
    numbers: bool = False


def sniffed(path: Path) -> Writing:
    """How a table in a text file is written.

    Args:
      path: the file, compressed or not.

    Returns:
      What its first lines show.

    Raises:
      ValueError: if it is empty, damaged, or no text.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "a.csv")
      >>> written = path.write_text("a;b\\n1,5;2\\n")
      >>> sniffed(path)[:4]
      (';', ',', 'utf-8', True)
    """
    content, ended = _start(path)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    else:
        encoding = "utf-8-sig" if content[:3] == b"\xef\xbb\xbf" else "utf-8"
        if b"\0" in content:
            raise ValueError(f"{path}: it must be a text, got zero bytes")
    text = content.decode(encoding, errors="replace")
    if not text.strip():
        raise ValueError(f"{path}: it must hold a table, got an empty file")
    skip = 0
    told = re.match(r'"?sep=(.)"?[\r\n]+', text)  # Excel's own way to say it
    if told:
        skip, text = 1, text[told.end() :]
    rows = {sep: _rows(text, sep, ended) for sep in (*SEPARATORS, SPACES)}
    separator = told[1] if told else _separator(path, rows)
    table = rows.get(separator) or _rows(text, separator, ended)
    cells = [cell for row in table[:ENOUGH_LINES] for cell in row]
    commas = separator != "," and any(DECIMAL_COMMA.fullmatch(cell) for cell in cells)
    points = any(DECIMAL_POINT.fullmatch(cell) for cell in cells)
    decimal = "," if commas and not points else "."
    names = tuple(table[0])
    # One cell more in each row is the name of a row, unless it is always an empty last one.
    longer = len(table) > 1 and all(len(row) == len(names) + 1 for row in table[1:])
    short = longer and any(row[-1] for row in table[1:])
    header = longer or _is_header(table, decimal)
    numbers = header and any(_number(name, decimal) is not None for name in names)
    return Writing(separator, decimal, encoding, header, skip, names, short, numbers)


def opened_text(path: Path) -> Any:
    """A file's bytes, uncompressed as its ending says.

    Args:
      path: the file; of a `.zip` the only member is read.

    Returns:
      The open file.

    Raises:
      ValueError: if a `.zip` has several members.
      OSError: if it cannot be opened.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "a.csv.gz")
      >>> written = path.write_bytes(gzip.compress(b"a,b"))
      >>> with opened_text(path) as file:
      ...     file.read()
      b'a,b'
    """
    ending = path.suffix.lower()
    if ending == ".gz":
        return gzip.open(path)
    if ending == ".bz2":
        return bz2.open(path)
    if ending == ".xz":
        return lzma.open(path)
    if ending == ".zip":
        archive = zipfile.ZipFile(path)
        members = [name for name in archive.namelist() if not name.startswith("__MACOSX/")]
        if len(members) != 1:
            archive.close()
            raise ValueError(f"{path}: it must hold one file, got {len(members)}; unpack it")
        return archive.open(members[0])
    return path.open("rb")


def _start(path: Path) -> tuple[bytes, bool]:
    """The first lines of a file, and whether they are all."""
    content = bytearray()
    try:
        with opened_text(path) as file:
            while len(content) < LONGEST and (piece := file.read(PIECE)):
                content += piece
                if content.count(b"\n") >= ENOUGH_LINES:
                    break
            ended = not file.read(1)
    except (FileNotFoundError, PermissionError):
        raise
    except DAMAGED as error:
        raise ValueError(f"{path} is not a whole compressed file: {error}") from None
    return bytes(content), ended


def _rows(text: str, separator: str, ended: bool) -> list[list[str]]:
    """The cells of the lines that are whole."""
    if separator == SPACES:
        lines = [line.split() for line in text.splitlines()[: ENOUGH_LINES + 1] if line.strip()]
        return lines if ended or len(lines) == 1 else lines[:-1]
    rows: list[list[str]] = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        for row in reader:
            if row:
                rows.append([cell.strip() for cell in row])
            if len(rows) > ENOUGH_LINES:
                return rows
    except csv.Error:  # of a cell that is longer than the module takes; the lines before it tell
        pass
    return rows if ended or len(rows) == 1 else rows[:-1]


def _separator(path: Path, rows: dict[str, list[list[str]]]) -> str:
    """What divides the lines into as many cells each; else what divides the first into most."""

    def even(sep: str) -> bool:
        first, *others = rows[sep] or [[]]
        widths = {len(row) for row in others} or {len(first)}
        return len(first) >= 2 and len(widths) == 1 and widths.pop() in (len(first), len(first) + 1)

    found = next((sep for sep in SEPARATORS if even(sep)), None)
    if found is not None:
        return found
    usual = "\t" if ".tsv" in path.name.lower() else ","
    widest = max(SEPARATORS, key=lambda sep: (len(rows[sep][0]) if rows[sep] else 0, sep == usual))
    if rows[widest] and len(rows[widest][0]) >= 2:
        return widest
    # Numbers between spaces, as NumPy writes them; texts have spaces too.
    if even(SPACES) and all(_number(cell) is not None for row in rows[SPACES][1:] for cell in row):
        return SPACES
    return usual


def _is_header(table: list[list[str]], decimal: str) -> bool:
    """Whether the first line is names, not values."""
    first = table[0]
    values = [_number(cell, decimal) for cell in first]
    found = [value for value in values if value is not None]
    if not found:
        return True
    cells = [cell for cell in first if cell]
    places = [str(i) for i in range(len(cells))]
    # As pandas names the columns of an array, after its index or not.
    if cells == places and (not first[0] or len(cells) > 2):
        return True
    if len(found) == len(cells):
        whole = all(value == int(value) for value in found)
        return not first[0] and all(first[1:]) and whole and len(set(cells)) == len(cells) > 1
    # A text among numbers may be a label: then the next line is alike, and the numbers are no
    # names, which would be whole and rise, as years do.
    if len(table) < 2 or len(table[1]) != len(first):
        return True
    alike = all(
        (value is None) == (_number(cell, decimal) is None) or not cell or not own
        for value, cell, own in zip(values, table[1], first, strict=True)
    )
    whole = all(value == int(value) for value in found if abs(value) < 1e18)
    return not alike or (whole and len(found) > 1 and sorted(set(found)) == found)


def _number(cell: str, decimal: str = ".") -> float | None:
    """A cell as a number; None for one that is none, or not finite."""
    try:
        value = float(cell.replace(decimal, "."))
    except ValueError:
        return None
    return value if abs(value) < float("inf") else None
