"""Tables in files: CSV and its kin, and Parquet."""

import csv
import io
import re
import warnings
from pathlib import Path
from typing import Any

from jaxvae.data.formats.columns import opened
from jaxvae.data.formats.frames import from_frame
from jaxvae.data.formats.sniffing import DAMAGED, Writing, opened_text, sniffed
from jaxvae.data.formats.source import Reading, Source, listed, needed

WRITTEN = {";": "semicolons", "|": "bars", "\t": "tabs", r"\s+": "spaces", ",": "commas"}


def read_csv(path: Path, reading: Reading, *, examples_only: bool = False) -> Source:
    """A table in a text file.

    Args:
      path: a `.csv` or `.tsv`, compressed or not. What stands between its cells, whether a comma
        is its decimal point, its encoding, and whether it has a header are found out.
      reading: as in `from_frame`.
      examples_only: a label column that is named and missing is no error.

    Returns:
      As `from_frame`. Without a header the columns are called "0", "1", ...

    Raises:
      ValueError: if it is damaged or empty, rows differ in length, or what `from_frame` refuses.
      ModuleNotFoundError: without pandas.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "a.csv")
      >>> written = path.write_text("a,b,species\\n1,2,cat\\n3,,dog\\n")
      >>> source = read_csv(path, Reading(label="species"))
      >>> source.x.tolist(), source.y.tolist()
      ([[1.0, 2.0], [3.0, nan]], ['cat', 'dog'])
    """
    pandas = needed("pandas", str(path))
    writing = sniffed(path)
    said = []
    usual = "\t" if ".tsv" in path.name.lower() else ","
    if writing.separator != usual and len(writing.names) > 1:
        comma = ", decimal commas" if writing.decimal == "," else ""
        said.append(f"Its cells are separated by {WRITTEN.get(writing.separator, 'marks')}{comma}.")
    elif writing.decimal == ",":
        said.append("Its numbers have decimal commas.")
    if not writing.header:
        said.append('It has no header: its columns are called "0", "1", and so on.')
    elif writing.numbers:
        said.append(f"Its first line is taken for names: {listed(writing.names)}.")
    try:
        frame = _frame(pandas, path, writing, reading)
    except UnicodeDecodeError:
        said.append("It is not UTF-8: it is read as Latin-1.")
        writing = writing._replace(encoding="latin-1")
        frame = _frame(pandas, path, writing, reading)
    if not len(frame):
        raise ValueError(f"{path}: it must hold at least one row, got a header alone")
    if writing.header and writing.names[0].startswith("#"):  # as NumPy writes it
        frame.columns = [str(frame.columns[0]).lstrip("# "), *frame.columns[1:]]
    _refuse_ragged(path, writing, frame)
    source = from_frame(frame, reading, examples_only=examples_only, where=str(path))
    more = _said_of_missing(pandas, path, writing, frame, (source.label_column, reading.text))
    return source._replace(said=(*said, *source.said, *more))


def read_parquet(path: Path, reading: Reading, *, examples_only: bool = False) -> Source:
    """A Parquet file.

    Args:
      path: the file.
      reading: as in `from_frame`.
      examples_only: a label column that is named and missing is no error.

    Returns:
      As `from_frame`.

    Raises:
      ValueError: if it is damaged, or what `from_frame` refuses.
      ModuleNotFoundError: without pandas or pyarrow.

    Example:
      >>> import tempfile, pandas
      >>> path = Path(tempfile.mkdtemp(), "a.parquet")
      >>> pandas.DataFrame({"a": [1, 2], "y": [0, 1]}).to_parquet(path)
      >>> read_parquet(path, Reading()).y.tolist()
      [0, 1]
    """
    pandas = needed("pandas", str(path))
    needed("pyarrow", str(path))
    try:
        frame = pandas.read_parquet(path, engine="pyarrow")
    except (FileNotFoundError, PermissionError, MemoryError):
        raise
    except Exception as error:  # damaged bytes make Arrow raise several kinds
        text = str(error).partition("\n")[0]
        raise ValueError(f"{path} is not a whole Parquet file: {text}") from None
    return from_frame(frame, reading, examples_only=examples_only, where=str(path))


