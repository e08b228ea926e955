"""The folder of several seeds: what it is, and what is in it while they are trained together.

Each seed has a folder that is a run of its own; the checkpoints, which hold all of them, lie above.
"""

import operator
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
import optax

from jaxvae.apps.run_config import Config, read_config
from jaxvae.model.vae import VAE
from jaxvae.training import run_folder, whole_files
from jaxvae.training.history import EpochRecord
from jaxvae.training.saves import load_state
from jaxvae.training.state import TrainState

# Not config.json, by which a folder is known as one run.
CONFIG = "seeds.json"


def above(folder: Path) -> Path | None:
    """The folder of several seeds that the run of one seed is in.

    Args:
      folder: of the run.

    Returns:
      The folder; None where it is no such run.
    """
    parent = folder.absolute().parent
    known = folder.absolute().name.startswith(run_folder.SEED) and (parent / CONFIG).exists()
    return parent if known else None


def refuse_many(path: Path) -> None:
    """Refuse a folder that holds several runs.

    Args:
      path: what is to be one run.

    Raises:
      ValueError: if it holds several; one of them is named.
    """
    if seeds := run_folder.seeds_in(path):
        raise ValueError(
            f"run must be one run, got {path}, which holds one for each of {len(seeds)} seeds: "
            f"take one of them, as {seeds[0]}"
        )
    if (path / CONFIG).exists():
        raise ValueError(
            f"run must be one run, got {path}, whose seeds have no epoch yet: "
            f"jaxvae train --resume {path}"
        )
    if path.parent.name == run_folder.CHECKPOINTS and (path.parents[1] / CONFIG).exists():
        raise ValueError(
            f"run must be one run, got {path}, a checkpoint of several seeds: take the folder of "
            "one of them"
        )
    if members := run_folder.members_in(path):
        raise ValueError(
            f"run must be one run, got {path}, which holds {len(members)}: take one of them, as "
            f"{members[0]}"
        )


def last_state(
    folder: Path, config: Config, vae: VAE, optimizer: optax.GradientTransformation
) -> TrainState:
    """The last state of a run that is saved: by itself, or beside those of other seeds.

    Args:
      folder: of the run, or one of its checkpoints.
      config: of the run.
      vae: its model.
      optimizer: its optimizer.

    Returns:
      The state.

    Raises:
      FileNotFoundError: if there is no checkpoint.
      ValueError: if it is damaged or of another run.
    """
    x = np.zeros((1, *config.model.data_shape), np.float32)
    if folder.parent.name == run_folder.CHECKPOINTS:
        return load_state(folder, vae, optimizer, x)
    if (together := above(folder)) is None:
        return load_state(folder / run_folder.CHECKPOINTS, vae, optimizer, x)
    states = load_state(together / run_folder.CHECKPOINTS, vae, optimizer, x)
    member = config.training.seed - read_config(together / CONFIG).training.seed
    return jax.tree.map(operator.itemgetter(member), states)


class Lines:
    """The lines of each seed in its metrics.jsonl, written as its epochs come.

    Args:
      folders: of the seeds.
      line: makes the line of a record.
    """

    def __init__(self, folders: Sequence[Path], line: Callable[[EpochRecord], str]):
        self._paths = [folder / run_folder.METRICS for folder in folders]
        self._line = line
        self._last: list[int] | None = None

    def add(self, records: Sequence[EpochRecord]) -> bool:
        """Add an epoch of all. A seed that has ended comes with its last record again.

        Args:
          records: one for each seed.

        Returns:
          Whether they are the first ones since training began or went on.
        """
        first = self._last is None
        for i, (path, record) in enumerate(zip(self._paths, records, strict=True)):
            if self._last is None:
                cut(path, record.epoch)
            elif self._last[i] == record.epoch:
                continue
            with path.open("a") as file:
                file.write(self._line(record))
        self._last = [record.epoch for record in records]
        return first


def cut(path: Path, epochs: int) -> None:
    """Keep the lines of so many epochs: a resumed run makes those since its checkpoint again.

    Args:
      path: of metrics.jsonl, which may be missing.
      epochs: how many.

    Raises:
      OSError: if it cannot be written.
    """
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    whole_files.write_text(path, "".join(lines[:epochs]))
