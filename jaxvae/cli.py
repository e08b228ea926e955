"""The command line: `jaxvae train`, `jaxvae evaluate RUN`, `jaxvae figures RUN`."""

import contextlib
import dataclasses
import importlib.metadata
import json
import operator
import platform
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jax.experimental import multihost_utils

from jaxvae import _checks, checkpoints, datasets, evaluation, models, networks
from jaxvae._version import __version__
from jaxvae.averaging import average_params, averaged_params
from jaxvae.datasets import Dataset
from jaxvae.ensembles import fit_many
from jaxvae.models import VAE
from jaxvae.steps import TrainState, steps_per_epoch
from jaxvae.training import EpochRecord, History, NonFiniteStepError, fit, load_state

DIRICHLET_OPTIONS = (
    "prior",
    "smoothness",
    "total_concentration",
    "prior_concentration",
    "head",
    "concentration_floor",
)
RESUMABLE = ("epochs", "devices", "distributed")  # what may be given anew with --resume
# What a run of several seeds does not have.
ALONE = ("distributed", "hold_out", "patience", "on_non_finite", "checkpoint_every")
RESULTS = ("final_loss", "test_loss", "test_reconstruction", "test_kl", "test_accuracy")
EPOCHS = 60


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a VAE; write its configuration, metrics, parameters and pictures."""

    model: Literal["dirichlet", "normal"] = "dirichlet"
    """The latent."""
    dataset: Literal["digits", "mnist"] = "digits"
    """digits comes with scikit-learn; mnist is read from --data-dir, else from JAXVAE_DATA, else
    downloaded once."""
    data_dir: Path | None = None
    """Folder with MNIST's four IDX .gz files."""
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
    distributed: str | None = None
    """Join other hosts: auto (Slurm, GKE, TPU pods, or JAX's environment variables), or
    ADDRESS:PORT,COUNT,INDEX."""
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
    out: Path | None = None
    """New or empty folder for the results; None: runs/MODEL-DATA-TIME."""
    checkpoint_every: int | None = None
    """Epochs between checkpoints; None: as often as costs at most 3% of the time."""
    resume: Path | None = None
    """Go on with the run in this folder, with its options, as if it had never stopped."""

    def run(self) -> int:
        if self.resume is not None:
            return self._resume(self.resume)
        return self._run(None)

    def _resume(self, folder: Path) -> int:
        """Run with the options of the run in `folder`, but for those that may be given anew."""
        anew = {name: getattr(self, name) for name in RESUMABLE}
        if self != Train(resume=folder, **anew):
            names = ", ".join(f"--{name}" for name in RESUMABLE)
            raise ValueError(f"resume must be given alone or with {names}: the run has its options")
        before = _from_json(folder / checkpoints.CONFIG)
        if before.seeds > 1 or not (folder / checkpoints.CHECKPOINTS).is_dir():
            raise ValueError(f"resume must be a run with checkpoints, got {folder}")
        if self.epochs not in (None, before.epochs) and before.schedule != "constant":
            raise ValueError(
                f"epochs must be {before.epochs} or left out, as the run's learning rate follows a "
                f"schedule, got {self.epochs}"
            )
        given = {name: value for name, value in anew.items() if value is not None}
        return dataclasses.replace(before, **given)._run(folder)

    def _run(self, resumed: Path | None) -> int:
        _checks.positive_int("seed", self.seed, minimum=0)
        _checks.positive_int("seeds", self.seeds)
        if self.epochs is not None:
            _checks.positive_int("epochs", self.epochs)
        _checks.positive_int("batch_size", self.batch_size)
        for name in ("devices", "checkpoint_every", "patience"):
            if (value := getattr(self, name)) is not None:
                _checks.positive_int(name, value)
        for name in ("smoothness", "total_concentration", "prior_concentration", "prior_variance"):
            _checks.positive_float(name, getattr(self, name))
        _check_options(self)
        for name in ALONE:
            if self.seeds > 1 and getattr(self, name) != getattr(Train, name):
                raise ValueError(f"seeds must be 1 with {name}, got {self.seeds}")
        if self.patience is not None and not self.hold_out:
            raise ValueError("hold_out must be above 0 where patience is given, got 0.0")
        if self.distributed is not None:
            _join_hosts(self.distributed)
        data = _load_data(self)
        config = _resolve(self, data)
        vae, optimizer = _build(config, data), _optimizer(config, data)
        if resumed is not None:
            folder = resumed
        elif jax.process_index() > 0:  # one host writes and prints
            folder = config.out or Path("runs", "of-the-first-host")
        else:
            name = f"{config.model}-{data.name}-{time.strftime('%Y%m%d-%H%M%S')}"
            folder = checkpoints.new_run(config.out or Path("runs", name))
        if jax.process_index() == 0:
            print(
                f"{config.model} VAE on {data.name}: {len(data.x_train):,} examples to train on, "
                f"{len(data.x_test):,} held out; results in {folder}"
            )
        train = _train_seeds if config.seeds > 1 else _train_one
        return train(config, vae, data, optimizer, folder)