def _frame(pandas: Any, path: Path, writing: Writing, reading: Reading) -> Any:
    """The table as pandas reads it."""
    options: dict[str, Any] = {
        "sep": writing.separator,
        "decimal": writing.decimal,
        "encoding": writing.encoding,
        "header": 0 if writing.header else None,
        "skiprows": writing.skip,
        "skipinitialspace": True,
        "index_col": 0 if writing.one_short else False,
    }
    if reading.ids is not None:
        options["converters"] = {reading.ids: str}  # 007 is a name, and so is NA
    if not writing.header:
        options["names"] = [str(i) for i in range(len(writing.names))]
    file: Any = opened_text(path) if path.suffix.lower() == ".zip" else path
    try:
        with warnings.catch_warnings():
            # A column of numbers here and texts there; rows that are longer than the header.
            warnings.simplefilter("error", pandas.errors.DtypeWarning)
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            try:
                frame = pandas.read_csv(file, **options)
            except pandas.errors.DtypeWarning:
                if hasattr(file, "seek"):
                    file.seek(0)
                frame = pandas.read_csv(file, low_memory=False, **options)
    except (UnicodeDecodeError, FileNotFoundError, PermissionError):
        raise
    except pandas.errors.ParserWarning:
        raise ValueError(
            f"{path}: its rows must have as many cells as its header, {len(writing.names)}, "
            "got more"
        ) from None
    except pandas.errors.ParserError as error:
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        text = str(error).strip().partition("\n")[0]
        if found:
            text = (
                f"its rows must have as many cells as the others, {found[1]}, "
                f"got {found[3]} in line {found[2]}"
            )
        raise ValueError(f"{path}: {text}") from None
    except (*DAMAGED, ValueError) as error:
        text = str(error).strip().partition("\n")[0]
        raise ValueError(f"{path} is not a whole table: {text}") from None
    if reading.ids in frame:
        frame[reading.ids] = frame[reading.ids].mask(frame[reading.ids] == "")
    if writing.header:
        frame.columns = [str(name).strip() for name in frame.columns]
    return frame


def _said_of_missing(
    pandas: Any, path: Path, writing: Writing, frame: Any, names: tuple[str | None, ...]
) -> list[str]:
    """What is said of columns of words where a word, as NA or None, is read as a missing one."""
    said = []
    for place, name in enumerate(opened(frame).names):
        if name not in names or not frame.iloc[:, place].isna().any():
            continue
        file: Any = opened_text(path) if path.suffix.lower() == ".zip" else path
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of rows that end in an empty cell
            cells = pandas.read_csv(
                file,
                sep=writing.separator,
                encoding=writing.encoding,
                header=0 if writing.header else None,
                names=range(len(writing.names) + writing.one_short),
                usecols=[place + writing.one_short],
                index_col=False,
                skiprows=writing.skip,
                skipinitialspace=True,
                dtype=str,
                keep_default_na=False,
            ).iloc[:, 0]
        missing = frame.iloc[:, place].isna().to_numpy()
        words = sorted({cell for cell in cells[missing] if cell.strip()})
        if words:
            said.append(
                f"In the column {name!r} {listed(words)} is read as no value; as a value it has to "
                "be another word."
            )
    return said


def _refuse_ragged(path: Path, writing: Writing, frame: Any) -> None:
    """Refuse rows that end early, which pandas fills: then the last cell is empty."""
    if not frame.shape[1] or not frame.iloc[:, -1].isna().any() or writing.separator == r"\s+":
        return
    width = len(writing.names) + writing.one_short
    separator = writing.separator.encode()
    if writing.encoding != "utf-16":
        with opened_text(path) as file:  # without quotes a line is a row, which is quick to see
            for line in file:
                if b'"' in line or (line.count(separator) < width - 1 and line.strip()):
                    break
            else:
                return
    with opened_text(path) as file:
        text = io.TextIOWrapper(file, encoding=writing.encoding, errors="replace", newline="")
        limit = csv.field_size_limit(1 << 30)
        try:
            rows = csv.reader(text, delimiter=writing.separator, skipinitialspace=True)
            told = (row for row in rows if row and rows.line_num > writing.skip)
            next(told, None)  # the first says the width; as a header it may be one shorter
            for row in told:
                if len(row) < width:
                    raise ValueError(
                        f"{path}: its rows must have as many cells as the first, {width}, "
                        f"got {len(row)} in line {rows.line_num}"
                    )
        finally:
            csv.field_size_limit(limit)
