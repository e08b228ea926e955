"""A run's folder: its configuration, and from it its data, its model and its parameters."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae.apps import description, first_version, options
from jaxvae.apps.description import Description
from jaxvae.apps.options import EPOCHS, DataOptions, TrainingOptions
from jaxvae.data.batches import Batch
from jaxvae.data.datasets import Dataset
from jaxvae.model.networks import Params
from jaxvae.model.vae import VAE
from jaxvae.numerics import checks
from jaxvae.training import run_folder, whole_files
from jaxvae.training.averaging import average_params, averaged_params
from jaxvae.training.epochs import steps_per_epoch
from jaxvae.training.loop import load_state


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a run is: all but where it lies and which hosts made it. Its config.json holds it."""

    model: Description
    data: DataOptions
    training: TrainingOptions


class Run(NamedTuple):
    """A run with what belongs to it.

    Attributes:
      folder: where it lies.
      config: what it is.
      data: what it was trained on, examples of the shape that the model sees.
      vae: its model.
      params: the parameters of the model.
    """

    folder: Path
    config: Config
    data: Dataset
    vae: VAE
    params: Params

    def decode(self, z: Any, x: Any = None) -> np.ndarray:
        """The mean of x given each z [N, K], in data space [N, D]; of counts as many as in x."""
        z, batch = jnp.asarray(z, jnp.float32), None if x is None else Batch(jnp.asarray(x))
        made = on_host(jax.jit(self.vae.decode)(self.params, z, batch))
        return made.reshape(len(made), -1)


def on_host(array: jax.Array) -> np.ndarray:
    """A device's array as NumPy's.

    Args:
      array: the array, perhaps still to be computed.

    Returns:
      The array.

    Raises:
      jax.errors.JaxRuntimeError: if it could not be computed, for want of memory. NumPy alone would
        not raise it: XLA would end the process.
    """
    return np.asarray(jax.block_until_ready(array))


def open_run(path: Path) -> Run:
    """Read a run back.

    Args:
      path: its folder, for its final parameters or, before it has any, those of its last
        checkpoint; or one of the checkpoints in it.

    Returns:
      The run.

    Raises:
      FileNotFoundError: if there is no run.
      ValueError: if a file of it is damaged or belongs to another run.
    """
    path = options.absolute(path)
    is_checkpoint = path.parent.name == run_folder.CHECKPOINTS
    folder = path.parent.parent if is_checkpoint else path
    config, data = read_config(folder / run_folder.CONFIG)
    vae = description.build(config.model)
    if not is_checkpoint and (folder / run_folder.PARAMS).exists():
        like = jax.eval_shape(vae.init, jax.random.key(0), data.x_train[:1])
        params = whole_files.load_params(folder / run_folder.PARAMS, like)
    else:
        saved = path if is_checkpoint else folder / run_folder.CHECKPOINTS
        params = averaged_params(load_state(saved, vae, optimizer(config, data), data.x_train))
    return Run(folder, config, data, vae, params)


def write_config(path: Path, config: Config) -> None:
    """Write what a run is.

    Args:
      path: the JSON file.
      config: the run's.

    Raises:
      OSError: if the file cannot be written.
    """
    each = {"data": config.data, "training": config.training}
    plain = {
        name: {key: str(v) if isinstance(v, Path) else v for key, v in vars(part).items()}
        for name, part in each.items()
    }
    whole_files.write_json(path, {"model": description.to_json(config.model), **plain})


