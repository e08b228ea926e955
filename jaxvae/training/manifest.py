"""The manifest of a folder, by which it is known whether each byte is as it was saved."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from jaxvae._door import door
from jaxvae.training.whole_files import sync, write_text

MANIFEST = "manifest.json"


@door("checkpoints")
class DamagedCheckpointError(ValueError):
    """A checkpoint is not what was saved. The message names it, and what is wrong with it.

    Example:
      >>> empty = Path(tempfile.mkdtemp())
      >>> try:
      ...     read_checkpoint(empty, lambda beside: {})
      ... except DamagedCheckpointError as error:
      ...     print(empty.name in str(error))
      True
    """


def check(
    path: Path, error: type[ValueError] = DamagedCheckpointError, *, alone: bool = True
) -> set[str]:
    """Compare every byte of a checkpoint, or of another folder, with what was saved.

    Args:
      path: the folder.
      error: what is raised.
      alone: whether no other files may lie in the folder.

    Returns:
      The names of the files that were saved.

    Raises:
      DamagedCheckpointError: or what is given in its place, if it is not what was saved; the
        message names the file.
    """

    def must(right: bool, what: str) -> None:
        if not right:
            raise error(f"{path} is damaged: {what}")

    manifest = path / MANIFEST
    must(manifest.is_file(), f"there is no {MANIFEST}")
    own, _, body = manifest.read_bytes().partition(b"\n")
    must(hashlib.sha256(body).hexdigest().encode() == own, f"{MANIFEST} was changed")
    files = json.loads(body)
    present = {name for name in files if (path / name).is_file()}
    if alone:
        found = (file for file in path.rglob("*") if not file.is_dir())
        present = {file.relative_to(path).as_posix() for file in found} - {MANIFEST}
    for name in sorted(present ^ files.keys()):
        must(False, f"{name} is {'missing' if name in files else 'not one of its files'}")
    for name, (size, digest) in files.items():
        must((path / name).stat().st_size == size, f"{name} has another size")
        must(_digest(path / name) == digest, f"{name} was changed")
    return set(files)


def write(folder: Path, names: Sequence[str] | None = None) -> None:
    """Flush each file of a new folder to the disk, and write its size and digest down.

    Args:
      folder: of a checkpoint, or of another whole thing.
      names: the files; None: all in it.

    Raises:
      OSError: if one of them cannot be written.
    """
    files = {}
    found = (file for file in folder.rglob("*") if file.is_file())
    for file in sorted(found if names is None else map(folder.joinpath, names)):
        sync(file)
        name = file.relative_to(folder).as_posix()
        files[name] = (file.stat().st_size, _digest(file))
    body = json.dumps(files)
    # The manifest begins with its own digest: it too is a file whose bits can flip.
    write_text(folder / MANIFEST, f"{hashlib.sha256(body.encode()).hexdigest()}\n{body}")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