@dataclass(frozen=True)
class Evaluate:
    """Print the loss and, where it has one, the accuracy of a run on its test data."""

    folder: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
    """A folder that `jaxvae train` wrote, or one of the checkpoints in it."""

    def run(self) -> int:
        _print_results(_test_metrics(*_open_run(self.folder)))
        return 0


@dataclass(frozen=True)
class Figures:
    """Draw a run's pictures again."""

    folder: tyro.conf.Positional[Annotated[Path, tyro.conf.arg(metavar="RUN")]]
    """A folder that `jaxvae train` wrote, or one of the checkpoints in it."""

    def run(self) -> int:
        _draw_figures(_run_of(self.folder), *_open_run(self.folder))
        return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
      argv: the arguments; those of the process where None.

    Returns:
      The exit status: 0; 1 for an error, told in one line on stderr; 2 for wrong usage; 130
      after Ctrl-C and 143 after SIGTERM.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv == ["--version"]:
        print(f"jaxvae {__version__}")
        return 0
    commands: dict[str, Callable[..., Any]] = {
        "train": Train,
        "evaluate": Evaluate,
        "figures": Figures,
    }
    try:
        command = tyro.extras.subcommand_cli_from_dict(
            commands,
            prog="jaxvae",
            description="Variational autoencoders with a Normal or a Dirichlet latent.",
            args=argv,
        )
        return command.run()
    except SystemExit as stop:  # tyro's own: 0 after --help, 2 for wrong usage
        return int(stop.code or 0)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return 128 + signal.SIGINT
    except (ValueError, TypeError, OSError, ImportError, NonFiniteStepError) as error:
        print(f"jaxvae: error: {error}", file=sys.stderr)
        return 1


def _join_hosts(where: str) -> None:
    if where == "auto":
        jax.distributed.initialize()
        return
    parts = where.split(",")
    if len(parts) != 3 or not (parts[1].isdecimal() and parts[2].isdecimal()):
        raise ValueError(f"distributed must be auto or ADDRESS:PORT,COUNT,INDEX, got {where}")
    if int(parts[2]) >= int(parts[1]):
        raise ValueError(f"distributed must have an INDEX from 0 to COUNT - 1, got {where}")
    jax.distributed.initialize(parts[0], int(parts[1]), int(parts[2]))


