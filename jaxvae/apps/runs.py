"""A run's folder: its configuration, and from it its data, its model and its parameters."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from jaxvae.data import datasets
from jaxvae.data.datasets import Dataset
from jaxvae.model import ready, ready_networks
from jaxvae.model.networks import Params
from jaxvae.model.priors import Prior
from jaxvae.model.vae import VAE
from jaxvae.numerics import checks
from jaxvae.training import run_folder, whole_files
from jaxvae.training.averaging import average_params, averaged_params
from jaxvae.training.epochs import steps_per_epoch
from jaxvae.training.loop import load_state

EPOCHS = 60


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a run is: all but where it lies and which hosts made it."""

    model: Literal["dirichlet", "normal"] = "dirichlet"
    """The latent."""
    dataset: Literal["digits", "mnist"] = "digits"
    """digits comes with scikit-learn; mnist is read from --data-dir, else from JAXVAE_DATA, else
    downloaded once."""
    data_dir: Path | None = None
    """Folder with MNIST's four IDX files, each a .gz or not."""
    data: Path | None = None
    """Your own .npy (examples) or .npz (x, y, x_test, y_test), instead of a dataset."""
    objective: Literal["elbo", "original"] = "elbo"
    """What is minimised: the negative ELBO in nats, or what the 2020 original minimised."""
    likelihood: Literal["normal", "bernoulli"] = "normal"
    """Of a pixel: a Normal of unit variance, or a Bernoulli."""
    kl_weight: float = 1.0
    """Factor of the KL term; 1 is the ELBO."""
    epochs: int | None = None
    """Passes over the data; None: 60, or with --resume as many as before."""
    batch_size: int = 64
    """Examples a step."""
    learning_rate: float = 1e-3
    """Of Adam; with a schedule its highest."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the learning rate: constant, or down to zero at the last epoch along a cosine."""
    warmup_epochs: int = 0
    """Epochs at the start in which the learning rate rises from zero."""
    clip_norm: float | None = None
    """Scale a gradient of a larger norm down to this one."""
    average: float | None = None
    """Decay of an exponential moving average of the parameters, as 0.999; it is what is kept and
    evaluated."""
    hold_out: float = 0.0
    """Share of the training examples whose loss is measured after each epoch instead."""
    patience: int | None = None
    """End after so many epochs without a lower loss on them; keep the parameters of the lowest."""
    on_non_finite: Literal["raise", "skip"] = "raise"
    """A step whose loss or gradient is not finite: end the run, or leave its update out."""
    seed: int = 0
    """Of everything random."""
    seeds: int = 1
    """Train this many at once, from --seed on, as one program; a folder for each."""
    devices: int | None = None
    """Split each batch (with --seeds, the seeds) over so many devices; None: one, or over several
    hosts all."""
    layers: int = 4
    """Hidden layers each of encoder and decoder."""
    hidden_units: int = 128
    """Width of a hidden layer."""
    activation: Literal[
        "elu", "gelu", "leaky_relu", "relu", "selu", "sigmoid", "silu", "softplus", "tanh"
    ] = "relu"
    """Of the hidden layers."""
    latent_dim: int | None = None
    """Width of the latent; None: for a Dirichlet the number of labels, or 10; for a Normal 2."""
    prior: Literal["labels", "symmetric"] | None = None
    """Dirichlet: made from each example's label, or the same for all; None: labels, if any."""
    smoothness: float = 0.5
    """Dirichlet, labels: what each category gets beside the label's 1."""
    total_concentration: float = 8.0
    """Dirichlet, labels: the prior's total concentration."""
    prior_concentration: float = 1.0
    """Dirichlet, symmetric: the prior's concentration of each category."""
    head: Literal["softplus", "relu"] = "softplus"
    """Dirichlet: what makes the concentration. relu is the original's, and can die."""
    concentration_floor: float = 0.1
    """Dirichlet: added to the head."""
    prior_variance: float = 1.0
    """Normal: the prior's variance, the original's C."""
    checkpoint_every: int | None = None
    """Epochs between checkpoints; None: as often as costs at most 3% of the time."""


