"""Data sets by name, and a user's own files."""

import hashlib
import http.client
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.data.dataset import Dataset, from_arrays, from_source
from jaxvae.data.files import read_idx
from jaxvae.data.formats.source import Reading
from jaxvae.numerics import checks


def load_digits() -> Dataset:
    """scikit-learn's handwritten digits: 1,797 images of 8x8, divided by 16 into [0, 1].

    Nothing is downloaded. A fifth of each class is held out, the same every time.

    Returns:
      1,437 training and 360 test examples of 64 pixels, with labels 0 ... 9.

    Example:
      >>> load_digits().x_train.shape
      (1437, 64)

    Source: Alpaydin and Kaynak, 1998, Optical recognition of handwritten digits (UCI); the part of
    it that scikit-learn has.
    """
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    x, y = sklearn_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        x / 16, y, test_size=0.2, random_state=0, stratify=y
    )
    x_train, x_test = (x.reshape(-1, 8, 8) for x in (x_train, x_test))
    return from_arrays(x_train, y_train, x_test=x_test, y_test=y_test, name="digits", kind="images")


# Each may also be unzipped: without the .gz, and some name those with a dot before idx.
MNIST_FILES = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}
# Of the bytes of each array: the same whether they came as IDX files or through OpenML.
MNIST_SHA256 = {
    "x_train": "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    "y_train": "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    "x_test": "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    "y_test": "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}


def load_mnist(data_dir: str | os.PathLike | None = None) -> Dataset:
    """MNIST: 70,000 images of 28x28, divided by 256 into [0, 1), as the original did.

    Args:
      data_dir: a folder with the four IDX files, each zipped (`.gz`) or not; the environment
        variable `JAXVAE_DATA` where None. Where that is not set either, the data are downloaded
        once through scikit-learn's OpenML client, which keeps them in its own cache.

    Returns:
      60,000 training and 10,000 test examples of 784 pixels, with labels 0 ... 9.

    Raises:
      FileNotFoundError: if the folder lacks one of the files.
      ValueError: if a file is damaged or the arrays are not MNIST's, by their SHA-256.
      OSError: if the download fails.

    Example:
      >>> load_mnist("an/empty/folder")  # doctest: +ELLIPSIS
      Traceback (most recent call last):
      FileNotFoundError: data_dir must hold MNIST's four files; an/empty/folder lacks ...

    Source: LeCun, Bottou, Bengio and Haffner, 1998, Gradient-based learning applied to document
    recognition.
    """
    data_dir = data_dir or os.environ.get("JAXVAE_DATA") or None
    arrays = _mnist_openml() if data_dir is None else _mnist_folder(Path(data_dir))
    for name, array in arrays.items():
        digest = hashlib.sha256(array.tobytes()).hexdigest()
        if digest != MNIST_SHA256[name]:
            source = "OpenML" if data_dir is None else _mnist_path(Path(data_dir), name)
            raise ValueError(
                f"MNIST's {name} must have the SHA-256 {MNIST_SHA256[name]}, got {digest}: "
                f"the data from {source} were altered or are another data set"
            )
    return from_arrays(
        arrays["x_train"] / np.float32(256),
        arrays["y_train"],
        x_test=arrays["x_test"] / np.float32(256),
        y_test=arrays["y_test"],
        name="mnist",
        kind="images",
    )


def load(
    path: str | os.PathLike,
    *,
    kind: str | None = None,
    missing: str = "refuse",
    label_names: Sequence[str] | None = None,
    like: Sequence[int] | None = None,
    split: bool = True,
    examples_only: bool = False,
    **reading: Any,
) -> Dataset:
    """A user's own file or folder, of any format that is known.

    Args:
      path: `.npz`, `.npy`, `.csv`, `.tsv`, `.parquet`, `.h5ad`, `.mtx`, `.txt`, an IDX file, or a
        folder of images, of texts, of IDX files or of a 10x matrix. Nothing in it is unpickled.
      kind: "images", "series", "table" or "counts"; None finds it out.
      missing: "refuse" NaN, or "mask" it: a model is then trained on what is there.
      label_names: those that a model knows, in its order; None: those that are there.
      like: the shape of an example that a model knows; None: that which is there.
      split: whether a part is held out, where the file holds none out; else all are both.
      examples_only: for a file that a trained model is to judge: labels may be missing, and what
        does not apply to its format is no error.
      **reading: how to read it, as `Reading` says: label, ids, leave_out, text, words, layer,
        image_size, columns.

    Returns:
      The data set, named as the file.

    Raises:
      FileNotFoundError: if there is no such file.
      ModuleNotFoundError: if its reader is not installed; the install line is in the message.
      ValueError, TypeError: if it cannot be read, or for what `from_arrays` refuses.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "mine.npz")
      >>> np.savez(path, x=np.eye(20), y=["cat", "dog"] * 10)
      >>> data = load(path)
      >>> data.name, data.x_train.shape, data.label_names
      ('mine', (18, 20), ('cat', 'dog'))
    """
    from jaxvae.data.formats.registry import read  # here: most programs read no file

    path = checks.path("path", path)
    source = read(path, Reading(**reading), examples_only=examples_only)
    try:
        return from_source(
            source,
            name=stem(path),
            kind=kind,
            missing=missing,
            label_names=None if label_names is None else tuple(label_names),
            like=None if like is None else tuple(like),
            split=split,
        )
    except (ValueError, TypeError) as error:
        raise type(error)(f"{path}: {error}") from None


def stem(path: Path) -> str:
    """What data are called by their file.

    Args:
      path: the file, or a folder.

    Returns:
      Its name without the endings.

    Example:
      >>> stem(Path("a/b.csv.gz"))
      'b'
    """
    return path.name.split(".")[0] or path.resolve().name or "data"


def _mnist_folder(folder: Path) -> dict[str, np.ndarray]:
    paths = {name: _mnist_path(folder, name) for name in MNIST_FILES}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"data_dir must hold MNIST's four files; {folder} lacks {', '.join(missing)}"
        )
    return {name: read_idx(path) for name, path in paths.items()}


def _mnist_path(folder: Path, name: str) -> Path:
    """The file of an array, zipped if it is there so; where there is none, what it should be."""
    zipped = MNIST_FILES[name]
    plain = zipped.removesuffix(".gz")
    paths = [folder / file for file in (zipped, plain, plain.replace("-idx", ".idx"))]
    return next((path for path in paths if path.is_file()), paths[0])


def _mnist_openml() -> dict[str, np.ndarray]:
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one for each try; the error below says it all
            x, y = fetch_openml(
                "mnist_784", version=1, return_X_y=True, as_frame=False, parser="liac-arff"
            )
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise OSError(
            f"MNIST could not be downloaded from OpenML ({error}); give a folder with its four IDX "
            "files by --data-dir or the environment variable JAXVAE_DATA"
        ) from error
    x, y = x.astype(np.uint8).reshape(-1, 28, 28), y.astype(np.uint8)
    return {"x_train": x[:60000], "y_train": y[:60000], "x_test": x[60000:], "y_test": y[60000:]}
