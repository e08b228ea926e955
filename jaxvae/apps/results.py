"""What a run comes to: its lines, its results on the test data, its summary."""

import importlib.metadata
import json
import math
import platform
from typing import Any

import jax
import numpy as np

from jaxvae._version import __version__
from jaxvae.apps import topic_runs
from jaxvae.apps.advice import advice, of_topics
from jaxvae.apps.model_parts import kind
from jaxvae.apps.options import BATCH_SIZE, MOST_STEPS, PATIENCE
from jaxvae.apps.runs import Run, held_out
from jaxvae.data.batches import Batch
from jaxvae.data.flat import dense, len_of
from jaxvae.model import evaluation, generation, reports
from jaxvae.model.vae import VAE
from jaxvae.training.epochs import steps_per_epoch
from jaxvae.training.history import EpochRecord, History, lowest

ROWS = 4096  # looked at together, so that a large data set is never dense or decoded whole
RESULTS = (
    "final_loss", "test_loss", "test_reconstruction", "test_kl", "test_nelbo", "test_rmse",
    "baseline_rmse", "test_accuracy", *topic_runs.FIGURES,
)  # fmt: skip


def line(record: EpochRecord) -> str:
    """The line of an epoch in metrics.jsonl: the record but for its steps, what `.more` holds too.

    Args:
      record: of the epoch.

    Returns:
      JSON, and the end of the line.
    """
    fields = record._asdict()
    del fields["batch_losses"]
    more = fields.pop("more", {})
    return json.dumps({**fields, **more}) + "\n"


def summary(run: Run, history: History, interrupted: bool) -> dict[str, Any]:
    """What summary.json holds.

    Args:
      run: the run, trained.
      history: of its training.
      interrupted: whether it ended early.

    Returns:
      Plain values by name.
    """
    seconds = float(np.median([record.seconds for record in history.epochs]))
    model = run.config.model
    return {
        "model": kind(model.latent),
        "objective": kind(model.objective),
        "likelihood": kind(model.likelihood),
        "network": kind(model.network),
        "dataset": run.name,
        "kl_weight": vars(model.objective).get("kl_weight"),
        "seed": run.config.training.seed,
        "epochs": len(history.epochs),
        "interrupted": interrupted,
        "best_epoch": _kept_epoch(run, history),
        "final_loss": history.epochs[-1].loss,
        **of_test(run),
        "seconds_per_epoch": seconds,
        "images_per_second": len_of(run.data.x_train) / seconds,
        "compile_seconds": history.compile_seconds,
        **_versions(),
    }


def _kept_epoch(run: Run, history: History) -> int:
    """How many epochs the parameters were trained for that are kept."""
    losses = [record.validation_loss for record in history.epochs]
    best = lowest(losses)
    if run.config.training.patience is None or not math.isfinite(best):
        return len(losses)
    return losses.index(best) + 1


def of_test(run: Run) -> dict[str, Any]:
    """All that is measured of a run on its data.

    Args:
      run: the run.

    Returns:
      What `test_metrics` and `latent_use` give; of topics how good they are too.
    """
    found = {**test_metrics(run), **latent_use(run)}
    if run.topics is None:
        return found
    figures = run.topics.figures()
    # Of those that the encoder alone has, an example's largest is too coarse.
    kept = {name: value for name, value in found.items() if not name.endswith("_in_use")}
    return kept | figures | {"notes": of_topics(figures)}


def test_metrics(run: Run) -> dict[str, float | None]:
    """The loss, its terms, the errors and the accuracy of a run on its test data.

    Args:
      run: the run.

    Returns:
      Each by its name in the summary. The negative ELBO is None where the terms are no
      log-densities, the accuracy where the prior is not made from labels or none is known; where
      some are missing `test_labels` is how many are known. `test_explained` is the
      share of the variance about the mean training example, in the units of the two errors.
    """
    data, vae, params = run.data, run.vae, run.params
    key = jax.random.key(run.config.training.seed)
    test = evaluation.evaluate(key, vae, params, data.x_test, data.y_test, mask=data.mask_test)
    assert vae.parts is not None
    # Of the counts of thousands of words, nearly all 0, an error in squares says nothing.
    rmse, baseline = errors(run) if run.topics is None else (None, None)
    # The same two errors, so that the share cannot say another thing than they do.
    explained = None if rmse is None or not baseline else 1 - (rmse / baseline) ** 2
    labels = np.full(0, -1) if data.y_test is None else data.y_test
    known = int((labels >= 0).sum())
    of_labels: dict[str, Any] = {"test_accuracy": None}
    if vae.parts.prior.uses_labels and known:
        of = Batch(data.x_test, mask=data.mask_test)
        of_labels["test_accuracy"] = evaluation.accuracy(vae, params, of, labels)
        if known < len(labels):
            of_labels["test_labels"] = known
    return {
        "test_loss": test.loss,
        "test_reconstruction": test.reconstruction,
        "test_kl": test.kl,
        "test_nelbo": test.nelbo,
        "test_rmse": rmse,
        "baseline_rmse": baseline,
        "test_explained": explained,
        **of_labels,
    }