def read_config(path: Path) -> tuple[Config, Dataset]:
    """Read what a run is, and the data that it names.

    Args:
      path: the JSON file; one of the first version too.

    Returns:
      The configuration, its options of the types and among the choices that `jaxvae train` takes;
      and the data, examples of the shape that the model sees.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it holds anything else, or the data are not those of the model.
      TypeError, OSError: if the data cannot be read.
    """
    fields = whole_files.read_json(path)
    if not isinstance(fields.get("model"), dict):
        model, own, data = first_version.of_config(path, fields)
        return of_options(model, own), data
    names = [field.name for field in dataclasses.fields(Config)]
    if wrong := sorted(set(fields) ^ set(names)):
        raise ValueError(f"{path} must hold {', '.join(names)}; got or lacks {', '.join(wrong)}")
    for name in ("data", "training"):
        if not isinstance(fields[name], dict):
            raise ValueError(f"{path} must hold options of `jaxvae train` in {name}, "
                             f"got {fields[name]!r}")  # fmt: skip
    try:
        model = description.from_json(fields["model"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    own_data = options.parsed(path, DataOptions, fields["data"])
    training = options.parsed(path, TrainingOptions, fields["training"])
    data = shaped(options.load_data(own_data), model)
    return Config(model=model, data=own_data, training=training), data


def of_options(model: Description, own: options.Options) -> Config:
    """What a run is by the options of the command line.

    Args:
      model: what they made of the model.
      own: all of them.

    Returns:
      The configuration.
    """
    return Config(
        model=model,
        data=options.part_of(own, DataOptions),
        training=options.part_of(own, TrainingOptions),
    )


def shaped(data: Dataset, model: Description) -> Dataset:
    """Data as the model sees them.

    Args:
      data: examples [N, D].
      model: of the run.

    Returns:
      The data, their examples [N, ...] of the model's shape.

    Raises:
      ValueError: if they are of another size.
    """
    shape, width = model.data_shape, data.x_train[0].size
    if np.prod(shape) != width:
        raise ValueError(f"data must be examples of the shape {shape} as the model's, got {width} "
                         f"values in {data.name}")  # fmt: skip
    x_train, x_test = (x.reshape(-1, *shape) for x in (data.x_train, data.x_test))
    return data._replace(x_train=x_train, x_test=x_test)


def hold_out(
    training: TrainingOptions, data: Dataset
) -> tuple[Dataset, tuple[np.ndarray, np.ndarray | None] | None]:
    """Set a share of the training examples aside.

    Args:
      training: the options `hold_out` and `seed`.
      data: the data.

    Returns:
      The data to train on, and the examples and labels held out of them, or None.

    Raises:
      ValueError: if nothing is left on either side.
    """
    if not training.hold_out:
        return data, None
    share = checks.positive_float("hold_out", training.hold_out)
    count = round(share * len(data.x_train))
    if not 0 < count < len(data.x_train):
        raise ValueError(
            f"hold_out must leave examples to train on and to hold out, got {share} of "
            f"{len(data.x_train)}"
        )
    order = np.random.default_rng(training.seed).permutation(len(data.x_train))
    held_out, rest = (
        (data.x_train[rows], None if data.y_train is None else data.y_train[rows])
        for rows in (order[:count], order[count:])
    )
    return data._replace(x_train=rest[0], y_train=rest[1]), held_out


def optimizer(config: Config, data: Dataset) -> optax.GradientTransformation:
    """Adam with what the options say: schedule, warm-up, clipping, averaging.

    Args:
      config: of a run.
      data: the data, for the steps of an epoch.

    Returns:
      The optimizer.

    Raises:
      ValueError, TypeError: if an option is out of range; it is named.
    """
    training = config.training
    rate: Any = checks.positive_float("learning_rate", training.learning_rate)
    examples = len(hold_out(training, data)[0].x_train)
    steps = steps_per_epoch(examples, min(training.batch_size, examples))
    epochs = training.epochs or EPOCHS
    warmup = checks.positive_int("warmup_epochs", training.warmup_epochs, minimum=0)
    if warmup >= epochs:
        raise ValueError(f"warmup_epochs must be below epochs = {epochs}, got {warmup}")
    if training.schedule == "cosine":
        rate = optax.cosine_decay_schedule(rate, (epochs - warmup) * steps)
    if warmup:
        rise = optax.linear_schedule(0.0, training.learning_rate, warmup * steps)
        rate = optax.join_schedules(
            [rise, rate if callable(rate) else optax.constant_schedule(rate)], [warmup * steps]
        )
    adam = optax.adam(rate)
    if training.clip_norm is not None:
        norm = checks.positive_float("clip_norm", training.clip_norm)
        adam = optax.chain(optax.clip_by_global_norm(norm), adam)
    if training.average is not None:
        return average_params(adam, training.average)
    return adam