def _any_host(flag: bool) -> bool:
    """Whether it is so on any host: all have to stop after the same epoch."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def _fit(
    train: Callable[..., Any],
    key: jax.Array,
    config: Train,
    vae: VAE,
    data: Dataset,
    optimizer: optax.GradientTransformation,
    on_epoch: Callable[..., bool],
    **options: Any,
) -> Any:
    """Call `fit` with a key, or `fit_many` with keys."""
    return train(
        key,
        vae,
        data.x_train,
        data.y_train,
        batch_size=config.batch_size,
        epochs=config.epochs,
        optimizer=optimizer,
        devices=config.devices,
        progress=True,
        on_epoch=on_epoch,
        **options,
    )


@contextlib.contextmanager
def _no_run_left(folder: Path) -> Iterator[None]:
    """Remove the folder of a run that is refused before its first step. Around `_fit` alone."""
    try:
        yield
    except (ValueError, TypeError):
        if not (folder / checkpoints.METRICS).is_file():
            shutil.rmtree(folder)
        raise


def _train_one(
    config: Train,
    vae: VAE,
    data: Dataset,
    optimizer: optax.GradientTransformation,
    folder: Path,
) -> int:
    training, held_out = _hold_out(config, data)
    first_host = jax.process_index() == 0
    new = first_host and not (folder / checkpoints.CONFIG).exists()
    if new:
        checkpoints.write_json(folder / checkpoints.CONFIG, _as_json(config))
    begun = False

    def on_epoch(record: EpochRecord, state: TrainState) -> bool:
        nonlocal begun
        if first_host:
            metrics = folder / checkpoints.METRICS
            if not begun:  # only here is it sure that no other process has the run
                checkpoints.write_json(folder / checkpoints.CONFIG, _as_json(config))
                _cut_metrics(metrics, record.epoch)
                begun = True
            with metrics.open("a") as file:
                file.write(_line(record))
        return _any_host(bool(interrupted()))

    with _interruptible() as interrupted:
        try:
            with _no_run_left(folder) if new else contextlib.nullcontext():
                state, history = _fit(
                    fit,
                    jax.random.key(config.seed),
                    config,
                    vae,
                    training,
                    optimizer,
                    on_epoch,
                    validation=held_out,
                    patience=config.patience,
                    on_non_finite=config.on_non_finite,
                    checkpoint_dir=folder / checkpoints.CHECKPOINTS,
                    checkpoint_every=config.checkpoint_every,
                )
        except NonFiniteStepError as error:
            if first_host:
                params = averaged_params(error.state)
                checkpoints.save_params(folder / checkpoints.PARAMS, params)
            raise
        stopped = interrupted()
    if not first_host:
        return 0
    params = averaged_params(state)
    checkpoints.clean(folder)
    checkpoints.save_params(folder / checkpoints.PARAMS, params)
    if stopped:
        done = len(history.epochs)
        print(f"interrupted after epoch {done}; to go on: jaxvae train --resume {folder}")
        return 128 + stopped
    summary = _summary(config, vae, data, params, history, interrupted=False)
    checkpoints.write_json(folder / checkpoints.SUMMARY, summary)
    _print_results(summary)
    _draw_figures(folder, config, vae, params, data)
    return 0


def _cut_metrics(path: Path, epochs: int) -> None:
    """Keep the lines of so many epochs: a resumed run makes those since its checkpoint again."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    path.write_text("".join(lines[:epochs]))


