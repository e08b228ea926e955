"""NumPy's files, as several libraries name the arrays in them."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.data import files
from jaxvae.data.formats.source import (
    Reading,
    Source,
    by_name,
    by_place,
    each_once,
    label_strings,
    needed,
    refuse_unused,
)
from jaxvae.data.sparse import summed

# What the arrays are called: x, y, x_test, y_test. Names are compared in lower case.
NAMINGS = (
    ("x", "y", "x_test", "y_test"),  # ours, and scikit-learn's X, y
    ("x_train", "y_train", "x_test", "y_test"),  # Keras
    ("data", "target", None, None),  # a Bunch of scikit-learn
    ("train_images", "train_labels", "test_images", "test_labels"),  # MedMNIST
)
BUNCH = ("data", "target")
# What else a Bunch holds, and is of no use here; some of it only a pickle could hold.
OF_A_BUNCH = (
    "images", "descr", "frame", "filename", "data_filename", "target_filename", "data_module",
    "details", "categories", "url",
)  # fmt: skip
NAMES = ("feature_names", "target_names")
UNUSED = ("val_images", "val_labels")
SPARSE = {
    "csr": ("data", "indices", "indptr"),
    "csc": ("data", "indices", "indptr"),
    "coo": ("data", "row", "col"),
}
# What may lie beside a sparse matrix, and what it is called.
BESIDE = {
    "feature_names": ("feature_names", "features", "columns", "vocabulary"),
    "target_names": ("target_names", "label_names"),
    "label": ("labels", "y", "target"),
}
ALLOWED = (
    "x and, if wanted, y, x_test, y_test; x_train, y_train, x_test, y_test; data, target; what "
    "scipy.sparse.save_npz writes; or one array of any name"
)


def read_npy(path: Path, reading: Reading, *, examples_only: bool = False) -> Source:
    """An `.npy`: examples.

    Args:
      path: the file.
      reading: its `columns` count: there are no names, so their number has to be the same.
      examples_only: has no effect: there are no labels.

    Returns:
      The array.

    Raises:
      ValueError: if it is damaged, pickled, or holds no numbers.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "a.npy")
      >>> np.save(path, np.zeros((3, 2)))
      >>> read_npy(path, Reading()).x.shape
      (3, 2)
    """
    refuse_unused(str(path), reading, ("columns",))
    return _by_place(path, Source(_examples(path, "x", _arrays(path)["x"])), reading)


def read_npz(path: Path, reading: Reading, *, examples_only: bool = False) -> Source:
    """An `.npz`: examples, labels, and a test, as several libraries call them.

    Args:
      path: the file. It holds x and, if wanted, y, x_test, y_test; or what Keras, scikit-learn,
        MedMNIST or `scipy.sparse.save_npz` call them; or one array of any name. Beside a sparse
        matrix may lie labels, label_names and features, the names of its columns.
      reading: its `columns` and `leave_out` count, where the file names its columns; where it does
        not, there have to be as many as `columns`.
      examples_only: has no effect: labels are optional.

    Returns:
      The arrays; those of `save_npz` as a CSR.

    Raises:
      ValueError: if it is damaged, pickled, or its arrays are called otherwise.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "a.npz")
      >>> np.savez(path, X=np.zeros((3, 2)), y=np.array(["a", "b", "a"]))
      >>> read_npz(path, Reading()).y.tolist()
      ['a', 'b', 'a']
    """
    where = str(path)
    refuse_unused(where, reading, ("columns", "leave_out"))
    arrays = _arrays(path)
    lower = {name.lower(): array for name, array in arrays.items()}
    if len(lower) < len(arrays):
        raise ValueError(f"{path}: it must hold each array once, got {sorted(arrays)}")
    if {"data", "shape"} <= set(lower) and {"format", "indptr"} & set(lower):
        return _beside_sparse(path, lower, reading)
    if len(arrays) == 1:
        ((name, array),) = arrays.items()
        return _by_place(path, Source(_examples(path, name, array)), reading)
    for naming in NAMINGS:
        x, y, x_test, y_test = naming
        allowed = set(naming) | ({*OF_A_BUNCH, *NAMES} if naming[:2] == BUNCH else set())
        if x == "train_images":
            allowed |= set(UNUSED)
        if x in lower and set(lower) <= allowed:
            break
    else:
        raise ValueError(f"{path} must hold {ALLOWED}; got {sorted(arrays)}")

    def part(name: Any, checked: Callable[[Path, str, np.ndarray], np.ndarray]) -> Any:
        return checked(path, name, lower[name]) if name in lower else None

    said: tuple[str, ...] = ()
    if set(UNUSED) & set(lower):
        said = ("The arrays val_images and val_labels are not read.",)
    source = Source(
        part(x, _examples),
        part(y, _labels) if reading.label is None else None,
        part(x_test, _examples),
        part(y_test, _labels) if reading.label is None else None,
        said=said,
    )
    return _named(path, source, lower, reading)


def _beside_sparse(path: Path, lower: dict[str, np.ndarray], reading: Reading) -> Source:
    """A sparse matrix, and what lies beside it: labels, names of labels and of columns."""
    x = _sparse(path, lower)
    known = {name: _first_of(lower, names) for name, names in BESIDE.items()}
    used = {name for name in known.values() if name is not None}
    rest = sorted(
        set(lower) - used - {"shape", "format"} - {n for ns in SPARSE.values() for n in ns}
    )
    said = (f"The arrays {', '.join(rest)} are not read.",) if rest else ()
    label = known["label"]
    y = None if label is None or reading.label is not None else _labels(path, label, lower[label])
    own = {name: lower[found] for name, found in known.items() if found is not None}
    return _named(path, Source(x, y, said=said), own, reading)


def _first_of(arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in arrays), None)


def _named(path: Path, source: Source, lower: dict[str, np.ndarray], reading: Reading) -> Source:
    """A Bunch with the names that it has of its own."""
    names = lower.get("target_names")
    y = source.y
    # Labels are places among these; a regression's one name of its target is none of them.
    places = y is not None and y.dtype.kind in "iu" and len(y) > 0
    if (
        places
        and names is not None
        and names.ndim == 1
        and set(y.tolist()) <= set(range(len(names)))
    ):
        own = _strings(names)
        source = source._replace(y=label_strings(own[i] for i in y), label_names=own)
    columns = lower.get("feature_names")
    if columns is None or source.x.ndim != 2 or columns.shape != source.x.shape[1:]:
        return _by_place(path, source, reading)
    x, own = by_name(str(path), source.x, each_once(_strings(columns), "."), reading)
    return source._replace(x=x, column_names=own)


def _by_place(path: Path, source: Source, reading: Reading) -> Source:
    """Examples without names of columns: a model's count by their number."""
    names, said = by_place(str(path), int(np.prod(source.x.shape[1:])), reading)
    return source._replace(column_names=names, said=(*source.said, *said))


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """`read_arrays`; of a Bunch only what is of use, for the rest may be pickled."""
    try:
        return files.read_arrays(path)
    except ValueError as error:
        if "pickled objects" not in str(error):
            raise
        wanted = _of_a_bunch(path)
        if wanted is not None:
            return wanted
        raise ValueError(
            f"{error}; save labels as np.array(labels, dtype=str) and examples as an array of "
            "numbers"
        ) from None