class Run(NamedTuple):
    """A run with what belongs to it.

    Attributes:
      folder: where it lies.
      config: its options.
      data: what it was trained on.
      vae: its model.
      params: the parameters of the model.
    """

    folder: Path
    config: Config
    data: Dataset
    vae: VAE
    params: Params

    def decode(self, z: Any) -> np.ndarray:
        """The mean of x given each z [N, K], in data space [N, D]."""
        return on_host(jax.jit(self.vae.decode)(self.params, jnp.asarray(z, jnp.float32)))


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
    path = _absolute(path)
    is_checkpoint = path.parent.name == run_folder.CHECKPOINTS
    folder = path.parent.parent if is_checkpoint else path
    config = read_config(folder / run_folder.CONFIG)
    data = load_data(config)
    vae = build(config, data)
    if not is_checkpoint and (folder / run_folder.PARAMS).exists():
        like = jax.eval_shape(vae.init, jax.random.key(0), data.x_train[:1])
        params = whole_files.load_params(folder / run_folder.PARAMS, like)
    else:
        saved = path if is_checkpoint else folder / run_folder.CHECKPOINTS
        params = averaged_params(load_state(saved, vae, optimizer(config, data), data.x_train))
    return Run(folder, config, data, vae, params)


def write_config(path: Path, config: Config) -> None:
    """Write a run's options.

    Args:
      path: the JSON file.
      config: the options; those of a subclass are left out.
    """
    values = {field.name: getattr(config, field.name) for field in dataclasses.fields(Config)}
    whole_files.write_json(
        path, {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}
    )


def read_config(path: Path) -> Config:
    """Read a run's options.

    Args:
      path: the JSON file.

    Returns:
      The options, each of the type and among the choices that `jaxvae train` takes.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it holds anything else.
    """
    fields = whole_files.read_json(path)
    known = {field.name: field for field in dataclasses.fields(Config)}
    if unknown := sorted(set(fields) - set(known)):
        raise ValueError(f"{path} must hold options of `jaxvae train`, got {', '.join(unknown)}")
    # The command line's own parser checks types and choices once more.
    flags: list[str] = []
    for name, value in fields.items():
        flags += [f"--{name.replace('_', '-')}", str(value)]
    try:
        return tyro.cli(Config, args=flags, console_outputs=False)
    except SystemExit:
        raise ValueError(
            f"{path} must hold options that `jaxvae train` takes, got {fields}"
        ) from None


def load_data(config: Config) -> Dataset:
    """The data that a run is trained on.

    Args:
      config: its options.

    Returns:
      The data set.

    Raises:
      ValueError, TypeError, OSError: if the data cannot be read.
    """
    if config.data is not None:
        return datasets.load_file(config.data)
    if config.dataset == "mnist":
        return datasets.load_mnist(config.data_dir)
    return datasets.load_digits()


def check(config: Config) -> None:
    """Refuse what is out of range.

    Args:
      config: the options.

    Raises:
      ValueError, TypeError: the option is named.
    """
    check_seed(config.seed)
    checks.positive_int("seeds", config.seeds)
    if config.epochs is not None:
        checks.positive_int("epochs", config.epochs)
    checks.positive_int("batch_size", config.batch_size)
    for name in ("devices", "checkpoint_every", "patience"):
        if (value := getattr(config, name)) is not None:
            checks.positive_int(name, value)
    for name in ("smoothness", "total_concentration", "prior_concentration", "prior_variance"):
        checks.positive_float(name, getattr(config, name))


