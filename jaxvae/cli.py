"""The command line: `jaxvae train`, `jaxvae evaluate RUN`, `jaxvae figures RUN`."""

import argparse
import importlib.metadata
import json
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae import _checks, checkpoints, datasets, evaluation, models, networks
from jaxvae._version import __version__
from jaxvae.datasets import Dataset
from jaxvae.models import VAE
from jaxvae.training import EpochRecord, NonFiniteStepError, fit

INTERRUPTED = 130  # the shell's convention for a program ended by Ctrl-C


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
      argv: the arguments; those of the process where None.

    Returns:
      The exit status: 0, 1 for an error (one line on stderr), 2 for wrong usage, or 130 after
      Ctrl-C.
    """
    options = _parser().parse_args(argv)
    try:
        return options.command(options)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, TypeError, OSError, ImportError, NonFiniteStepError) as error:
        print(f"jaxvae: error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="jaxvae", description="Variational autoencoders with a Normal or a Dirichlet latent."
    )
    parser.add_argument("--version", action="version", version=f"jaxvae {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser(
        "train",
        help="train a model and draw its pictures",
        description="Train a VAE; write its configuration, metrics, parameters and pictures.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    train.set_defaults(command=_train)
    model = train.add_argument_group("model")
    model.add_argument("--model", choices=("dirichlet", "normal"), default="dirichlet", help="latent")
    model.add_argument("--objective", choices=models.OBJECTIVES, default="elbo", help="what is minimised: the ELBO in nats, or what the 2020 original minimised")
    model.add_argument("--likelihood", choices=models.LIKELIHOODS, default="normal", help="of a pixel: unit-variance Normal, or Bernoulli")
    model.add_argument("--kl-weight", type=float, default=1.0, metavar="W", help="factor of the KL term; 1 is the ELBO")
    model.add_argument("--latent-dim", type=int, metavar="K", help="latent width (default: the number of labels, or 10, for a Dirichlet; 2 for a Normal)")
    model.add_argument("--layers", type=int, default=4, metavar="N", help="hidden layers each of encoder and decoder")
    model.add_argument("--hidden-units", type=int, default=128, metavar="N", help="width of a hidden layer")
    model.add_argument("--activation", choices=sorted(networks.ACTIVATIONS), default="relu", help="of the hidden layers")
    model.add_argument("--prior-variance", type=float, default=1.0, metavar="C", help="Normal: the prior's variance")
    model.add_argument("--head", choices=sorted(networks.CONCENTRATION_HEADS), default="softplus", help="Dirichlet: what makes the concentration; relu is the original's, and can die")
    model.add_argument("--concentration-floor", type=float, default=0.1, metavar="C", help="Dirichlet: added to the head")
    model.add_argument("--prior", choices=("labels", "symmetric"), help="Dirichlet: made from each example's label, or the same for all (default: labels where there are any)")
    model.add_argument("--smoothness", type=float, default=0.5, metavar="S", help="Dirichlet, labels: what each category gets beside the label's 1")
    model.add_argument("--total-concentration", type=float, default=8.0, metavar="T", help="Dirichlet, labels: the prior's total concentration")
    model.add_argument("--prior-concentration", type=float, default=1.0, metavar="C", help="Dirichlet, symmetric: the prior's concentration of each category")
    data = train.add_argument_group("data")
    data.add_argument("--dataset", choices=("digits", "mnist"), default="digits", help="digits comes with scikit-learn; mnist from --data-dir, JAXVAE_DATA, or a download")
    data.add_argument("--data-dir", metavar="DIR", help="folder with MNIST's four IDX .gz files")
    data.add_argument("--data", metavar="FILE", help="your own .npy (examples) or .npz (x, y, x_test, y_test) instead")
    run = train.add_argument_group("run")
    run.add_argument("--epochs", type=int, default=60, metavar="N", help="passes over the data")
    run.add_argument("--batch-size", type=int, default=64, metavar="B", help="examples a step")
    run.add_argument("--learning-rate", type=float, default=1e-3, metavar="R", help="of Adam")
    run.add_argument("--seed", type=int, default=0, metavar="S", help="of everything random")
    run.add_argument("--out", metavar="DIR", help="new or empty folder for the results (default: runs/MODEL-DATA-TIME)")

    for name, command, text in (
        ("evaluate", _evaluate, "loss and accuracy of a run on its test data"),
        ("figures", _figures, "draw a run's pictures again"),
    ):
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("run", metavar="RUN", help="a folder that `jaxvae train` wrote")
        sub.set_defaults(command=command)
    return parser


def _train(options: argparse.Namespace) -> int:
    config = {name: value for name, value in vars(options).items() if name not in ("command", "out")}
    _checks.positive_int("seed", config["seed"], minimum=0)
    learning_rate = _checks.positive_float("learning_rate", config["learning_rate"])
    data = _load_data(config)
    if config["latent_dim"] is None:
        config["latent_dim"] = 2 if config["model"] == "normal" else data.categories or 10
    if config["prior"] is None:
        config["prior"] = "labels" if data.y_train is not None else "symmetric"
    vae = _build(config, data)
    name = f"{config['model']}-{data.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    folder = checkpoints.new_run(options.out or Path("runs", name))
    checkpoints.write_json(folder / checkpoints.CONFIG, config)
    print(f"{config['model']} VAE on {data.name}: {len(data.x_train):,} examples to train on, "
          f"{len(data.x_test):,} held out; results in {folder}")

    key = jax.random.key(config["seed"])
    optimizer = optax.adam(learning_rate)
    with (folder / checkpoints.METRICS).open("w") as metrics, _interruptible() as interrupted:

        def on_epoch(record: EpochRecord, state: Any) -> bool:
            metrics.write(json.dumps(record._asdict()) + "\n")
            metrics.flush()
            return interrupted()

        try:
            state, history = fit(
                key, vae, data.x_train, data.y_train, batch_size=config["batch_size"],
                epochs=config["epochs"], optimizer=optimizer, progress=True, on_epoch=on_epoch,
            )  # fmt: skip
        except NonFiniteStepError as error:
            checkpoints.save_params(folder / checkpoints.PARAMS, error.state.params)
            raise
        checkpoints.save_params(folder / checkpoints.PARAMS, state.params)
        stopped = interrupted()
    seconds = [record.seconds for record in history.epochs]
    summary = {
        "model": config["model"],
        "dataset": data.name,
        "objective": config["objective"],
        "likelihood": config["likelihood"],
        "kl_weight": config["kl_weight"],
        "seed": config["seed"],
        "epochs": len(history.epochs),
        "interrupted": stopped,
        "final_loss": history.epochs[-1].loss,
        **_test_metrics(config, vae, state.params, data),
        "seconds_per_epoch": float(np.median(seconds)),
        "images_per_second": len(data.x_train) / float(np.median(seconds)),
        "compile_seconds": history.compile_seconds,
        **_versions(),
    }
    checkpoints.write_json(folder / checkpoints.SUMMARY, summary)
    _print_results(summary)
    if stopped:
        print(f"interrupted: what was learnt is in {folder}; "
              f"`jaxvae figures {folder}` draws its pictures")
        return INTERRUPTED
    _draw_figures(folder, config, vae, state.params, data)
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    _, config, vae, params, data = _open_run(options.run)
    _print_results(_test_metrics(config, vae, params, data))
    return 0


def _figures(options: argparse.Namespace) -> int:
    _draw_figures(*_open_run(options.run))
    return 0


def _load_data(config: Mapping[str, Any]) -> Dataset:
    if config["data"] is not None:
        return datasets.load_file(config["data"])
    if config["dataset"] == "mnist":
        return datasets.load_mnist(config["data_dir"])
    return datasets.load_digits()


def _build(config: Mapping[str, Any], data: Dataset) -> VAE:
    dense = {name: config[name] for name in ("layers", "hidden_units", "activation")}
    common = {name: config[name] for name in ("likelihood", "objective", "kl_weight")}
    shape = data.x_train.shape[1], config["latent_dim"]
    if config["model"] == "normal":
        network = networks.dense_normal_network(*shape, **dense)
        return models.normal_vae(network, prior_variance=config["prior_variance"], **common)
    heads = {name: config[name] for name in ("head", "concentration_floor")}
    network = networks.dense_dirichlet_network(*shape, **dense, **heads)
    if config["prior"] == "symmetric":
        prior = models.symmetric_prior(config["prior_concentration"])
    else:
        names = ("smoothness", "total_concentration")
        prior = models.label_prior(**{name: config[name] for name in names})
    return models.dirichlet_vae(network, prior=prior, **common)


def _open_run(run: str) -> tuple[Path, dict[str, Any], VAE, networks.Params, Dataset]:
    folder = Path(run)
    config = checkpoints.read_json(folder / checkpoints.CONFIG)
    try:
        data = _load_data(config)
        vae = _build(config, data)
    except KeyError as error:
        raise ValueError(f"{folder / checkpoints.CONFIG} must hold {error}") from None
    like = jax.eval_shape(vae.init, jax.random.key(0), data.x_train[:1])
    return folder, config, vae, checkpoints.load_params(folder / checkpoints.PARAMS, like), data


def _test_metrics(
    config: Mapping[str, Any], vae: VAE, params: networks.Params, data: Dataset
) -> dict[str, float | None]:
    key = jax.random.key(config["seed"])
    test = evaluation.evaluate(key, vae, params, data.x_test, data.y_test)
    labelled = config["model"] == "dirichlet" and config["prior"] == "labels"
    return {
        "test_loss": test.loss,
        "test_reconstruction": test.reconstruction,
        "test_kl": test.kl,
        "test_accuracy": (
            evaluation.accuracy(vae, params, data.x_test, data.y_test) if labelled else None
        ),
    }


def _draw_figures(
    folder: Path, config: Mapping[str, Any], vae: VAE, params: networks.Params, data: Dataset
) -> None:
    from jaxvae import figures  # Matplotlib is slow to import, and a run may need none of it

    shape, latent = data.image_shape, config["latent_dim"]
    decode = jax.jit(lambda z: vae.decode(params, jnp.asarray(z, jnp.float32)))
    z_test = evaluation.encode_mean(vae, params, data.x_test)
    pages = {"latent": figures.latent_scatter(z_test, data.y_test)}
    pages["reconstructions"] = figures.reconstructions(data.x_test[:12], decode(z_test[:12]), shape)
    if config["model"] == "normal" and latent == 2:
        points, extent = figures.lattice(z_test)
        pages["generated"] = figures.generated_mosaic(decode(points), shape, title="Decoded lattice over the latent space", extent=extent)
    else:
        points = vae.sample_prior(jax.random.key(config["seed"]), (400, latent))
        pages["generated"] = figures.generated_mosaic(decode(points), shape, title="Decoded draws from the prior")
    if config["model"] == "dirichlet":
        corners = np.eye(latent)
        pages["corners"] = figures.image_grid(decode(corners), shape, columns=5, title="The corners of the simplex, decoded", names=[f"category {k}" for k in range(latent)])
        weights = (0.0, 0.25, 0.5, 0.75, 1.0)
        mixtures = np.stack([(1 - w) * corners[0] + w * corners[1] for w in weights])
        pages["blend"] = figures.blend(decode(mixtures), weights, ("0", "1"), shape)
    lines = (folder / checkpoints.METRICS).read_text().splitlines()
    if lines:
        unit = "nats" if config["objective"] == "elbo" else "original's units"
        pages["loss"] = figures.loss_curves([SimpleNamespace(**json.loads(line)) for line in lines], unit=unit)
    (folder / "figures").mkdir(exist_ok=True)
    for name, figure in pages.items():
        figure.savefig(folder / "figures" / f"{name}.png", dpi=110)
    print(f"figures: {folder / 'figures'}/{{{','.join(pages)}}}.png")


def _print_results(results: Mapping[str, Any]) -> None:
    for name in ("final_loss", "test_loss", "test_reconstruction", "test_kl", "test_accuracy"):
        if results.get(name) is not None:
            print(f"{name:20s} {results[name]:10.4f}")
    if "seconds_per_epoch" in results:
        print(f"{'seconds_per_epoch':20s} {results['seconds_per_epoch']:10.4f}   "
              f"({results['images_per_second']:,.0f} images/s; compiled in {results['compile_seconds']:.1f} s)")


def _versions() -> dict[str, str]:
    packages = ("jax", "flax", "optax", "tfp-nightly", "numpy")
    return {
        "version": __version__,
        "python": platform.python_version(),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        **{name.replace("-", "_"): importlib.metadata.version(name) for name in packages},
    }


@contextmanager
def _interruptible() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a request to stop; the second ends the program at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return

    def ask(*_: Any) -> None:
        asked.set()
        signal.signal(signal.SIGINT, before)
        print("\nstopping after this epoch; Ctrl-C again ends at once", file=sys.stderr)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
