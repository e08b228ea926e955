"""IDX, the format of MNIST, Fashion-MNIST, KMNIST and EMNIST: a file, or a folder of four."""

import re
from pathlib import Path

import numpy as np

from jaxvae.data.files import read_idx
from jaxvae.data.formats.source import Reading, Source, listed, refuse_unused

# From "emnist-letters-train-images-idx3-ubyte.gz" the name of the set, the part, what it holds.
NAME = re.compile(
    r"(?P<set>.*?)(?P<part>train|t10k|test)(?P<between>[-_.])(?P<what>images|labels)"
    r"(?P<dot>[-.])idx(?P<rank>[13])[-.]ubyte(?P<zipped>\.gz)?",
    re.IGNORECASE,
)


def read_idx_file(path: Path, reading: Reading, *, examples_only: bool = False) -> Source:
    """An IDX file of examples; where it is named as MNIST's are, with what lies beside it.

    Args:
      path: the file, gzipped or not. Beside `train-images...` the labels and the two files of the
        test, and beside `t10k-images...` the labels, are found by their names.
      reading: nothing of it counts.
      examples_only: has no effect but that labels of the train do without those of the test.

    Returns:
      uint8 [N, ...]; the kind is "images" where it has three or four axes.

    Raises:
      ValueError: if a file is damaged, or holds labels.

    Example:
      >>> import tempfile
      >>> path = Path(tempfile.mkdtemp(), "a.idx")
      >>> written = path.write_bytes(bytes([0, 0, 8, 2, *(0, 0, 0, 2) * 2, *b"abcd"]))
      >>> read_idx_file(path, Reading()).x.shape
      (2, 2)
    """
    refuse_unused(str(path), reading, ())
    name = NAME.fullmatch(path.name)
    if name is not None and name["what"].lower() == "labels":
        raise ValueError(f"{path}: it holds labels; give the file of images beside it")
    x = read_idx(path)
    if x.ndim == 1:
        raise ValueError(f"{path}: it must hold examples [N, ...], got labels, {x.shape}")
    source = Source(x, kind="images" if x.ndim > 2 else None)
    if name is None:
        return source
    said = [f"Read with what lies beside it: {path.name}"]

    def beside(part: str, what: str) -> np.ndarray | None:
        found = _beside(path, name["set"], part, what)
        if found is None:
            return None
        said.append(found.name)
        return read_idx(found)

    part = name["part"].lower()
    y, x_test, y_test = beside(part, "labels"), None, None
    if part == "train":
        for other in ("t10k", "test"):
            x_test = beside(other, "images")
            if x_test is not None:
                y_test = beside(other, "labels")
                break
    if reading.label is not None:
        y = y_test = None
    if x_test is not None and (y is None) != (y_test is None):
        if not examples_only:
            has, lacks = ("train", "the test") if y_test is None else ("the test", "train")
            raise ValueError(
                f"{path.parent}: {has} has labels beside it, and {lacks} has none; "
                "--label none reads all without"
            )
        y_test = None
    sentences = [", ".join(said) + "."] if len(said) > 1 else []
    if name["set"].lower().startswith("emnist"):
        sentences.append("EMNIST's pictures are stored with rows and columns exchanged.")
    return source._replace(y=y, x_test=x_test, y_test=y_test, said=tuple(sentences))


def read_idx_folder(path: Path, reading: Reading, *, examples_only: bool = False) -> Source:
    """A folder with the files of MNIST, or of a set that names them so.

    Args:
      path: the folder.
      reading: nothing of it counts.
      examples_only: as in `read_idx_file`.

    Returns:
      As `read_idx_file` of its images of train.

    Raises:
      ValueError: if it holds those of several sets, or a file is damaged.

    Example:
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> name = "train-images-idx3-ubyte"
      >>> written = (folder / name).write_bytes(bytes([0, 0, 8, 3, *(0, 0, 0, 1) * 3, 7]))
      >>> read_idx_folder(folder, Reading()).x.tolist()
      [[[7]]]
    """
    sets: dict[str, Path] = {}
    for part in ("train", "t10k", "test"):
        for file in idx_images(path):
            name = NAME.fullmatch(file.name)
            if name and name["part"].lower() == part:
                sets.setdefault(name["set"], file)
    if len(sets) != 1:
        names = listed([file.name for file in sets.values()])
        raise ValueError(f"{path}: it must hold one set of images, got {names}; give one file")
    (first,) = sets.values()
    return read_idx_file(first, reading, examples_only=examples_only)


def idx_images(folder: Path) -> list[Path]:
    """The files of a folder that are named as MNIST's images.

    Args:
      folder: where.

    Returns:
      The files, sorted.

    Example:
      >>> import tempfile
      >>> idx_images(Path(tempfile.mkdtemp()))
      []
    """
    matches = ((file, NAME.fullmatch(file.name)) for file in sorted(folder.iterdir()))
    return [file for file, name in matches if name and name["what"].lower() == "images"]


def _beside(path: Path, own: str, part: str, what: str) -> Path | None:
    """The file of the same set with another part of it, zipped like this one if there are two."""
    found = []
    for file in sorted(path.parent.iterdir()):
        name = NAME.fullmatch(file.name)
        if name and (name["set"], name["part"].lower(), name["what"].lower()) == (own, part, what):
            found.append(file)
    alike = [file for file in found if file.suffix == path.suffix]
    return next(iter(alike or found), None)
