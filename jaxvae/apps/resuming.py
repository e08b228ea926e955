"""What `jaxvae train --resume` goes on with: a run, or the runs of several seeds."""

from collections.abc import Sequence
from pathlib import Path

from jaxvae.apps import compared, seeds
from jaxvae.apps.options import EPOCHS, TrainingOptions
from jaxvae.apps.run_config import Config, read_config
from jaxvae.training import run_folder, whole_files
from jaxvae.training.history import stopped
from jaxvae.training.saves import validation_losses


def config_of(folder: Path) -> Config:
    """What the run in a folder is, or the runs of several seeds.

    Args:
      folder: that `jaxvae train` wrote.

    Returns:
      The configuration.

    Raises:
      FileNotFoundError: if it is no such folder.
      ValueError: if it cannot go on, or is a folder of something else.
    """
    path = folder / run_folder.CONFIG
    if not path.exists() and (folder / seeds.CONFIG).exists():
        return read_config(folder / seeds.CONFIG)
    if together := seeds.above(folder):
        raise ValueError(
            f"resume must be {together}, as its seeds are trained together, got {folder}"
        )
    can = path.exists() and (folder / run_folder.CHECKPOINTS).is_dir()
    here = folder.absolute()
    for sweep in () if can else (here, *here.parents[:2]):
        summary = sweep / run_folder.SUMMARY
        if summary.exists() and compared.SWEEP in whole_files.read_json(summary):
            what = "a sweep" if sweep == here else "a run of a sweep"
            raise ValueError(
                f"resume must be a run with checkpoints, got {folder}, {what}: the command of the "
                f"sweep with --out {sweep} goes on with it"
            )
    if run_folder.seeds_in(folder):
        raise ValueError(
            f"resume must be a run with checkpoints, got {folder}, whose seeds were trained "
            "without: train them anew"
        )
    config = read_config(path)
    if not can:
        raise ValueError(f"resume must be a run with checkpoints, got {folder}")
    return config


def ended(folder: Path, before: TrainingOptions, training: TrainingOptions) -> str | None:
    """Why there is nothing to train, where there is nothing.

    Args:
      folder: of the run, or of the runs of several seeds.
      before: how it was trained.
      training: how it is to go on.

    Returns:
      What to say of it; None where there is something to do.

    Raises:
      ValueError: if more or fewer epochs are asked for than there can be.
    """
    losses = validation_losses(folder / run_folder.CHECKPOINTS)
    if not losses:  # `fit` says what is wrong with a damaged one, or takes the one before
        return None
    epochs, done = training.epochs or EPOCHS, max(map(len, losses))
    whose = "the run has" if training.seeds == 1 else "the runs have"
    if epochs < done:
        raise ValueError(f"epochs must be at least the {done} that {whose} already, got {epochs}")
    early = [stopped(own, training.patience) for own in losses]
    over = all(len(own) == epochs or end for own, end in zip(losses, early, strict=True))
    if not over or not _is_finished(folder, training, losses):
        return None
    what = "the run" if training.seeds == 1 else "the runs"
    if not any(early):
        return (
            f"Nothing was trained: {whose} all {'its' if training.seeds == 1 else 'their'} "
            f"{done} epochs. --epochs with a larger number goes on."
        )
    why = (
        f"early stopping ended {what} after epoch {done}, as {training.patience} epochs brought no "
        f"lower loss on the held-out examples. --patience with a larger number goes on"
    )
    if epochs != before.epochs:
        raise ValueError(f"epochs must be left out, got {epochs}: {why}")
    return f"Nothing was trained: {why}."


def _is_finished(
    folder: Path, training: TrainingOptions, losses: Sequence[Sequence[float | None]]
) -> bool:
    """Whether all that comes after the epochs was done: a process may have been killed in it."""
    folders = [folder]
    if training.seeds > 1:
        each = range(training.seed, training.seed + training.seeds)
        folders = [folder / f"{run_folder.SEED}{seed}" for seed in each]
    for path, own in zip(folders, losses, strict=True):
        summary = path / run_folder.SUMMARY
        found = whole_files.read_json(summary) if summary.exists() else {}
        whole = any((path / name).exists() for name in run_folder.FINAL)
        if not whole or found.get("interrupted", True) or found.get("epochs") != len(own):
            return False
    return (folder / run_folder.SUMMARY).exists()