def _of_a_bunch(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a Bunch that are of use; None where it is none, or these are pickled too."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return None
        with zipfile.ZipFile(file) as archive:
            members = {
                member.filename.removesuffix(".npy").lower(): member
                for member in archive.infolist()
            }
            if "data" not in members or not set(members) <= {*BUNCH, *NAMES, *OF_A_BUNCH}:
                return None
            found = {}
            for name in (*BUNCH, *NAMES):
                if name not in members:
                    continue
                if members[name].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    return None
                with archive.open(members[name]) as content:
                    try:
                        found[name] = files._read_npy(content, members[name].file_size)
                    except ValueError:
                        return None
    return found


def _examples(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{path}: {name} must hold numbers, got dtype {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"{path}: {name} must be an array [N, ...], got the number {array}")
    return array


def _labels(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """Labels [N]; a column [N, 1], as Keras has it, is one."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        hint = f"; np.argmax({name}, axis=1) makes labels of ones and zeros"
        raise ValueError(
            f"{path}: {name} must have one label for each example, the shape [N], "
            f"got {array.shape}{hint if array.ndim == 2 else ''}"
        )
    return np.array(_strings(array)) if array.dtype.kind == "S" else array


def _strings(array: np.ndarray) -> tuple[str, ...]:
    """An array of strings, or of bytes that are UTF-8."""
    return tuple(
        item.decode("utf-8", errors="replace") if isinstance(item, bytes) else str(item)
        for item in array.tolist()
    )


def _sparse(path: Path, arrays: dict[str, np.ndarray]) -> Any:
    """What `scipy.sparse.save_npz` wrote, as a CSR; where no format is said, it is one."""
    scipy = needed("scipy.sparse", str(path))
    kind = _strings(arrays["format"].reshape(-1))[0] if "format" in arrays else "csr"
    if kind not in SPARSE:
        raise ValueError(f"{path}: its format must be csr, csc or coo, got {kind!r}")
    missing = [name for name in SPARSE[kind] if name not in arrays]
    if missing:
        raise ValueError(f"{path}: a {kind} matrix must have {missing[0]}, got {sorted(arrays)}")
    data, *places = (arrays[name] for name in SPARSE[kind])
    _examples(path, "data", data)
    try:
        shape = tuple(int(n) for n in arrays["shape"])
        if kind == "coo":
            return summed(scipy.coo_array((data, tuple(places)), shape=shape))
        if all(place.dtype.kind in "iu" for place in places):  # also of few bits, which save room
            places = [place.astype(np.int64) for place in places]
        matrix = getattr(scipy, f"{kind}_array")((data, *places), shape=shape)
        matrix.check_format(full_check=True)
        return summed(matrix)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise ValueError(f"{path} is not a whole {kind} matrix: {error}") from None
