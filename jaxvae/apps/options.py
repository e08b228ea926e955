"""The options of `jaxvae train`: flat for the command line, each of them a field of one dataclass.

Those of the model are a face of its `Description`: `FACE` says which field of which part each of
them is. So an option has an effect where the chosen part has the field, and else is refused.
"""

import dataclasses
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from jaxvae.apps.model_parts import KINDS
from jaxvae.numerics import checks

EPOCHS = 60
MOST_EPOCHS = 200  # where early stopping ends the run
HOLD_OUT, PATIENCE = 0.1, 20


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What model it is."""

    model: Literal["joint", "dirichlet", "normal", "logistic_normal"] | None = None
    """The latent: joint is a Dirichlet for the category beside a Normal for the style. None: joint
    where there are labels, else normal."""
    objective: Literal["elbo", "original"] = "elbo"
    """What is minimised: the negative ELBO in nats, or what the 2020 original minimised."""
    likelihood: (
        Literal["normal", "bernoulli", "poisson", "negative_binomial", "multinomial"] | None
    ) = None
    """Of a value: a Normal; a Bernoulli, of values from 0 to 1; the others are of counts. None:
    multinomial for what looks like counts, else normal."""
    likelihood_scale: float | None = None
    """Normal likelihood: its scale; None: learned, from exp(-1) on."""
    kl_weight: float = 1.0
    """Factor of the KL term; 1 is the ELBO."""
    category_kl_weight: float | None = None
    """Joint: factor of the category's KL term; None: a 64th of the values of an example, at least
    1."""
    network: Literal["dense", "convolutional"] = "dense"
    """Encoder and decoder; convolutional: for images."""
    layers: int | None = None
    """Dense: hidden layers each of encoder and decoder; None: 2, the original's 4."""
    hidden_units: int | None = None
    """Width of a hidden layer; None: 256, the original's 128."""
    channels: tuple[int, ...] = (32, 64)
    """Convolutional: of each convolution, from the image on."""
    activation: Literal[
        "elu", "gelu", "leaky_relu", "relu", "selu", "sigmoid", "silu", "softplus", "tanh"
    ] = "relu"
    """Of the hidden layers."""
    latent_dim: int | None = None
    """Width of the latent, of a joint one the number of categories; None: on the simplex the number
    of labels, or 10; for a Normal 2."""
    style_dim: int | None = None
    """Joint: width of the style; None: an eighth of the values of an example, from 2 to 32."""
    prior: Literal["labels", "symmetric"] | None = None
    """Dirichlet: made from each example's label, or the same for all; None: labels, if any."""
    smoothness: float | None = None
    """Dirichlet, labels: what each category gets beside the label's 1; None: 0.5, joint: 0.02."""
    total_concentration: float | None = None
    """Dirichlet, labels: the prior's total concentration; None: 8, joint: 30."""
    prior_concentration: float = 1.0
    """Dirichlet, symmetric: the prior's concentration of each category."""
    head: Literal["softplus", "relu"] = "softplus"
    """Dirichlet: what makes the concentration. relu is the original's, and can die."""
    concentration_floor: float = 0.1
    """Dirichlet: added to the head."""
    prior_variance: float = 1.0
    """Normal: the prior's variance, the original's C."""


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What it is trained on."""

    dataset: Literal["digits", "mnist"] = "digits"
    """digits comes with scikit-learn; mnist is read from --data-dir, else from JAXVAE_DATA, else
    downloaded once."""
    data_dir: Path | None = None
    """Folder with MNIST's four IDX files, each a .gz or not."""
    data: Path | None = None
    """Your own instead of a dataset: .npz, .npy, .csv, .tsv, .parquet, .h5ad, .mtx, .txt (a text a
    line), an IDX file, or a folder of images, of texts or of a 10x matrix."""
    label: str | None = None
    """Column of the labels, in a table or in obs; none: there are none. None: one that is called
    label, target, class or y."""
    ids: str | None = None
    """Column that names the rows."""
    leave_out: tuple[str, ...] = ()
    """Columns not to be used."""
    text: str | None = None
    """Column of texts; their words are counted."""
    words: int = 5000
    """Texts: at most so many words, the most frequent."""
    layer: str | None = None
    """Of an .h5ad, instead of X."""
    image_size: tuple[int, ...] | None = None
    """Folder of images: the size that all get, one number or height and width."""
    kind: Literal["images", "series", "table", "counts"] | None = None
    """What the examples are; None: found out."""
    missing: Literal["refuse", "mask"] = "refuse"
    """Missing values (NaN): refuse them, or mask them and train on what is there."""
    scale: Literal["auto", "none"] = "auto"
    """auto: bytes are divided by 255, columns standardised, and so on as the data look; the model
    keeps the scale and answers in your units. none: the numbers stay as they are."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How it is trained."""

    epochs: int | None = None
    """Passes over the data; None: 60, with --patience at most 200, with --resume as many as
    before."""
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
    hold_out: float | None = None
    """Share of the training examples whose loss is measured after each epoch instead; None: 0.1, or
    0 where that is fewer than 10 examples, and with the original objective."""
    patience: int | None = None
    """End after so many epochs without a lower loss on them, and keep the parameters of the lowest;
    None: 20 where examples are held out."""
    on_non_finite: Literal["raise", "skip"] = "raise"
    """A step whose loss or gradient is not finite: end the run, or leave its update out."""
    seed: int = 0
    """Of everything random."""
    seeds: int = 1
    """Train this many at once, from --seed on, as one program; a folder for each."""
    devices: int | None = None
    """Split each batch (with --seeds, the seeds) over so many devices; None: one, or over several
    hosts all."""
    checkpoint_every: int | None = None
    """Epochs between checkpoints; None: as often as costs at most 3% of the time."""


