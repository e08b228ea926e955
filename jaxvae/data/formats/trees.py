"""Folders of files: which are examples, what their labels are, which are held out."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxvae._output import counted
from jaxvae.data.formats.source import listed

TRAIN = ("train", "training")
TEST = ("test", "testing")
VALIDATION = ("val", "valid", "validation")
FEW = 0.1  # files beside the sub-folders, as a share of those in them
PASSED_OVER = ("thumbs.db", "desktop.ini", "__macosx")  # and names with a dot before them


class File(NamedTuple):
    """A file that is an example.

    Example:
      >>> File(Path("a/cats/1.png"), "cats/1.png", "cats").label
      'cats'
    """

    path: Path
    id: str  # its path in the folder, with slashes
    label: str | None


class Tree(NamedTuple):
    """The examples of a folder.

    Attributes:
      train, test: its files, sorted by their ids.
      label_names: sorted; None where the folder has no labels.
      said: sentences for the user.

    Example:
      >>> Tree((), (), ("a", "b"), ()).without_labels().label_names is None
      True
    """

    train: tuple[File, ...]
    test: tuple[File, ...]
    label_names: tuple[str, ...] | None
    said: tuple[str, ...]

    def without_labels(self) -> "Tree":
        """The same files, without labels."""
        return self._replace(label_names=None)


def files_in(folder: Path) -> Iterator[tuple[str, ...]]:
    """All files under a folder but hidden ones.

    Args:
      folder: where; links are followed, each folder is visited once.

    Yields:
      The path of each in the folder, in parts.

    Raises:
      OSError: if a folder cannot be listed.

    Example:
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> (folder / ".hidden").touch(), (folder / "a.png").touch()
      (None, None)
      >>> list(files_in(folder))
      [('a.png',)]
    """
    seen = set()

    def fail(error: OSError) -> None:
        raise error

    for place, folders, names in os.walk(folder, followlinks=True, onerror=fail):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not _passed_over(name))
        parts = Path(place).relative_to(folder).parts
        yield from ((*parts, name) for name in sorted(names) if not _passed_over(name))


def scan(folder: Path, endings: Sequence[str], what: str, *, loose_labels: bool = False) -> Tree:
    """The files of one kind in a folder, with labels and split.

    Args:
      folder: where. Where it has a sub-folder `train` (or `training`) and no others than `test`
        (or `testing`) and `val` (or `valid`, `validation`), these are the split; validation is the
        test where there is no test. In each part the sub-folders are labels. A folder that holds
        nothing but one folder of folders stands for that one.
      endings: of the files, in lower case.
      what: what they are, for errors.
      loose_labels: files beside sub-folders have no label; else a few of them are left out, and
        more are refused.

    Returns:
      The tree.

    Raises:
      ValueError: if there is no such file, or more than a few lie beside sub-folders with others.

    Example:
      >>> import tempfile
      >>> folder = Path(tempfile.mkdtemp())
      >>> for name in ("train/cats", "train/dogs", "test/cats"):
      ...     (folder / name).mkdir(parents=True)
      ...     (folder / name / "1.png").touch()
      >>> tree = scan(folder, (".png",), "pictures")
      >>> [file.id for file in tree.train], tree.test[0].label, tree.label_names
      (['train/cats/1.png', 'train/dogs/1.png'], 'cats', ('cats', 'dogs'))
    """
    everything = list(files_in(folder))
    found = [parts for parts in everything if parts[-1].lower().endswith(tuple(endings))]
    if not found:
        others = listed(["/".join(parts) for parts in everything]) or "none"
        raise ValueError(f"{folder}: it must hold {what} ({', '.join(endings)}), got {others}")
    said = []
    if len(everything) > len(found):
        said.append(f"{_files(len(everything) - len(found), 'other ')} left out.")
    depth = _wrapping(found)
    split = _split({parts[depth] for parts in found if len(parts) > depth + 1})
    at_top = [parts for parts in found if len(parts) == depth + 1]
    if split and at_top:
        beside = f"beside the folder {split[0]} "
        said.append(f"{_files(len(at_top), after=beside)} left out.")
    rows: list[list[File]] = [[], []]
    for number, name in enumerate(split or (None,)):
        part = found if name is None else [p for p in found if p[depth] == name and p not in at_top]
        own = _labelled(folder, part, depth + bool(split))
        rows[number] = own if loose_labels else _without_loose(folder, own, what, said)
    passed_over = {parts[depth] for parts in found if parts not in at_top} - set(split)
    if split and passed_over:
        said.append(f"The folder {listed(sorted(passed_over))} is not read.")
    if len(split) == 2 and split[1].lower() in VALIDATION:
        said.append(f"The folder {split[1]} is the test.")
    train, test = (sorted(part, key=lambda file: file.id) for part in rows)
    names = {file.label for file in (*train, *test)} - {None}
    if not any(file.label for file in train):
        if names:
            said.append("The labels of the test are left out, for train has none.")
        return Tree(tuple(train), tuple(test), None, tuple(said))
    return Tree(tuple(train), tuple(test), tuple(sorted(map(str, names))), tuple(said))


def _files(count: int, before: str = "", after: str = "") -> str:
    """So many files, and what is or are."""
    return f"{counted(count, f'{before}file')} {after}{'is' if count == 1 else 'are'}"


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name.lower() in PASSED_OVER


def _wrapping(found: list[tuple[str, ...]]) -> int:
    """How many folders hold nothing but one folder of folders each."""
    depth = 0
    while len({parts[depth] for parts in found}) == 1 and all(
        len(parts) > depth + 2 for parts in found
    ):
        if found[0][depth].lower() in TRAIN:
            break
        depth += 1
    return depth


def _split(folders: set[str]) -> tuple[str, ...]:
    """The folder of train and, if there is one, that of the test; none where these are labels."""
    by_name = {name.lower(): name for name in sorted(folders)}
    if not set(by_name) <= {*TRAIN, *TEST, *VALIDATION}:
        return ()
    train, test, validation = (
        [by_name[name] for name in own if name in by_name] for own in (TRAIN, TEST, VALIDATION)
    )
    return (*train[:1], *(test or validation)[:1]) if train else ()


def _labelled(folder: Path, found: list[tuple[str, ...]], depth: int) -> list[File]:
    """Files with the label that their folder at some depth is."""
    return [
        File(
            folder.joinpath(*parts),
            "/".join(parts),
            parts[depth] if len(parts) > depth + 1 else None,
        )
        for parts in found
    ]


def _without_loose(folder: Path, files: list[File], what: str, said: list[str]) -> list[File]:
    """Files without the few that lie beside the sub-folders with the others."""
    bare = [file for file in files if file.label is None]
    if not bare or len(bare) == len(files):
        return files
    labelled = [file for file in files if file.label is not None]
    if len(bare) > FEW * len(labelled):
        raise ValueError(
            f"{folder}: its {what} must all lie in sub-folders, which are their labels, or none of "
            f"them; got {bare[0].id} and {labelled[0].id}"
        )
    said.append(f"Beside the sub-folders are left out: {listed([file.id for file in bare])}.")
    return labelled
