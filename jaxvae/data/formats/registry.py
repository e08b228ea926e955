"""The reader of a path: by its ending, or for a folder by what it holds."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxvae.data.formats import images, texts
from jaxvae.data.formats.annotated import read_h5ad
from jaxvae.data.formats.arrays import read_npy, read_npz
from jaxvae.data.formats.idx import idx_images, read_idx_file, read_idx_folder
from jaxvae.data.formats.images import read_images
from jaxvae.data.formats.matrices import mtx_files, read_10x_folder, read_mtx
from jaxvae.data.formats.source import NO_LABEL, Reading, Source, listed
from jaxvae.data.formats.tables import read_csv, read_parquet
from jaxvae.data.formats.texts import read_text, read_text_folder
from jaxvae.data.formats.trees import files_in

Reader = Callable[..., Source]
COMPRESSED = ("", ".gz", ".bz2", ".xz", ".zip")
ENDINGS: dict[str, Reader] = {
    ".npz": read_npz,
    ".npy": read_npy,
    **{f".csv{zipped}": read_csv for zipped in COMPRESSED},
    **{f".tsv{zipped}": read_csv for zipped in COMPRESSED},
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".h5ad": read_h5ad,
    ".mtx": read_mtx,
    ".mtx.gz": read_mtx,
    ".txt": read_text,
    ".txt.gz": read_text,
    ".idx": read_idx_file,
    "-ubyte": read_idx_file,
    ".gz": read_idx_file,
    **dict.fromkeys(images.ENDINGS, read_images),
}
# What of a run's reading a format has a use for, where a file to be encoded is of another one.
OF_TABLES = ("label", "ids", "leave_out", "text", "words")
USES: dict[Reader, tuple[str, ...]] = {
    read_csv: OF_TABLES,
    read_parquet: OF_TABLES,
    read_h5ad: ("label", "ids", "leave_out", "layer"),
    read_text: ("words",),
    read_text_folder: ("words",),
    read_images: ("image_size",),
}
TABLE = "save it as a .csv or .parquet"
RUNS_CODE = "it is refused, for reading it can run code; save arrays by np.savez as an .npz"
UNPACK = "unpack it, and give the file or folder in it"
# Of what is not read: what to do.
HINTS = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods", ".numbers"), "save it as CSV"),
    **dict.fromkeys(
        (".pkl", ".pickle", ".pt", ".pth", ".joblib", ".rds", ".rdata", ".ckpt"), RUNS_CODE
    ),
    ".mat": "read it by scipy.io.loadmat and save its arrays by np.savez as an .npz",
    **dict.fromkeys(
        (".h5", ".hdf5", ".hdf"),
        "read it by h5py and save its arrays by np.savez as an .npz; an AnnData ends in .h5ad",
    ),
    ".loom": "read it by anndata.read_loom and save it by write_h5ad",
    ".zarr": "read it by anndata.read_zarr and save it by write_h5ad",
    **dict.fromkeys(
        (".json", ".jsonl", ".ndjson"), "read it by pandas.read_json and save it by to_csv"
    ),
    **dict.fromkeys(
        (".feather", ".arrow", ".ipc"), "read it by pandas.read_feather and save it by to_parquet"
    ),
    **dict.fromkeys((".dta", ".sav", ".sas7bdat", ".orc", ".db", ".sqlite", ".arff"), TABLE),
    **dict.fromkeys((".dat", ".data", ".tab"), "where it is a table, name it .csv"),
    **dict.fromkeys(
        (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".rar", ".7z"), UNPACK
    ),
    **dict.fromkeys(
        (".tfrecord", ".safetensors", ".wav", ".mp3", ".flac", ".mp4", ".nii", ".nii.gz", ".dcm"),
        "save its arrays by np.savez as an .npz",
    ),
    **dict.fromkeys((".pdf", ".docx", ".html", ".md"), "save its text as .txt"),
}


def read(
    path: str | os.PathLike,
    reading: Reading = Reading(),  # noqa: B008, it is a frozen value
    *,
    examples_only: bool = False,
) -> Source:
    """Read a file by its ending, or a folder by what it holds.

    Args:
      path: the file or folder.
      reading: how; what does not apply to the format, and is set, is refused by name.
      examples_only: labels are optional everywhere, as in a file to be encoded by a trained model:
        a label column that is named and missing is no error, nor is what applies to the format of
        the model's data and not to this one.

    Returns:
      What it holds, not yet checked or encoded, but that there is a label for each example.

    Raises:
      FileNotFoundError: if there is nothing at the path.
      ValueError: if no reader is for it, or its reader refuses it; the file is named.
      ModuleNotFoundError: if its reader needs a package that is not installed.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "a.csv")
      >>> written = path.write_text("a,b,label\\n1,2,cat\\n3,4,dog\\n")
      >>> read(path).said
      ("The column 'label' is taken for the labels; --label none prevents it.",)
    """
    path = Path(path)
    if path.is_dir():
        reader = _folder_reader(path)
    elif not path.exists():
        raise FileNotFoundError(f"path must name an existing file or folder, got {path}")
    elif not path.is_file():
        raise ValueError(f"path must name a file or a folder, got {path}")
    else:
        reader = _file_reader(path)
    own = _of_use(reader, reading) if examples_only else reading
    source = reader(path, own, examples_only=examples_only)
    _check(path, source)
    return source


def _file_reader(path: Path) -> Reader:
    """The reader of the longest ending that a file has."""
    name = path.name.lower()
    plain = name.removesuffix(".gz")
    wrong = [own for own in HINTS if name.endswith(own) or plain.endswith(own)]
    right = [own for own in ENDINGS if name.endswith(own)]
    best = max(right, key=len, default="")
    if best and not (best == ".gz" and wrong):
        return ENDINGS[best]
    hint = f"; {HINTS[max(wrong, key=len)]}" if wrong else ""
    raise ValueError(f"{path} must end in {', '.join(ENDINGS)}, or be a folder{hint}")


def _folder_reader(path: Path) -> Reader:
    """The reader of what a folder holds."""
    if path.suffix.lower() == ".zarr":
        raise ValueError(f"{path}: {HINTS['.zarr']}")
    if idx_images(path):
        return read_idx_folder
    if mtx_files(path):
        return read_10x_folder
    has_text, others = False, []
    for parts in files_in(path):
        name = parts[-1].lower()
        if name.endswith(images.ENDINGS):
            return read_images
        has_text |= name.endswith(texts.ENDINGS)
        others.append("/".join(parts))
    readable = [
        name
        for name in others
        if name.lower().endswith(tuple(ENDINGS)) and not name.lower().endswith(texts.ENDINGS)
    ]
    if has_text and not readable:  # beside a table, a text tells about it
        return read_text_folder
    hint = f"; give one of its files: {listed(readable)}" if readable else ""
    raise ValueError(
        f"{path} must hold pictures, .txt files, MNIST's four files, or a .mtx with what lies "
        f"beside it, got {listed(others) or 'no file'}{hint}"
    )


def _of_use(reader: Reader, reading: Reading) -> Reading:
    """What a reader has a use for of how another file was read."""
    used = {"columns", *USES.get(reader, ())} | ({"label"} if reading.label == NO_LABEL else set())
    others: dict[str, Any] = {
        field.name: field.default for field in dataclasses.fields(reading) if field.name not in used
    }
    return dataclasses.replace(reading, **others)


def _check(path: Path, source: Source) -> None:
    """Refuse labels that are not one for each example."""
    pairs: list[tuple[str, Any, Any]] = [
        ("y", source.x, source.y),
        ("y_test", source.x_test, source.y_test),
    ]
    for name, x, y in pairs:
        if y is None:
            continue
        if x is None:
            raise ValueError(f"{path}: {name} must come with x_test, got {name} alone")
        if len(y) != x.shape[0]:
            raise ValueError(
                f"{path}: {name} must have one label for each of {x.shape[0]} examples, "
                f"got {len(y)}"
            )