def _train_seeds(
    config: Train,
    vae: VAE,
    data: Dataset,
    optimizer: optax.GradientTransformation,
    folder: Path,
) -> int:
    """Each seed gets a folder that is a run of its own; the summary above them holds the spread."""
    configs = [
        dataclasses.replace(config, seed=config.seed + member, seeds=1, devices=None)
        for member in range(config.seeds)
    ]
    runs = [checkpoints.new_run(folder / f"seed-{own.seed}") for own in configs]

    def save(states: TrainState) -> list[networks.Params]:
        params = averaged_params(states)
        each = [jax.tree.map(operator.itemgetter(i), params) for i in range(len(runs))]
        for run, own, params in zip(runs, configs, each, strict=True):
            checkpoints.write_json(run / checkpoints.CONFIG, _as_json(own))
            checkpoints.save_params(run / checkpoints.PARAMS, params)
        return each

    with _interruptible() as interrupted:
        try:
            with _no_run_left(folder):
                keys = jnp.stack([jax.random.key(own.seed) for own in configs])
                states, histories = _fit(
                    fit_many, keys, config, vae, data, optimizer, lambda *_: bool(interrupted())
                )
        except NonFiniteStepError as error:
            save(error.state)
            raise
        stopped = interrupted()
    summaries = []
    for run, own, params, history in zip(runs, configs, save(states), histories, strict=True):
        (run / checkpoints.METRICS).write_text("".join(map(_line, history.epochs)))
        summaries.append(_summary(own, vae, data, params, history, bool(stopped)))
        checkpoints.write_json(run / checkpoints.SUMMARY, summaries[-1])
    spread: dict[str, Any] = {"seeds": len(summaries), "interrupted": bool(stopped)}
    for name in RESULTS:
        if summaries[0][name] is not None:
            values = np.array([summary[name] for summary in summaries])
            spread |= {f"{name}_mean": values.mean(), f"{name}_std": values.std(ddof=1)}
            print(f"{name:20s} {values.mean():10.4f} ± {values.std(ddof=1):.4f}")
    checkpoints.write_json(folder / checkpoints.SUMMARY, spread)
    print(f"a run for each seed, its pictures still to draw: jaxvae figures {folder}/seed-N")
    return 128 + stopped if stopped else 0


def _line(record: EpochRecord) -> str:
    return json.dumps({k: v for k, v in record._asdict().items() if k != "batch_losses"}) + "\n"


def _summary(
    config: Train,
    vae: VAE,
    data: Dataset,
    params: networks.Params,
    history: History,
    interrupted: bool,
) -> dict[str, Any]:
    seconds = float(np.median([record.seconds for record in history.epochs]))
    return {
        **{name: getattr(config, name) for name in ("model", "objective", "likelihood")},
        "dataset": data.name,
        "kl_weight": config.kl_weight,
        "seed": config.seed,
        "epochs": len(history.epochs),
        "interrupted": interrupted,
        "final_loss": history.epochs[-1].loss,
        **_test_metrics(config, vae, params, data),
        "seconds_per_epoch": seconds,
        "images_per_second": len(data.x_train) / seconds,
        "compile_seconds": history.compile_seconds,
        **_versions(),
    }


def _as_json(config: Train) -> dict[str, Any]:
    fields = dataclasses.asdict(config)
    for name in ("out", "distributed", "resume"):  # where it lay and where it ran: not what it was
        fields.pop(name)
    return {name: str(v) if isinstance(v, Path) else v for name, v in fields.items()}


def _from_json(path: Path) -> Train:
    fields = checkpoints.read_json(path)
    known = {field.name: field for field in dataclasses.fields(Train)}
    if unknown := sorted(set(fields) - set(known)):
        raise ValueError(f"{path} must hold options of `jaxvae train`, got {', '.join(unknown)}")
    # The command line's own parser checks types and choices once more.
    flags: list[str] = []
    for name, value in fields.items():
        flags += [f"--{name.replace('_', '-')}", str(value)]
    try:
        return tyro.cli(Train, args=flags, console_outputs=False)
    except SystemExit:
        raise ValueError(
            f"{path} must hold options that `jaxvae train` takes, got {fields}"
        ) from None


def _load_data(config: Train) -> Dataset:
    if config.data is not None:
        return datasets.load_file(config.data)
    if config.dataset == "mnist":
        return datasets.load_mnist(config.data_dir)
    return datasets.load_digits()


def _check_options(config: Train) -> None:
    """Refuse an option that would have no effect: whoever sets it expects one."""
    idle = {
        "--dataset mnist without --data": ("data_dir",),
        "--model dirichlet": DIRICHLET_OPTIONS,
        "--model normal": ("prior_variance",),
    }
    if config.dataset == "mnist" and config.data is None:
        del idle["--dataset mnist without --data"]
    del idle[f"--model {config.model}"]
    defaults = Train()
    for where, names in idle.items():
        for name in names:
            if (value := getattr(config, name)) != getattr(defaults, name):
                raise ValueError(f"{name} must be left out except with {where}, got {value}")


