"""A run: its folder, and from it its model, its parameters and its data."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxvae._output import say
from jaxvae.apps import chosen, description, options, saved_models, seeds
from jaxvae.apps.latent_space import LatentSpace, count, rows
from jaxvae.apps.options import (
    BATCH_SIZE,
    EPOCHS,
    LEARNING_RATE,
    MOMENTUM,
    DataOptions,
    TrainingOptions,
)
from jaxvae.apps.run_config import Config, read_config, write_config
from jaxvae.apps.run_data import NOWHERE, load_data
from jaxvae.apps.saved_model import SavedModel
from jaxvae.apps.topic_runs import FILE, TopicRun, is_topical
from jaxvae.apps.topics.word_prior import CONCENTRATION, with_word_prior
from jaxvae.data.batches import Batch
from jaxvae.data.dataset import Dataset
from jaxvae.data.flat import len_of
from jaxvae.data.sparse import is_sparse
from jaxvae.model import generation
from jaxvae.model.networks import Params
from jaxvae.model.vae import VAE
from jaxvae.numerics import checks
from jaxvae.training import manifest, run_folder, whole_files
from jaxvae.training.averaging import average_params, averaged_params
from jaxvae.training.epochs import steps_per_epoch

DECODED = 256  # points, in one call of the decoder


class Run:
    """A run with what belongs to it. Its data are read when they are first asked for.

    Attributes:
      folder: where it lies.
      config: what it is.
      vae: its model.
      params: the parameters of the model.
    """

    def __init__(
        self, folder: Path, config: Config, vae: VAE, params: Params, data: Dataset | None = None
    ):
        self.folder, self.config, self.vae, self.params = folder, config, vae, params
        self._data = data

    @property
    def data(self) -> Dataset:
        """What it was trained on, examples of the shape that the model sees.

        Raises:
          ValueError: if the data are not those that it was trained on.
          ValueError, TypeError, OSError: if they cannot be read.
        """
        if self._data is None:
            self._data = load_data(self.config)
        return self._data

    def data_at_hand(self, otherwise: str) -> Dataset | None:
        """Its data; None where they cannot be read, which is said even where all else is quiet.

        Args:
          otherwise: what follows from that, for the sentence.
        """
        try:
            return self.data
        except (ValueError, TypeError, OSError, ImportError) as error:
            say(f"without the run's data, so {otherwise}: {error}", error=True)
            return None

    @property
    def name(self) -> str:
        """What its data are called."""
        origin = self.config.origin
        return self.data.name if origin is None else origin.name

    @property
    def model(self) -> SavedModel:
        """Its model as one that is loaded anywhere."""
        return SavedModel(self.vae, self.params, self.config.model)

    @functools.cached_property
    def space(self) -> LatentSpace:
        """The parts of its latent space."""
        return self.model.space

    @functools.cached_property
    def topics(self) -> TopicRun | None:
        """Its topics, where its categories are such."""
        return TopicRun(self) if is_topical(self.config.model) else None

    @property
    def category_names(self) -> tuple[str, ...]:
        """The names of its categories, as `SavedModel.category_names`."""
        return self.model.category_names

    def decode(self, z: Any, x: Any = None) -> np.ndarray:
        """The mean of x given each z, in data space [N, D]; of counts as many as in x."""
        z = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), z)
        batch = None if x is None else Batch(jnp.asarray(x))
        made = on_host(jax.jit(self.vae.decode)(self.params, z, batch))
        return made.reshape(len(made), -1)

    def decode_many(self, z: Any) -> np.ndarray:
        """The same of any number of points, so many in a call that one compiled program serves."""
        total = count(z)
        step = min(DECODED, total)
        blocks = [
            self.decode(rows(z, np.minimum(np.arange(start, start + step), total - 1)))
            for start in range(0, total, step)
        ]
        return np.concatenate(blocks)[:total]

    def sample(self, key: jax.Array, z: Any) -> np.ndarray:
        """A draw of x given each z, with the likelihood's noise, in data space [N, D]."""
        z = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), z)
        made = np.asarray(generation.sampled(key, self.vae, self.params, z))
        return made.reshape(len(made), -1)

    def draw(self, key: jax.Array, count: int, category: int | None = None) -> Any:
        """Points from the prior, of one category if that is given."""
        shape: Any = count
        if category is not None:
            shape = Batch(y=jnp.full(count, category, jnp.int32))
        elif not self.space.is_product:
            shape = (count, self.space.width)
        return jax.tree.map(on_host, self.vae.sample_prior(self.params, key, shape))


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


