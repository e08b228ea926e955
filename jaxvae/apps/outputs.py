"""Files that a user asks for, written whole or not at all and never over what is there."""

import csv
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.data.formats.source import needed


def write_new(
    path: Path | None,
    default: str,
    endings: Sequence[str],
    write: Callable[[Path], None],
    *,
    replace: bool,
    name: str = "out",
) -> Path:
    """Write a file that a user asked for, whole or not at all.

    Args:
      path: the file, or None.
      default: its name where the user gave none; with -2, -3, ... where it exists.
      endings: what its name may end in.
      write: writes to the path that it is called with, of the same ending. It becomes the file at
        the end, and is removed after an error.
      replace: whether it may take the place of one that is there.
      name: of the option that names the file, for an error.

    Returns:
      The file.

    Raises:
      ValueError: if the name ends in anything else.
      FileExistsError: if the file exists and may not be replaced.
      FileNotFoundError: if there is no folder for it.
    """
    out = Path(default) if path is None else path
    if out.suffix not in endings:
        raise ValueError(f"{name} must end in {', '.join(endings)}, got {out}")
    taken = FileExistsError(f"{name} must be a new file, or be replaced with --force, got {out}")
    if out.is_dir() or (path is not None and out.exists() and not replace):
        raise taken
    if not out.parent.is_dir():
        raise FileNotFoundError(f"{name} must be in a folder that exists, got {out}")
    unfinished = out.with_name(f".{os.getpid()}-{out.name}")
    try:
        write(unfinished)
        if replace:
            unfinished.replace(out)
            return out
        number = 1
        while not _put(unfinished, out):  # another process may just have written it
            if path is not None:
                raise taken
            number += 1
            out = Path(default).with_stem(f"{Path(default).stem}-{number}")
        return out
    finally:
        unfinished.unlink(missing_ok=True)


def write_table(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns as a table.

    Args:
      path: a .csv or a .parquet.
      columns: each [N], by name.

    Raises:
      ModuleNotFoundError: if a .parquet is asked for and pyarrow is not installed.
      OSError: if it cannot be written.
    """
    if path.suffix == ".parquet":
        arrow, parquet = (needed(f"pyarrow{part}", ".parquet") for part in ("", ".parquet"))
        parquet.write_table(arrow.table(dict(columns)), path)
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*map(_texts, columns.values()), strict=True))


def _texts(column: Any) -> list[str]:
    if isinstance(column, np.ndarray) and column.dtype.kind == "f":
        return [f"{value:.9g}" for value in column.tolist()]
    return [str(value) for value in column]


def _put(unfinished: Path, out: Path) -> bool:
    """Give a file its name; False where a file has it already."""
    try:
        os.link(unfinished, out)  # unlike a renaming it never replaces
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        if out.exists():
            return False
        unfinished.replace(out)
    return True