def check_effect(config: Config) -> None:
    """Refuse an option without effect: whoever sets it expects one.

    Args:
      config: the options of a new run; once `resolve` has chosen a prior, its options as well.

    Raises:
      ValueError: the option is named, and what it needs.
    """
    has_label_prior, has_symmetric_prior = (
        config.model == "dirichlet" and config.prior in (None, prior)
        for prior in ("labels", "symmetric")
    )
    idle = (
        ("with --data", config.data is not None, ("dataset",)),
        ("except with --dataset mnist", config.dataset != "mnist", ("data_dir",)),
        (
            "except with --model dirichlet",
            config.model != "dirichlet",
            ("prior", "head", "concentration_floor"),
        ),
        (
            "except with --model dirichlet and --prior labels",
            not has_label_prior,
            ("smoothness", "total_concentration"),
        ),
        (
            "except with --model dirichlet and --prior symmetric",
            not has_symmetric_prior,
            ("prior_concentration",),
        ),
        ("except with --model normal", config.model != "normal", ("prior_variance",)),
    )
    for where, has_none, names in idle:
        for name in names:
            value = getattr(config, name)
            if has_none and value != getattr(Config, name):
                raise ValueError(f"{name} must be left out {where}, got {value}")


def check_seed(value: int) -> None:
    """Refuse what no key can be made of.

    Args:
      value: the seed.

    Raises:
      ValueError: if it is below 0 or has more than 63 bits.
    """
    if checks.positive_int("seed", value, minimum=0) >= 2**63:
        raise ValueError(f"seed must be below 2**63, got {value}")


def hold_out(
    config: Config, data: Dataset
) -> tuple[Dataset, tuple[np.ndarray, np.ndarray | None] | None]:
    """Set a share of the training examples aside.

    Args:
      config: the options: `hold_out` and `seed`.
      data: the data.

    Returns:
      The data to train on, and the examples and labels held out of them, or None.

    Raises:
      ValueError: if nothing is left on either side.
    """
    if not config.hold_out:
        return data, None
    share = checks.positive_float("hold_out", config.hold_out)
    count = round(share * len(data.x_train))
    if not 0 < count < len(data.x_train):
        raise ValueError(
            f"hold_out must leave examples to train on and to hold out, got {share} of "
            f"{len(data.x_train)}"
        )
    order = np.random.default_rng(config.seed).permutation(len(data.x_train))
    held_out, rest = (
        (data.x_train[rows], None if data.y_train is None else data.y_train[rows])
        for rows in (order[:count], order[count:])
    )
    return data._replace(x_train=rest[0], y_train=rest[1]), held_out


def optimizer(config: Config, data: Dataset) -> optax.GradientTransformation:
    """Adam with what the options say: schedule, warm-up, clipping, averaging.

    Args:
      config: the options.
      data: the data, for the steps of an epoch.

    Returns:
      The optimizer.

    Raises:
      ValueError, TypeError: if an option is out of range; it is named.
    """
    rate: Any = checks.positive_float("learning_rate", config.learning_rate)
    examples = len(hold_out(config, data)[0].x_train)
    steps = steps_per_epoch(examples, min(config.batch_size, examples))
    epochs = config.epochs or EPOCHS
    warmup = checks.positive_int("warmup_epochs", config.warmup_epochs, minimum=0)
    if warmup >= epochs:
        raise ValueError(f"warmup_epochs must be below epochs = {epochs}, got {warmup}")
    if config.schedule == "cosine":
        rate = optax.cosine_decay_schedule(rate, (epochs - warmup) * steps)
    if warmup:
        rise = optax.linear_schedule(0.0, config.learning_rate, warmup * steps)
        rate = optax.join_schedules(
            [rise, rate if callable(rate) else optax.constant_schedule(rate)], [warmup * steps]
        )
    adam = optax.adam(rate)
    if config.clip_norm is not None:
        norm = checks.positive_float("clip_norm", config.clip_norm)
        adam = optax.chain(optax.clip_by_global_norm(norm), adam)
    if config.average is not None:
        return average_params(adam, config.average)
    return adam


def resolve(config: Config, data: Dataset) -> Config:
    """Fill in what depends on the data.

    Args:
      config: the options, some of them None.
      data: the data.

    Returns:
      The options, those that were None chosen, and the paths absolute.
    """
    categories = 2 if config.model == "normal" else data.categories or 10
    prior: Literal["labels", "symmetric"] = "symmetric" if data.y_train is None else "labels"
    if config.model == "dirichlet":
        config = dataclasses.replace(config, prior=config.prior or prior)
    return dataclasses.replace(
        config,
        epochs=config.epochs or EPOCHS,
        latent_dim=categories if config.latent_dim is None else config.latent_dim,
        data=None if config.data is None else _absolute(config.data),
        data_dir=None if config.data_dir is None else _absolute(config.data_dir),
    )