def _hold_out(
    config: Train, data: Dataset
) -> tuple[Dataset, tuple[np.ndarray, np.ndarray | None] | None]:
    """The data to train on, and those held out of them."""
    if not config.hold_out:
        return data, None
    share = _checks.positive_float("hold_out", config.hold_out)
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


def _optimizer(config: Train, data: Dataset) -> optax.GradientTransformation:
    rate: Any = _checks.positive_float("learning_rate", config.learning_rate)
    examples = len(_hold_out(config, data)[0].x_train)
    steps = steps_per_epoch(examples, min(config.batch_size, examples))
    epochs = config.epochs or EPOCHS
    warmup = _checks.positive_int("warmup_epochs", config.warmup_epochs, minimum=0)
    if warmup >= epochs:
        raise ValueError(f"warmup_epochs must be below epochs = {epochs}, got {warmup}")
    if config.schedule == "cosine":
        rate = optax.cosine_decay_schedule(rate, (epochs - warmup) * steps)
    if warmup:
        rise = optax.linear_schedule(0.0, config.learning_rate, warmup * steps)
        rate = optax.join_schedules(
            [rise, rate if callable(rate) else optax.constant_schedule(rate)], [warmup * steps]
        )
    optimizer = optax.adam(rate)
    if config.clip_norm is not None:
        norm = _checks.positive_float("clip_norm", config.clip_norm)
        optimizer = optax.chain(optax.clip_by_global_norm(norm), optimizer)
    if config.average is not None:
        optimizer = average_params(optimizer, config.average)
    return optimizer


def _resolve(config: Train, data: Dataset) -> Train:
    """Fill in what depends on the data."""
    categories = 2 if config.model == "normal" else data.categories or 10
    prior: Literal["labels", "symmetric"] = "symmetric" if data.y_train is None else "labels"
    if config.model == "dirichlet":
        config = dataclasses.replace(config, prior=config.prior or prior)
    return dataclasses.replace(
        config,
        epochs=config.epochs or EPOCHS,
        latent_dim=categories if config.latent_dim is None else config.latent_dim,
        data=None if config.data is None else config.data.resolve(),
        data_dir=None if config.data_dir is None else config.data_dir.resolve(),
    )


def _build(config: Train, data: Dataset) -> VAE:
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
        network = networks.dense_normal_network(data_dim, latent_dim, **dense)
        return models.normal_vae(network, prior_variance=config.prior_variance, **common)
    network = networks.dense_dirichlet_network(
        data_dim,
        latent_dim,
        head=config.head,
        concentration_floor=config.concentration_floor,
        **dense,
    )
    if config.prior == "symmetric":
        prior = models.symmetric_prior(config.prior_concentration)
    else:
        prior = models.label_prior(
            smoothness=config.smoothness, total_concentration=config.total_concentration
        )
    return models.dirichlet_vae(network, prior=prior, **common)


def _run_of(path: Path) -> Path:
    """The run's folder, of itself or of a checkpoint in it."""
    path = path.resolve()
    return path.parent.parent if path.parent.name == checkpoints.CHECKPOINTS else path


def _open_run(path: Path) -> tuple[Train, VAE, networks.Params, Dataset]:
    """A run's final parameters or, of a checkpoint or a run that has none yet, the saved ones."""
    folder = _run_of(path)
    config = _from_json(folder / checkpoints.CONFIG)
    data = _load_data(config)
    vae = _build(config, data)
    if path.resolve() == folder and (folder / checkpoints.PARAMS).exists():
        like = jax.eval_shape(vae.init, jax.random.key(0), data.x_train[:1])
        return config, vae, checkpoints.load_params(folder / checkpoints.PARAMS, like), data
    saved = folder / checkpoints.CHECKPOINTS if path.resolve() == folder else path.resolve()
    state = load_state(saved, vae, _optimizer(config, data), data.x_train)
    return config, vae, averaged_params(state), data