def latent_use(run: Run) -> dict[str, Any]:
    """The figures of the collapse report on the test data.

    Args:
      run: the run.

    Returns:
      Of each part, as `z_active`: its dimensions, how many are active, its KL, its categories in
      use; and `notes`, what is to be said about them.
    """
    data, vae, params = run.data, run.vae, run.params
    key = jax.random.key(run.config.training.seed)
    report = reports.collapse_report(
        key, vae, params, data.x_test, data.y_test, mask=data.mask_test
    )
    used = ("dimensions", "active", "kl", "in_use")
    figures = {
        f"{name}_{figure}": getattr(part, figure)
        for name, part in report.parts.items()
        for figure in used
    }
    assert vae.parts is not None
    notes = advice(report, vae.parts.latent, run.config.model, short=_short(run))
    return {**figures, "notes": notes}


def _short(run: Run) -> int | None:
    """The epochs of a run, where they are fewer than those after which patience ends one and than
    small data get; else None.
    """
    training, origin = run.config.training, run.config.origin
    epochs = training.epochs
    if epochs is None or origin is None or not origin.train_examples or epochs >= PATIENCE:
        return None
    examples = max(1, origin.train_examples - held_out(training, origin.train_examples))
    steps = steps_per_epoch(examples, min(training.batch_size or BATCH_SIZE, examples))
    return epochs if epochs * steps < MOST_STEPS else None


def errors(run: Run) -> tuple[float | None, float | None]:
    """The root mean squared error a value, in the units that the model sees, on the test data.

    Args:
      run: the run.

    Returns:
      That of the reconstructions, z drawn from each posterior; and that of the mean training
      example, which knows nothing of x. None where what is decoded is not like x.
    """
    data, vae, params = run.data, run.vae, run.params
    assert vae.parts is not None
    forward = vae.parts.transform.forward
    key = jax.random.key(run.config.training.seed)
    squares, count, mean = np.zeros(2), 0, _mean_in_units(vae, data.x_train, data.mask_train)
    for start in range(0, len_of(data.x_test), ROWS):
        rows = slice(start, start + ROWS)
        x = dense(data.x_test[rows])
        # By their places in all of the data, so that the draws are those of one call.
        mask = None if data.mask_test is None else data.mask_test[rows]
        batch = Batch(x, position=np.arange(start, start + len(x)), mask=mask)
        decoded = np.asarray(generation.reconstruct(key, vae, params, batch))
        if decoded.shape != x.shape:  # as of categories, of which it has the probabilities
            return None, None
        seen = np.ones(x.shape, bool) if mask is None else mask
        own = np.asarray(forward(x), np.float64)
        both = np.asarray(forward(decoded)), mean
        squares += [float((((other - own) ** 2) * seen).sum()) for other in both]
        count += int(seen.sum())
    rmse, baseline = (float(value) for value in np.sqrt(squares / max(count, 1)))
    return rmse, baseline


def _mean_in_units(vae: VAE, x: Any, mask: np.ndarray | None) -> np.ndarray:
    """The mean example in the units that the model sees, over what was seen."""
    assert vae.parts is not None
    total, count = 0.0, 0.0
    for start in range(0, len_of(x), ROWS):
        rows = slice(start, start + ROWS)
        own = np.asarray(vae.parts.transform.forward(dense(x[rows])), np.float64)
        seen = np.ones(own.shape) if mask is None else mask[rows]
        total, count = total + (own * seen).sum(axis=0), count + seen.sum(axis=0)
    return total / np.maximum(count, 1)


def _versions() -> dict[str, str]:
    packages = ("jax", "flax", "optax", "tfp-nightly", "numpy")
    return {
        "version": __version__,
        "python": platform.python_version(),
        "device": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        **{name.replace("-", "_"): importlib.metadata.version(name) for name in packages},
    }
