"""The options of `jaxvae train`: flat for the command line, each of them a field of one dataclass.

Which of them has an effect beside which others: `option_effects.py`.
"""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import arg

from jaxvae.numerics import checks

EPOCHS, BATCH_SIZE, LEARNING_RATE, MOMENTUM = 60, 64, 1e-3, 0.9
# Early stopping: where few examples make an epoch of few updates, there are more epochs.
MOST_EPOCHS, MOST_STEPS = 200, 4000
HOLD_OUT, MOST_HELD_OUT, PATIENCE, PATIENCE_STEPS = 0.1, 2000, 20, 400


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What model it is."""

    model: Literal["joint", "dirichlet", "normal", "logistic_normal"] | None = None
    """The latent. A joint one is a Dirichlet for the category beside a Normal for the style.
    Default: dirichlet where the data are counts, with the network topics; joint where the data have
    labels; else normal, or dirichlet where --prior is given. The original objective has dirichlet
    where there are labels."""
    objective: Literal["elbo", "original"] = "elbo"
    """What is minimised: the negative ELBO in nats, or what the 2020 original minimised."""
    likelihood: (
        Literal[
            "normal", "bernoulli", "poisson", "negative_binomial", "multinomial",
            "dirichlet_multinomial",
        ]
        | None
    ) = None  # fmt: skip
    """The distribution of a value given z. A Bernoulli needs values from 0 to 1; Poisson, negative
    binomial, multinomial and Dirichlet-multinomial need counts. Default: multinomial where the data
    look like counts, else normal."""
    likelihood_scale: float | None = None
    """The scale of a Normal likelihood. Default: it is learned, from exp(-1) on;
    with fewer than 1,000 training examples it keeps a least value."""
    kl_weight: float = 1.0
    """The factor of the KL term. With 1 the loss is the negative ELBO."""
    category_kl_weight: float | None = None
    """Only joint: the factor of the category's KL term. Default: a 64th of the number of values of
    an example, but at least 1."""
    network: Literal["dense", "convolutional", "topics"] | None = None
    """The kind of encoder and decoder. A convolutional one needs images. topics needs counts and
    --model dirichlet: each category is a topic, whose words it makes more frequent. Default: topics
    where the data are counts and --model is left out; else dense."""
    layers: int | None = None
    """Only dense and topics: how many hidden layers the encoder has, and a dense decoder too.
    Default: 2, with the original objective 4."""
    hidden_units: int | None = None
    """The width of a hidden layer. Default: 256; for examples of 256 values or more 512; with the
    original objective 128; of topics 100."""
    decoder: Literal["hybrid", "mixture", "product"] | None = None
    """Only topics: a document is a mixture of its topics (LDA), a product of them (ProdLDA), or a
    mixture that learns where a product is better. Default: hybrid."""
    dropout: float | None = None
    """Only topics: the share of the encoder's last layer that is left out in training. Default:
    0.3."""
    channels: tuple[int, ...] = (32, 64)
    """Only convolutional: the channels of each convolution, from the image on."""
    activation: Literal[
        "elu", "gelu", "leaky_relu", "relu", "selu", "sigmoid", "silu", "softplus", "tanh"
    ] | None = None  # fmt: skip
    """The activation function of the hidden layers. Default: relu, of topics softplus."""
    latent_dim: int | None = None
    """The width of the latent; of a joint one the number of categories, of topics their number.
    Default: 2 for a Normal; else the number of labels, or 10 where there are no labels; of topics
    the number of labels, but at least 10, or 20 where there are none."""
    style_dim: int | None = None
    """Only joint: the width of the style. Default: an eighth of the number of values of an example,
    but at least 2 and at most 32."""
    prior: Literal["labels", "symmetric", "learned"] | None = None
    """Only joint and dirichlet: made from the label of each example, or the same for all; learned:
    training finds it. Default: labels where there are labels, else symmetric; of topics learned."""
    smoothness: float | None = None
    """Only a prior from labels: what each category gets beside the 1 of the label. Default: 0.5,
    joint 0.005, of topics 0.01."""
    total_concentration: float | None = None
    """Only a prior from labels: the sum of the prior's concentration. Default: 8; joint 50,
    for examples of 256 values or more 100; of topics 10 and a tenth of their number."""
    prior_concentration: float | None = None
    """Not a prior from labels: the concentration of each category, of a learned one where it
    starts. Default: 1, of topics 0.1."""
    head: Literal["softplus", "relu"] = "softplus"
    """Only dirichlet: the function that makes the concentration. relu is the original's; with it a
    category can die."""
    concentration_floor: float = 0.1
    """Only joint and dirichlet: this is added to what the head gives."""
    prior_variance: float = 1.0
    """Only normal and logistic_normal: the variance of the prior, which is the original's C."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What it is trained on."""

    dataset: Literal["digits", "mnist"] = "digits"
    """A data set that is known by name. digits comes with scikit-learn. mnist is read from
    --data-dir, or from the folder that JAXVAE_DATA names; without both it is downloaded once."""
    data_dir: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Only mnist: the folder with the four IDX files, each a .gz or not."""
    data: Path | None = None
    """Your own data instead: a .npz, .npy, .csv, .tsv, .parquet, .h5ad or .mtx, a .txt with a text
    in each line, an IDX file, or a folder of images, of texts or of a 10x matrix."""
    label: Annotated[str | None, arg(metavar="COLUMN")] = None
    """The column of the labels, in a table or in the obs of an .h5ad. Give none where a column is
    called so but holds no labels. Default: the one that is called label, labels, target, class
    or y."""
    ids: Annotated[str | None, arg(metavar="COLUMN")] = None
    """The column that names the rows."""
    leave_out: Annotated[tuple[str, ...], arg(metavar="COLUMN ...")] = ()
    """The columns that are not used."""
    text: Annotated[str | None, arg(metavar="COLUMN")] = None
    """The column of texts, whose words are counted."""
    words: int = 5000
    """Of texts: the number of words that are counted, the most frequent ones."""
    layer: Annotated[str | None, arg(metavar="NAME")] = None
    """Of an .h5ad: the layer that is read instead of X."""
    image_size: tuple[int, ...] | None = None
    """Of a folder of images: the size that all of them get, as one number or as height and
    width."""
    kind: Literal["images", "series", "table", "counts"] | None = None
    """What the examples are. Default: it is found out from the file."""
    missing: Literal["refuse", "mask"] = "refuse"
    """What is done with missing values (NaN): refuse ends with an error, mask trains on the values
    that are there."""
    scale: Literal["auto", "none"] = "auto"
    """auto divides bytes by 255, standardises columns, and so on, by what the data look like; the
    model keeps the scale and answers in your units. none leaves the numbers as they are."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How it is trained."""

    epochs: int | None = None
    """How often each example is seen, at most. Default: 60; of topics 5 to 300, as many as show
    90,000 documents; with early stopping 200, or as many as 4,000 steps take; with --resume as
    many as before."""
    batch_size: int | None = None
    """The number of examples in a step. Default: 64; of topics about 200, so that all batches are
    alike."""
    learning_rate: float | None = None
    """The learning rate of Adam, of a schedule the highest. Default: 0.001, of topics 0.008."""
    momentum: float | None = None
    """How slowly Adam's mean of the gradients changes, from 0 to below 1. Default: 0.9, of topics
    0.99."""
    final_rounds: int | None = None
    """Only topics: rounds of a last phase, in which the decoder learns from each document's own
    posterior. Default: 4 where documents are long and --epochs is left out; else 0."""
    schedule: Literal["constant", "cosine"] = "constant"
    """The learning rate stays constant, or it falls to zero at the last epoch along a cosine."""
    warmup_epochs: int = 0
    """The number of epochs at the start in which the learning rate rises from zero."""
    clip_norm: float | None = None
    """A gradient of a larger norm is scaled down to this one. Default: none is."""
    average: Annotated[float | None, arg(metavar="DECAY")] = None
    """Keep and evaluate an exponential moving average of the parameters with this decay, as 0.999.
    0 keeps those of the last step. Default: over about one epoch, of topics ten; with the original
    objective 0."""
    hold_out: Annotated[float | None, arg(metavar="SHARE")] = None
    """This share of the training examples, the same ones for every seed, is not trained on; the
    loss on them is measured after each epoch. Default: 0.1, of many examples 2,000; 0 where that
    would be fewer than 10, with the original objective, or of topics, unless --patience is
    given."""
    patience: Annotated[int | None, arg(metavar="EPOCHS")] = None
    """Training ends after so many epochs without a lower loss on the held-out examples, and keeps
    the parameters of the best epoch. Default: where examples are held out 20, or as many as 400
    steps take."""
    label_weight: Annotated[float | None, arg(metavar="WEIGHT")] = None
    """What a labelled example counts where the labels of others are missing; those count 1.
    Default: as much as gives the labelled ones half of the sum, at least 1."""
    on_non_finite: Literal["raise", "skip"] = "raise"
    """What is done where the loss or the gradient of a step is not finite: raise ends the run with
    an error, skip leaves the update of that step out."""
    seed: int = 0
    """All that is random follows from this number."""
    seeds: int = 1
    """Train as many runs at once, each with a seed and a folder of its own, from --seed on. The
    results are then means and standard deviations."""
    devices: int | None = None
    """Split each batch over so many devices, or with --seeds the seeds. Default: one device; over
    several hosts all."""
    checkpoint_every: Annotated[int | None, arg(metavar="EPOCHS")] = None
    """The number of epochs from one checkpoint to the next. Default: as few as cost at most 3% of
    the time."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions, DataOptions, ModelOptions):
    """All of them."""


# How a file of the user's is read.
READING = ("label", "ids", "leave_out", "text", "words", "layer", "image_size")


def part_of(options: Any, cls: Any) -> Any:
    """The options of one of the dataclasses.

    Args:
      options: some that are more.
      cls: the dataclass.

    Returns:
      One of its instances.
    """
    return cls(**{field.name: getattr(options, field.name) for field in dataclasses.fields(cls)})


def parsed(path: Path, cls: Any, fields: Mapping[str, Any]) -> Any:
    """Options that a file holds, by the command line's own parser: it checks types and choices.

    Args:
      path: the file, for what is said of it.
      cls: the dataclass of them.
      fields: what it holds.

    Returns:
      One of its instances.

    Raises:
      ValueError: if they are no such options.
    """
    flags: list[str] = []
    for name, value in fields.items():
        each = value if isinstance(value, list | tuple) else [value]
        if each:
            flags += [f"--{name.replace('_', '-')}", *map(str, each)]
    try:
        return tyro.cli(cls, args=flags, console_outputs=False)
    except SystemExit:
        raise ValueError(
            f"{path} must hold options that `jaxvae train` takes, got {dict(fields)}"
        ) from None


def check(options: TrainingOptions) -> None:
    """Refuse what is out of range.

    Args:
      options: how it is trained.

    Raises:
      ValueError, TypeError: the option is named.
    """
    check_seed(options.seed)
    checks.positive_int("seeds", options.seeds)
    for name in ("batch_size", "epochs", "devices", "checkpoint_every", "patience"):
        if (value := getattr(options, name)) is not None:
            checks.positive_int(name, value)
    if options.final_rounds is not None:
        checks.positive_int("final_rounds", options.final_rounds, minimum=0)
    if options.momentum is not None and not 0 <= options.momentum < 1:
        raise ValueError(f"momentum must be from 0 to below 1, got {options.momentum}")
    if options.average is not None and not 0 <= options.average < 1:
        raise ValueError(f"average must be from 0 to below 1, got {options.average}")
    if options.patience is not None and options.hold_out == 0:
        raise ValueError("hold_out must be above 0 where patience is given, got 0.0")


def check_seed(value: int) -> None:
    """Refuse what no key can be made of.

    Args:
      value: the seed.

    Raises:
      ValueError: if it is below 0 or has more than 63 bits.
    """
    if checks.positive_int("seed", value, minimum=0) >= 2**63:
        raise ValueError(f"seed must be below 2**63, got {value}")


def absolute(path: Path) -> Path:
    """A path without links.

    Args:
      path: of anything.

    Returns:
      The path.
    """
    return Path(os.path.realpath(path))  # `Path.resolve` gives a RuntimeError for links in a ring