def _test_metrics(
    config: Train, vae: VAE, params: networks.Params, data: Dataset
) -> dict[str, float | None]:
    key = jax.random.key(config.seed)
    test = evaluation.evaluate(key, vae, params, data.x_test, data.y_test)
    labelled = config.model == "dirichlet" and config.prior == "labels"
    accuracy = evaluation.accuracy(vae, params, data.x_test, data.y_test) if labelled else None
    return {
        "test_loss": test.loss,
        "test_reconstruction": test.reconstruction,
        "test_kl": test.kl,
        "test_accuracy": accuracy,
    }


def _draw_figures(
    folder: Path, config: Train, vae: VAE, params: networks.Params, data: Dataset
) -> None:
    from jaxvae import figures  # Matplotlib is slow to import, and `evaluate` needs none of it

    shape, z = data.image_shape, evaluation.encode_mean(vae, params, data.x_test)
    latent_dim = z.shape[1]
    decode = jax.jit(lambda z: vae.decode(params, jnp.asarray(z, jnp.float32)))
    pages = {
        "latent": figures.latent_scatter(z, data.y_test),
        "reconstructions": figures.reconstructions(data.x_test[:12], decode(z[:12]), shape),
    }
    if config.model == "normal" and latent_dim == 2:
        points, extent = figures.lattice(z)
        title = "Decoded lattice over the latent space"
        pages["generated"] = figures.mosaic(decode(points), shape, title=title, extent=extent)
    else:
        draws = vae.sample_prior(jax.random.key(config.seed), (144, latent_dim))
        title = "Decoded draws from the prior"
        pages["generated"] = figures.image_grid(decode(draws), shape, columns=12, title=title)
    if config.model == "dirichlet":
        corners = np.eye(latent_dim)
        pages["corners"] = figures.corners(decode(corners), shape)
        weights = (0.0, 0.25, 0.5, 0.75, 1.0)
        mixtures = [(1 - w) * corners[0] + w * corners[1] for w in weights]
        pages["blend"] = figures.blend(decode(np.stack(mixtures)), weights, ("0", "1"), shape)
    lines = (folder / checkpoints.METRICS).read_text().splitlines()
    if lines:
        records = [SimpleNamespace(**json.loads(line)) for line in lines]
        unit = "nats" if config.objective == "elbo" else "original's units"
        pages["loss"] = figures.loss_curves(records, unit=unit)
    (folder / "figures").mkdir(exist_ok=True)
    for name, figure in pages.items():
        figure.savefig(folder / "figures" / f"{name}.png", dpi=110)
    print(f"figures: {folder / 'figures'}/{{{','.join(pages)}}}.png")


def _print_results(results: Mapping[str, Any]) -> None:
    for name in RESULTS:
        if results.get(name) is not None:
            print(f"{name:20s} {results[name]:10.4f}")
    if "seconds_per_epoch" in results:
        rate, compiled = results["images_per_second"], results["compile_seconds"]
        print(
            f"{'seconds_per_epoch':20s} {results['seconds_per_epoch']:10.4f}   "
            f"({rate:,.0f} images/s; compiled in {compiled:.1f} s)"
        )


def _versions() -> dict[str, str]:
    packages = ("jax", "flax", "optax", "tfp-nightly", "numpy")
    return {
        "version": __version__,
        "python": platform.python_version(),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        **{name.replace("-", "_"): importlib.metadata.version(name) for name in packages},
    }


@contextlib.contextmanager
def _interruptible() -> Iterator[Callable[[], int]]:
    """Turn the first Ctrl-C or SIGTERM into a request to stop; a second ends the program at once.

    Gives a function that returns the signal's number, 0 before there was one.
    """
    asked = 0
    if threading.current_thread() is not threading.main_thread():
        yield lambda: asked
        return

    def ask(number: int, _: Any) -> None:
        nonlocal asked
        asked = number
        restore()
        print("\nstopping after this epoch; Ctrl-C again ends at once", file=sys.stderr)

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        restore()