def _absolute(path: Path) -> Path:
    return Path(os.path.realpath(path))  # `Path.resolve` gives a RuntimeError for links in a ring


def build(config: Config, data: Dataset) -> VAE:
    """The model of a run.

    Args:
      config: the options.
      data: the data, for the width of an example.

    Returns:
      The model.

    Raises:
      ValueError, TypeError: if an option is out of range; it is named.
    """
    dense: dict[str, Any] = {
        "layers": config.layers,
        "hidden_units": config.hidden_units,
        "activation": config.activation,
    }
    common: dict[str, Any] = {
        "likelihood": config.likelihood,
        "objective": config.objective,
        "kl_weight": config.kl_weight,
    }
    data_dim, latent_dim = data.x_train.shape[1], config.latent_dim or 0
    if config.model == "normal":
        network = ready_networks.dense_normal_network(data_dim, latent_dim, **dense)
        return ready.normal_vae(network, prior_variance=config.prior_variance, **common)
    network = ready_networks.dense_dirichlet_network(
        data_dim,
        latent_dim,
        head=config.head,
        concentration_floor=config.concentration_floor,
        **dense,
    )
    return ready.dirichlet_vae(network, prior=dirichlet_prior(config), **common)


def dirichlet_prior(config: Config) -> Prior:
    """The prior of a run with a Dirichlet latent.

    Args:
      config: the options.

    Returns:
      The prior.

    Raises:
      ValueError, TypeError: if an option is out of range; it is named.
    """
    if config.prior == "symmetric":
        return ready.symmetric_prior(config.prior_concentration)
    return ready.label_prior(
        smoothness=config.smoothness, total_concentration=config.total_concentration
    )


def path_between(start: Any, end: Any, steps: int) -> np.ndarray:
    """Points on the straight line from one point of the latent space to another.

    Args:
      start: the first point [K].
      end: the last [K].
      steps: how many, both ends included.

    Returns:
      [steps, K]. On the simplex, if both ends are.
    """
    share = np.linspace(0, 1, steps)[:, None]
    return (1 - share) * np.asarray(start) + share * np.asarray(end)


def write_new(
    path: Path | None,
    default: str,
    endings: Sequence[str],
    write: Callable[[Path], None],
    *,
    replace: bool,
) -> Path:
    """Write a file that a user asked for, whole or not at all.

    Args:
      path: the file, or None.
      default: its name where the user gave none; with -2, -3, ... where it exists.
      endings: what its name may end in.
      write: writes to the path that it is called with, of the same ending. It becomes the file at
        the end, and is removed after an error.
      replace: whether it may take the place of one that is there.

    Returns:
      The file.

    Raises:
      ValueError: if the name ends in anything else.
      FileExistsError: if the file exists and may not be replaced.
      FileNotFoundError: if there is no folder for it.
    """
    out = Path(default) if path is None else path
    if out.suffix not in endings:
        raise ValueError(f"out must end in {', '.join(endings)}, got {out}")
    taken = FileExistsError(f"out must be a new file, or be replaced with --force, got {out}")
    if out.is_dir() or (path is not None and out.exists() and not replace):
        raise taken
    if not out.parent.is_dir():
        raise FileNotFoundError(f"out must be in a folder that exists, got {out}")
    unfinished = out.with_name(f".{os.getpid()}-{out.name}")
    try:
        write(unfinished)
        if replace:
            unfinished.replace(out)
            return out
        number = 1
        while not _put(unfinished, out):  # another process may just have written it
            if path is not None:
                raise taken
            number += 1
            out = Path(default).with_stem(f"{Path(default).stem}-{number}")
        return out
    finally:
        unfinished.unlink(missing_ok=True)


def _put(unfinished: Path, out: Path) -> bool:
    """Give a file its name; False where a file has it already."""
    try:
        os.link(unfinished, out)  # unlike a renaming it never replaces
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        if out.exists():
            return False
        unfinished.replace(out)
    return True
