"""The checkpoints of `fit` and `fit_many`: when one is written, what is in it, how to go on."""

import contextlib
import functools
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from jax.experimental import multihost_utils

from jaxvae._door import door
from jaxvae._version import __version__
from jaxvae.model.descriptions import described, differences
from jaxvae.model.vae import VAE
from jaxvae.numerics import checks
from jaxvae.training import checkpoints
from jaxvae.training import devices as places
from jaxvae.training.history import EpochRecord
from jaxvae.training.placement import Placement, auto_mesh, placed_state, placement_of
from jaxvae.training.state import TrainState, init_state
from jaxvae.training.whole_files import read_json

DESCRIBED = ("vae", "optimizer")  # entries of a fingerprint that are descriptions
VALIDATION = "validation"  # that of the held-out examples; a run may do without some of the time


@door("training")
class Checkpoints(NamedTuple):
    """Where and when a run is saved.

    Attributes:
      dir: the folder; if it holds a run, that run goes on.
      every: epochs between saves; where None, as often as costs at most 3% of the time. The end of
        the run is always saved.
      keep: how many of the last to keep, beside the one of the lowest validation loss.

    Example:
      >>> Checkpoints("run", every=5)
      Checkpoints(dir='run', every=5, keep=3)
    """

    dir: str | os.PathLike
    every: int | None = None
    keep: int = 3


class Restored(NamedTuple):
    """What a folder held: the state, the best one, and each member's records."""

    state: TrainState
    best: TrainState | None
    records: list[list[EpochRecord]]


def checkpoints_of(
    given: Checkpoints | None, folder: str | os.PathLike | None, every: int | None, keep: int
) -> Checkpoints | None:
    """The one of the two ways to say it that was used, checked.

    Args:
      given: the argument `checkpoints`.
      folder: `checkpoint_dir`.
      every: `checkpoint_every`.
      keep: `keep`.

    Returns:
      Where and when to save; None for nowhere.

    Raises:
      ValueError, TypeError: if both were, or the folder or a number is outside what is allowed.
    """
    names = "checkpoint_dir", "checkpoint_every", "keep"
    if given is not None:
        checks.instance("checkpoints", given, Checkpoints, "a jaxvae.Checkpoints")
        old = {"checkpoint_dir": folder, "checkpoint_every": every, "keep": keep}
        for name, value in old.items():
            if value != (3 if name == "keep" else None):
                raise ValueError(f"{name} must be left out where checkpoints are given")
        names = "checkpoints.dir", "checkpoints.every", "checkpoints.keep"
        folder, every, keep = given
    if given is not None or folder is not None:
        checks.path(names[0], folder)
    if every is not None:
        checks.positive_int(names[1], every)
    checks.positive_int(names[2], keep)
    if folder is not None:
        return Checkpoints(folder, every, keep)
    for name, value, usual in (("checkpoint_every", every, None), ("keep", keep, 3)):
        if value != usual:
            raise ValueError(f"checkpoint_dir must be given where {name} is, got None")
    return None


def run_print(
    keys: jax.Array,
    batch_size: int,
    data: Mapping[str, Any],
    vae: Any,
    optimizer: optax.GradientTransformation,
) -> dict[str, Any]:
    """What has to be the same for a run to go on, by the argument that gives it.

    Args:
      keys: the base key or keys.
      batch_size: examples a step.
      data: of a source's `prints`.
      vae: the model, or the members' models.
      optimizer: the optimizer.

    Returns:
      What JSON can hold.
    """
    return {
        "key": [str(jax.random.key_impl(keys)), jax.device_get(jax.random.key_data(keys)).tolist()],
        "batch_size": batch_size,
        **data,
        "vae": described(vae),
        "optimizer": described(optimizer),
        "versions": _versions(),
    }


@functools.cache
def _versions() -> dict[str, str]:
    """Of what descriptions are made by."""
    names = ("optax", "flax", "jax")
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python, "jaxvae": __version__} | {n: metadata.version(n) for n in names}