@dataclass(frozen=True, kw_only=True)
class Options(TrainingOptions, DataOptions, ModelOptions):
    """All of them."""


# How a file of the user's is read.
READING = ("label", "ids", "leave_out", "text", "words", "layer", "image_size")
# Which field of which part of the description an option is.
FACE = {
    "likelihood_scale": ("likelihood", "scale"),
    "kl_weight": ("objective", "kl_weight"),
    "category_kl_weight": ("objective", "category_kl_weight"),
    "layers": ("network", "layers"),
    "hidden_units": ("network", "hidden_units"),
    "channels": ("network", "channels"),
    "activation": ("network", "activation"),
    "smoothness": ("prior", "smoothness"),
    "total_concentration": ("prior", "total_concentration"),
    "prior_concentration": ("prior", "concentration"),
    "style_dim": ("latent", "style_dim"),
    "head": ("latent", "head"),
    "concentration_floor": ("latent", "concentration_floor"),
    "prior_variance": ("prior", "variance"),
}
# The priors of each model by what --prior calls them; None: it has one alone.
PRIORS: dict[str, dict[str | None, str]] = {
    "joint": {"labels": "from_labels", "symmetric": "symmetric"},
    "dirichlet": {"labels": "from_labels", "symmetric": "symmetric"},
    "normal": {None: "standard_normal"},
    "logistic_normal": {None: "standard_normal"},
}


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
    checks.positive_int("batch_size", options.batch_size)
    for name in ("epochs", "devices", "checkpoint_every", "patience"):
        if (value := getattr(options, name)) is not None:
            checks.positive_int(name, value)
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


def check_effect(options: Options) -> None:
    """Refuse an option without effect: whoever sets it expects one.

    Args:
      options: of a new run; once a prior was chosen, its options as well.

    Raises:
      ValueError: the option is named, and what it needs.
    """
    for name, where in _idle(options):
        value = getattr(options, name)
        if value != getattr(Options, name):
            raise ValueError(f"{name} must be left out {where}, got {value}")


def _idle(options: Options) -> Iterator[tuple[str, str]]:
    """The options without effect, and where that is so."""
    if options.data is not None:
        yield "dataset", "with --data"
    else:
        for name in (*READING, "kind", "missing"):
            yield name, "except with --data"
    if options.dataset != "mnist":
        yield "data_dir", "except with --dataset mnist"
    if options.model is not None:
        named = {model: [name for name in own if name] for model, own in PRIORS.items()}
        if not named[options.model]:
            yield "prior", f"except with --model {_either(m for m in named if named[m])}"
        if "style_dim" not in fields_of("latent", options.model):
            yield "category_kl_weight", f"except with {_where('latent', 'style_dim')}"
    chosen = _chosen(options)
    for option, (part, field) in FACE.items():
        if not any(field in fields_of(part, kind) for kind in chosen[part]):
            yield option, f"except with {_where(part, field)}"


def _chosen(options: Options) -> dict[str, list[str]]:
    """The kinds of each part that there can be."""
    models: list[str] = list(PRIORS) if options.model is None else [options.model]
    decided = [
        kind
        for model in models
        for name, kind in PRIORS[model].items()
        if options.prior not in PRIORS[model] or name == options.prior
    ]
    return {
        "latent": models,
        "prior": decided,
        "likelihood": [options.likelihood or "normal"],
        "objective": [options.objective],
        "network": [options.network],
    }


def _where(part: str, field: str) -> str:
    """The options that choose a part with the field."""
    if part == "latent":
        return f"--model {_either(kind for kind in PRIORS if field in fields_of(part, kind))}"
    if part == "prior":
        found = [
            (model, name)
            for model, own in PRIORS.items()
            for name, kind in own.items()
            if field in fields_of(part, kind)
        ]
        models = f"--model {_either(model for model, _ in found)}"
        names = [name for _, name in found if name]
        return f"{models} and --prior {_either(names)}" if names else models
    return f"--{part} {_either(kind for kind in KINDS[part] if field in fields_of(part, kind))}"


def _either(names: Any) -> str:
    return " or ".join(dict.fromkeys(names))


def fields_of(part: str, kind: str) -> list[str]:
    """The options of a kind of part.

    Args:
      part: as "prior".
      kind: as `KINDS` names it.

    Returns:
      The names of its fields.
    """
    return [field.name for field in dataclasses.fields(KINDS[part][kind])]


def absolute(path: Path) -> Path:
    """A path without links.

    Args:
      path: of anything.

    Returns:
      The path.
    """
    return Path(os.path.realpath(path))  # `Path.resolve` gives a RuntimeError for links in a ring