def open_run(path: Path, *, data: Path | None = None, other_data: bool = False) -> Run:
    """Read a run back. Its data are not needed.

    Args:
      path: its folder, for its final parameters or, before it has any, those of its last
        checkpoint; one of the checkpoints in it; or a folder that `jaxvae.save` made.
      data: where its data lie now; None: where they lay.
      other_data: whether they may be others than it was trained on.

    Returns:
      The run.

    Raises:
      FileNotFoundError: if there is no run.
      ValueError: if a file of it is damaged or belongs to another run, or there are several runs.
    """
    if str(path).startswith("hf:/"):
        raise ValueError(f"path must be a folder on this machine for this command, got {path}; "
                         "encode, generate and export take an address on the Hub")  # fmt: skip
    path = options.absolute(path)
    if not (path / run_folder.CONFIG).exists() and (path / saved_models.MODEL).exists():
        return _of_saved(path, data, other_data)
    seeds.refuse_many(path)
    is_checkpoint = path.parent.name == run_folder.CHECKPOINTS
    folder = path.parent.parent if is_checkpoint else path
    config = read_config(folder / run_folder.CONFIG)
    final = next((file for file in map(folder.joinpath, run_folder.FINAL) if file.exists()), None)
    if final is not None and final.name == run_folder.PARAMS:
        manifest.check(folder, saved_models.DamagedModelError, alone=False)
    vae = description.build(config.model)
    if not is_checkpoint and final is not None:
        example = description.abstract_example(config.model.data_shape)
        params = whole_files.load_params(
            final, jax.eval_shape(vae.init, jax.random.key(0), example)
        )
    else:
        params = averaged_params(seeds.last_state(path, config, vae, optimizer(config)))
    at_hand = None
    if data is not None or other_data:
        at_hand = load_data(config, data, other=other_data)
    return Run(folder, config, vae, params, at_hand)


def _of_saved(path: Path, data: Path | None, other_data: bool) -> Run:
    """A saved model as a run that names no data."""
    vae, params, model = saved_models.read(path)
    config = Config(model=model, data=DataOptions(), training=TrainingOptions(), origin=NOWHERE)
    own = None if data is None else load_data(config, data, other=other_data)
    return Run(path, config, vae, params, own)


def begin(folder: Path, config: Config) -> None:
    """Write what a run is; what it came to before, if it did, is no longer what it comes to.

    Args:
      folder: the run's.
      config: what it is.

    Raises:
      OSError: if the folder cannot be written.
    """
    for name in (manifest.MANIFEST, *run_folder.FINAL):
        (folder / name).unlink(missing_ok=True)
    _forget_results(folder)
    write_config(folder / run_folder.CONFIG, config)


def finish(folder: Path, params: Params) -> None:
    """Write the final parameters, and by what damage to them is found; no results, which follow.

    Args:
      folder: the run's, its configuration in it.
      params: the parameters.

    Raises:
      OSError: if the folder cannot be written.
    """
    _forget_results(folder)
    whole_files.save_params(folder / run_folder.PARAMS, params)
    manifest.write(folder, (run_folder.CONFIG, run_folder.PARAMS))


def _forget_results(folder: Path) -> None:
    """Remove what other parameters came to, of the run and of the seeds that it is one of."""
    for own in filter(None, (folder, seeds.above(folder))):
        for name in (run_folder.SUMMARY, FILE):
            (own / name).unlink(missing_ok=True)