def check_print(folder: Any, theirs: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuse to go on with another run.

    Args:
      folder: where the run is.
      theirs: its fingerprint.
      own: that of the arguments.

    Raises:
      ValueError: the argument is named, and what differs.
    """
    strict = theirs.get("versions") == own["versions"]
    for name, value in own.items():
        if name == "versions" or name in DESCRIBED:
            continue
        if name == VALIDATION and None in (theirs.get(name), value):
            continue
        if theirs.get(name) != value:
            values = f"{theirs.get(name)}, got {value}" if name == "batch_size" else "got another"
            raise ValueError(f"{name} must be that of the run in {folder}, {values}")
    for name in DESCRIBED:
        if name not in theirs:  # the first version did not say
            continue
        if found := differences(theirs[name], own[name], strict=strict):
            what = "; ".join(found[:2]) + (f" and {len(found) - 2} more" if found[2:] else "")
            raise ValueError(f"{name} must be that of the run in {folder}, which has {what}")


def saved_tree(fresh: TrainState, beside: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint holds.

    Args:
      fresh: a state, its shapes.
      beside: what was saved beside it.

    Returns:
      The tree.
    """
    best = fresh if beside["has_best"] else None
    return {"state": fresh, "best": best, "losses": checkpoints.ANY}


class Saves:
    """The checkpoints of a run; does nothing where it has none."""

    def __init__(self, where: Checkpoints | None, fingerprint: dict[str, Any], members: int | None):
        self._where, self._fingerprint, self._members = where, fingerprint, members
        self._writer = None
        if where is not None and jax.process_index() == 0:
            self._writer = checkpoints.CheckpointWriter(Path(where.dir), keep=where.keep)

    @classmethod
    @contextlib.contextmanager
    def of(
        cls, where: Checkpoints | None, fingerprint: dict[str, Any], members: int | None
    ) -> Iterator["Saves"]:
        """The saves of a run, closed at its end."""
        saves = cls(where, fingerprint, members)
        try:
            yield saves
        finally:
            if saves._writer is not None:
                saves._writer.close()

    def restore(self, fresh: TrainState) -> Restored | None:
        """What the folder holds, if anything; `fresh` has the shapes of the state."""
        if self._where is None:
            return None
        folder = Path(self._where.dir)

        def like(beside: dict[str, Any]) -> dict[str, Any]:
            if beside.get("members") != self._members:
                raise ValueError(
                    f"checkpoints in {folder} must be of {_many(self._members)}, got those of "
                    f"{_many(beside.get('members'))}"
                )
            check_print(folder, beside["fingerprint"], self._fingerprint)
            return saved_tree(fresh, beside)

        found = checkpoints.read_last(folder, like)
        if jax.process_count() > 1:
            step = np.array(-1 if found is None else int(found[0]["state"].step))
            steps = multihost_utils.process_allgather(step).tolist()
            if len(set(steps)) > 1:
                raise ValueError(
                    f"checkpoint_dir must be a folder that all hosts see, got {folder}, in "
                    f"which they found the steps {steps}"
                )
        if found is None:
            return None
        tree, beside = found
        return Restored(tree["state"], tree["best"], _records(beside, tree["losses"]))

    def save(
        self,
        state_now: Callable[[], TrainState],
        best: TrainState | None,
        records: list[list[EpochRecord]],
        *,
        last: bool,
    ) -> None:
        """Save the run, if it is time to, or it is the last time."""
        if self._writer is None or self._where is None:
            return
        every = self._where.every
        epochs = max(map(len, records))
        if not last:
            if every is None and not self._writer.is_cheap():
                return
            if every is not None and epochs % every:
                return
        flat = [record for own in records for record in own]
        beside = {
            "fingerprint": self._fingerprint,
            "epochs": [_fields(record) for record in flat],
            "has_best": best is not None,
        }
        if self._members is not None:
            beside |= {"members": self._members, "lengths": [len(own) for own in records]}
        held_out = [own[-1].validation_loss for own in records]
        known = [loss for loss in held_out if loss is not None and np.isfinite(loss)]
        state = state_now()
        self._writer.save(
            int(np.max(jax.device_get(state.step))),
            {
                "state": state,
                "best": best,
                "losses": np.concatenate([record.batch_losses for record in flat]),
            },
            beside,
            score=float(np.mean(known)) if known else None,
        )


def _many(members: int | None) -> str:
    return "one run" if members is None else f"{members} members"


def _fields(record: EpochRecord) -> dict[str, Any]:
    fields = record._asdict()
    steps = len(fields.pop("batch_losses"))
    # JSON has no number that is not finite; the loss of an epoch always is.
    more = {name: v if np.isfinite(v) else None for name, v in fields.pop("more").items()}
    held_out = fields["validation_loss"]
    if held_out is not None and not np.isfinite(held_out):
        fields["validation_loss"] = str(held_out)
    return {**fields, "steps": steps, "more": more}


def _held_out(saved: Mapping[str, Any]) -> float | None:
    """The loss on the held-out examples, of what `_fields` gave."""
    loss = saved["validation_loss"]
    return None if loss is None else float(loss)


def _records(beside: dict[str, Any], losses: np.ndarray) -> list[list[EpochRecord]]:
    flat, start = [], 0
    for saved in beside["epochs"]:
        fields = {**saved, "validation_loss": _held_out(saved)}
        steps = fields.pop("steps")
        more = {n: float("nan") if v is None else v for n, v in fields.pop("more", {}).items()}
        own = losses[start : start + steps]
        flat.append(EpochRecord(**fields, batch_losses=own, more=more))
        start += steps
    return _by_run(beside, flat)


def _by_run(beside: Mapping[str, Any], epochs: list[Any]) -> list[list[Any]]:
    """What there is of each epoch, of several runs one after another, by run."""
    lengths = beside.get("lengths", [len(epochs)])
    ends = np.cumsum(lengths).tolist()
    return [epochs[end - length : end] for end, length in zip(ends, lengths, strict=True)]


def validation_losses(folder: Path) -> list[list[float | None]]:
    """The losses on the held-out examples after each epoch, by the last checkpoint.

    Args:
      folder: of the checkpoints.

    Returns:
      Those of each run; none where there is no checkpoint, or the last one cannot be read.
    """
    if not (found := checkpoints.checkpoints_in(folder)):
        return []
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        beside = read_json(found[-1] / checkpoints.ABOUT)["beside"]
        return _by_run(beside, [_held_out(record) for record in beside["epochs"]])
    return []


def load_state(
    path: str | os.PathLike,
    vae: VAE,
    optimizer: optax.GradientTransformation,
    x: Any,
    *,
    best: bool = False,
    devices: places.Devices | Placement = None,
) -> TrainState:
    """Read the state of a run from its checkpoints.

    Args:
      path: what `fit` had as checkpoint_dir, for the last checkpoint; or one of those in it.
      vae: the model.
      optimizer: the optimizer.
      x: examples [N, ...], or a `Batch` of them with the conditions; only their shape matters.
      best: the state of the lowest validation loss, of a run with patience.
      devices: of `fit`, where its arrays are to lie; the default device where None.

    Returns:
      The state; of a run of `fit_many` those of all members, as it returns them.

    Raises:
      FileNotFoundError: if there is no checkpoint, or none of a best state where that is asked for.
      checkpoints.DamagedCheckpointError: if it, or each of them, is not what was saved.
      ValueError, TypeError: if its arrays have not the shapes of this model and optimizer, or path
        or devices is outside what is allowed.

    Example:
      >>> import tempfile
      >>> from jaxvae import dense_normal_network, fit, normal_vae
      >>> vae = normal_vae(dense_normal_network(64, 2, layers=1, hidden_units=16))
      >>> folder, x = tempfile.mkdtemp(), np.zeros((64, 64))
      >>> key = jax.random.key(0)
      >>> _ = fit(key, vae, x, batch_size=32, epochs=3, checkpoints=Checkpoints(folder))
      >>> int(load_state(folder, vae, optax.adam(1e-3), x).step)
      6
    """
    checks.on_host("load the state before", x=x)
    path = checks.path("path", path)
    fresh = jax.eval_shape(lambda key: init_state(key, vae, optimizer, x), jax.random.key(0))
    if devices is not None and (placement := placement_of(devices, None)) is not None:
        mesh = auto_mesh(placement.devices)
        fresh = placed_state(fresh, mesh, placement.params).like(fresh)

    def like(beside: dict[str, Any]) -> dict[str, Any]:
        members = beside.get("members")
        if members is None:
            return saved_tree(fresh, beside)
        stacked = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((members, *leaf.shape), leaf.dtype), fresh
        )
        return saved_tree(stacked, beside)

    is_one = path.name.isdecimal() and not checkpoints.checkpoints_in(path)
    read = checkpoints.read_checkpoint if is_one else checkpoints.read_last
    found = read(path, like)
    if found is None:
        raise FileNotFoundError(f"path must hold a checkpoint; there is none in {path}")
    tree = found[0]
    if not best:
        return tree["state"]
    if tree["best"] is None:
        raise FileNotFoundError(
            f"path must hold a best state where best is True; the run in "
            f"{path} kept none, as it had no patience"
        )
    return tree["best"]
