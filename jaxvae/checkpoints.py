"""Save and restore a run: a folder with its configuration, metrics, parameters and checkpoints."""

from jaxvae.training.checkpoints import (
    ANY,
    FORMAT,
    CheckpointWriter,
    checkpoints_in,
    read_checkpoint,
    read_last,
)
from jaxvae.training.manifest import DamagedCheckpointError
from jaxvae.training.run_folder import CHECKPOINTS, clean, new_run
from jaxvae.training.whole_files import (
    STRAY,
    load_params,
    read_json,
    save_params,
    sync,
    write_json,
    write_text,
)

__all__ = [
    "ANY",
    "CHECKPOINTS",
    "FORMAT",
    "STRAY",
    "CheckpointWriter",
    "DamagedCheckpointError",
    "checkpoints_in",
    "clean",
    "load_params",
    "new_run",
    "read_checkpoint",
    "read_json",
    "read_last",
    "save_params",
    "sync",
    "write_json",
    "write_text",
]
