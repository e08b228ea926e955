"""Load and check data: the embedded digits, MNIST, or a user's own arrays and files."""

import hashlib
import http.client
import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae._door import door
from jaxvae.data.files import read_arrays, read_idx
from jaxvae.numerics import checks


@door("datasets")
class Dataset(NamedTuple):
    """Checked arrays, split into train and test.

    Attributes:
      name: what the data are.
      x_train, x_test: examples, float32 [N, D].
      y_train, y_test: labels, int32 [N], or None.
      image_shape: (height, width) where an example is an image, else None.

    Example:
      >>> data = from_arrays(np.zeros((20, 16)), np.arange(20) % 3)
      >>> data.y_train.shape, data.categories
      ((18,), 3)
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray | None
    x_test: np.ndarray
    y_test: np.ndarray | None
    image_shape: tuple[int, int] | None

    @property
    def categories(self) -> int | None:
        """The number of classes: the largest label plus one; None without labels."""
        if self.y_train is None or self.y_test is None:
            return None
        return int(max(self.y_train.max(), self.y_test.max())) + 1


def from_arrays(
    x: Any,
    y: Any = None,
    *,
    x_test: Any = None,
    y_test: Any = None,
    name: str = "arrays",
) -> Dataset:
    """Make a data set of a user's arrays.

    Args:
      x: examples [N, D], or images [N, H, W].
      y: integer labels [N], or None.
      x_test: held-out examples of the same shape. None sets every tenth example aside.
      y_test: their labels; needed where `y` and `x_test` are given.
      name: what to call the data.

    Returns:
      The data set.

    Raises:
      ValueError, TypeError: if an array is empty, not finite, of the wrong rank or dtype, or
        its length differs from its labels'.

    Example:
      >>> data = from_arrays(np.zeros((20, 4, 4)), np.zeros(20, int))
      >>> data.x_train.shape, data.x_test.shape, data.image_shape
      ((18, 16), (2, 16), (4, 4))
    """
    x, image_shape = _flat_examples("x", x)
    y = None if y is None else checks.label_array("y", y, len(x))
    if x_test is None:
        if y_test is not None:
            raise ValueError("y_test must come with x_test, got y_test alone")
        if len(x) < 2:
            raise ValueError(f"x must have at least 2 examples to hold one out, got {len(x)}")
        held_out = np.arange(len(x)) % 10 == min(9, len(x) - 1)
        x, x_test = x[~held_out], x[held_out]
        if y is not None:
            y, y_test = y[~held_out], y[held_out]
    else:
        x_test, test_shape = _flat_examples("x_test", x_test)
        if (x_test.shape[1], test_shape) != (x.shape[1], image_shape):
            raise ValueError(
                f"x_test must hold examples like those of x, {image_shape or x.shape[1:]}, "
                f"got {test_shape or x_test.shape[1:]}"
            )
        if (y is None) != (y_test is None):
            raise ValueError("y and y_test must both be given, or neither; got one of them")
        if y_test is not None:
            y_test = checks.label_array("y_test", y_test, len(x_test))
    return Dataset(name, x, y, x_test, y_test, image_shape)


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
    data = from_arrays(x_train, y_train, x_test=x_test, y_test=y_test, name="digits")
    return data._replace(image_shape=(8, 8))


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
    data = from_arrays(
        arrays["x_train"] / np.float32(256),
        arrays["y_train"],
        x_test=arrays["x_test"] / np.float32(256),
        y_test=arrays["y_test"],
        name="mnist",
    )
    return data._replace(image_shape=(28, 28))


def load_file(path: str | os.PathLike) -> Dataset:
    """A user's own `.npy` or `.npz` file. Pickled objects inside are refused.

    Args:
      path: an `.npy` with examples, or an `.npz` with `x` and, if wanted, `y`, `x_test`,
        `y_test`; shapes as in `from_arrays`.

    Returns:
      The data set, named as the file.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError, TypeError: if it cannot be read, or for what `from_arrays` refuses.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "mine.npz")
      >>> np.savez(path, x=np.zeros((20, 16)), y=np.arange(20) % 3)
      >>> data = load_file(path)
      >>> data.name, data.x_train.shape
      ('mine', (18, 16))
    """
    path = Path(path)
    if path.suffix not in (".npy", ".npz"):
        raise ValueError(f"path must end in .npy or .npz, got {path}")
    arrays = read_arrays(path)
    allowed = {"x", "y", "x_test", "y_test"}
    if "x" not in arrays or set(arrays) - allowed:
        raise ValueError(
            f"{path} must hold x and, if wanted, y, x_test, y_test; got {sorted(arrays)}"
        )
    try:
        return from_arrays(**arrays, name=path.stem)
    except (ValueError, TypeError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{path}: {error}") from None


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
    x, y = x.astype(np.uint8), y.astype(np.uint8)
    return {"x_train": x[:60000], "y_train": y[:60000], "x_test": x[60000:], "y_test": y[60000:]}


def _flat_examples(name: str, value: Any) -> tuple[np.ndarray, tuple[int, int] | None]:
    """Examples as [N, D], and the image shape where they came as images [N, H, W]."""
    array = checks.real_array(name, value)
    if array.ndim not in (2, 3):
        raise ValueError(f"{name} must have the shape [N, D] or [N, H, W], got {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty, got the shape {array.shape}")
    image_shape = array.shape[1:] if array.ndim == 3 else None
    return checks.data_array(name, array.reshape(len(array), -1)), image_shape