def hold_out(config: Config, data: Dataset) -> tuple[Batch, Batch | None]:
    """Set a share of the training examples aside: the same ones whatever the seed.

    So a run is the same whether its seed is trained alone or beside others, and what differs from
    seed to seed is not the examples.

    Args:
      config: of the run.
      data: the data.

    Returns:
      The examples to train on, and those held out of them, or None.

    Raises:
      ValueError: if nothing is left on either side.
    """
    training = config.training
    y, weight = data.y_train, None
    if training.label_weight is not None and y is not None:
        weight = np.where(y < 0, 1, training.label_weight).astype(np.float32)
    whole = Batch(data.x_train, y, weight=weight, mask=data.mask_train)
    most = held_out(training, len_of(data.x_train))
    if not most:
        return whole, None
    # A run of the first version, which has no origin, goes on with the examples that it had.
    seed = training.seed if config.origin is None else 0
    order = np.random.default_rng(seed).permutation(len_of(data.x_train))

    def some(index: np.ndarray) -> Batch:
        return jax.tree.map(lambda leaf: leaf[index], whole, is_leaf=is_sparse)

    return some(order[most:]), some(order[:most])


def held_out(training: TrainingOptions, examples: int) -> int:
    """How many of the training examples are held out.

    Args:
      training: the option `hold_out`.
      examples: how many there are.

    Returns:
      The number, 0 where the option is.

    Raises:
      ValueError: if nothing is left on either side.
    """
    if not training.hold_out:
        return 0
    share = checks.positive_float("hold_out", training.hold_out)
    count = round(share * examples)
    if not 0 < count < examples:
        raise ValueError(
            f"hold_out must leave examples to train on and to hold out, got {share} of {examples}"
        )
    return count


def optimizer(config: Config) -> optax.GradientTransformation:
    """Adam with what the options say: schedule, warm-up, clipping, averaging.

    Args:
      config: of a run; how many examples it has says how many steps an epoch has.

    Returns:
      The optimizer.

    Raises:
      ValueError, TypeError: if an option is out of range; it is named.
    """
    training = config.training
    highest = LEARNING_RATE if training.learning_rate is None else training.learning_rate
    rate: Any = checks.number("learning_rate", highest)  # of a sweep it is traced
    examples = _train_examples(config)
    examples -= held_out(training, examples)
    steps = steps_per_epoch(examples, min(training.batch_size or BATCH_SIZE, examples))
    epochs = training.epochs or EPOCHS
    warmup = checks.positive_int("warmup_epochs", training.warmup_epochs, minimum=0)
    if warmup >= epochs:
        raise ValueError(f"warmup_epochs must be below epochs = {epochs}, got {warmup}")
    if training.schedule == "cosine":
        rate = optax.cosine_decay_schedule(rate, (epochs - warmup) * steps)
    if warmup:
        rise = optax.linear_schedule(0.0, highest, warmup * steps)
        rate = optax.join_schedules(
            [rise, rate if callable(rate) else optax.constant_schedule(rate)], [warmup * steps]
        )
    adam = optax.adam(rate, b1=MOMENTUM if training.momentum is None else training.momentum)
    if is_topical(config.model):
        dispersion = config.origin.dispersion if config.origin is not None else 1.0
        adam = with_word_prior(adam, examples, CONCENTRATION, dispersion)
    if training.clip_norm is not None:
        norm = checks.positive_float("clip_norm", training.clip_norm)
        adam = optax.chain(optax.clip_by_global_norm(norm), adam)
    if training.average:
        return average_params(adam, training.average)
    return adam


def _train_examples(config: Config) -> int:
    """How many examples there are to train on."""
    if config.origin is not None:
        return config.origin.train_examples
    return len_of(chosen.load_data(config.data).x_train)  # a run of the first version
