"""The folder of a run: the names of what is in it, how one is begun, and how one is tidied."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxvae.training.whole_files import STRAY

CONFIG, METRICS, SUMMARY = "config.json", "metrics.jsonl", "summary.json"
PARAMS, FIRST_PARAMS = "params.safetensors", "params.npz"  # the second is the first version's
FINAL = (PARAMS, FIRST_PARAMS)
CHECKPOINTS, FIGURES = "checkpoints", "figures"  # the folders of them in a run's folder
SEED = "seed-"  # how the folder of a run is called that is one of several seeds


@contextlib.contextmanager
def new_run(folder: str | os.PathLike, *, another: bool = False) -> Iterator[Path]:
    """Make the folder of a new run; after an error before its first epoch, leave nothing of it.

    Args:
      folder: where; made with its parents.
      another: whether a folder beside it will do where it exists: the same name with -2, -3, ...

    Yields:
      Its path. No other process can begin a run in it.

    Raises:
      FileExistsError: if it exists and is not an empty folder.
      OSError: if it cannot be made or written to.

    Example:
      >>> path = Path(tempfile.mkdtemp(), "runs", "mine")
      >>> for _ in range(2):
      ...     with new_run(path, another=True) as folder:
      ...         folder.name
      'mine'
      'mine-2'
    """
    wanted = Path(folder)
    made = [path for path in wanted.parents if not path.exists()]
    claim = None
    try:
        path, is_new = _make_folder(wanted, another)
        made = [path, *made] if is_new else made
        claim = _claim(path)
        yield path
    except BaseException:
        if claim is not None and not any(any(path.rglob(name)) for name in (METRICS, *FINAL)):
            for file in path.iterdir():
                shutil.rmtree(file, ignore_errors=True) if file.is_dir() else file.unlink()
        for folder in made:
            with contextlib.suppress(OSError):  # not empty: it holds this run, or another
                folder.rmdir()
        raise
    finally:
        if claim is not None:
            claim.unlink(missing_ok=True)


def _make_folder(wanted: Path, another: bool) -> tuple[Path, bool]:
    """The folder, or where it exists another beside it, and whether it was made here."""
    path, number = wanted, 1
    while True:
        try:
            path.mkdir(parents=True)
            return path, True
        except FileExistsError:
            if not another:
                return path, False
        number += 1
        path = wanted.with_name(f"{wanted.name}-{number}")


def _claim(folder: Path) -> Path:
    """A file that holds an empty folder against all other processes."""
    claim = folder / f".new{STRAY}"
    if folder.is_dir() and not any(folder.iterdir()):
        with contextlib.suppress(FileExistsError):
            claim.touch(exist_ok=False)
            return claim
    raise FileExistsError(f"out must be a new or empty folder, got {folder}, which has content")


def seeds_in(folder: Path) -> list[Path]:
    """The runs of several seeds that lie in a folder.

    Args:
      folder: what `jaxvae train --seeds` wrote, or any other.

    Returns:
      Their folders by the number of the seed; none where the folder is a run itself.

    Example:
      >>> folder = Path(tempfile.mkdtemp())
      >>> for name in ("seed-10", "seed-9", "figures"):
      ...     (folder / name).mkdir()
      ...     _ = (folder / name / "config.json").write_text("{}")
      >>> [path.name for path in seeds_in(folder)]
      ['seed-9', 'seed-10']
    """
    if (folder / CONFIG).exists():
        return []
    found = [path.parent for path in folder.glob(f"{SEED}*/{CONFIG}")]
    numbered = [path for path in found if path.name.removeprefix(SEED).isdecimal()]
    return sorted(numbered, key=lambda path: int(path.name.removeprefix(SEED)))


def members_in(folder: Path) -> list[Path]:
    """The runs that lie in a folder, as those of a sweep, each perhaps with several seeds.

    Args:
      folder: any.

    Returns:
      Their folders; none where the folder is a run itself.

    Example:
      >>> folder = Path(tempfile.mkdtemp())
      >>> for name in ("width-2", "width-4/seed-0", "width-4/seed-1", "figures"):
      ...     (folder / name).mkdir(parents=True)
      ...     if name != "figures":
      ...         _ = (folder / name / "config.json").write_text("{}")
      >>> [path.name for path in members_in(folder)]
      ['width-2', 'width-4']
    """
    if (folder / CONFIG).exists():
        return []
    alone = [path.parent for path in folder.glob(f"*/{CONFIG}")]
    return sorted({*alone, *(path.parents[1] for path in folder.glob(f"*/{SEED}*/{CONFIG}"))})


def records(folder: Path) -> tuple[dict[str, Any], ...]:
    """The records of a run's epochs.

    Args:
      folder: of the run.

    Returns:
      One for each epoch; a last line that a killed process did not finish is left out.

    Example:
      >>> folder = Path(tempfile.mkdtemp())
      >>> _ = (folder / METRICS).write_text('{"epoch": 0, "loss": 4.0}\\n{"epoch": 1, "lo')
      >>> records(folder)
      ({'epoch': 0, 'loss': 4.0},)
    """
    path, found = folder / METRICS, []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return tuple(found)


def clean(folder: Path) -> None:
    """Remove what a killed process was writing beside a run's files.

    Args:
      folder: the run's, which no other process uses.

    Example:
      >>> folder = Path(tempfile.mkdtemp())
      >>> (folder / ".params.5eed.tmp.safetensors").touch()
      >>> clean(folder)
      >>> list(folder.iterdir())
      []
    """
    for place in (folder, folder / FIGURES):
        for path in (*place.glob(f".*{STRAY}"), *place.glob(f".*{STRAY}.*")):
            path.unlink(missing_ok=True)
