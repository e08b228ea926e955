"""What options choose: the data, the model; and what they leave open, by the data."""

import dataclasses
from typing import Any

import numpy as np

from jaxvae.apps import topic_choices, unfit_data
from jaxvae.apps.description import Description, about
from jaxvae.apps.model_parts import KINDS, UNIT, Identity
from jaxvae.apps.option_effects import FACE, PRIORS, fields_of
from jaxvae.apps.options import (
    BATCH_SIZE,
    EPOCHS,
    HOLD_OUT,
    LEARNING_RATE,
    MOST_EPOCHS,
    MOST_HELD_OUT,
    MOST_STEPS,
    PATIENCE,
    PATIENCE_STEPS,
    READING,
    DataOptions,
    ModelOptions,
    Options,
    absolute,
)
from jaxvae.apps.topics import schedule
from jaxvae.data import datasets, looks
from jaxvae.data.dataset import Dataset
from jaxvae.data.flat import dense, len_of
from jaxvae.data.formats.source import Reading
from jaxvae.model import transforms
from jaxvae.model.latents import parts_of
from jaxvae.numerics import checks
from jaxvae.training.epochs import steps_per_epoch

# Of the prior that is made from labels, where a style lies beside the category. How these were
# chosen, on validation data: `benchmarks/defaults.py`.
SMOOTHNESS, TOTAL_CONCENTRATION = 0.005, 50.0
LARGE = 256  # values of an example, from which on layers are twice as wide, and labels count twice
FEWEST = 10  # examples that are held out: with less the loss on them says nothing
# Of a learned scale, below so many training examples: it stays above the share LEARNT_BY_HEART /
# (LEARNT_BY_HEART + examples) of the spread of the data. Few rows are learnt by heart, and a scale
# fitted to them is then too small for others. By cross-validation on training rows of the tables.
FEW, LEARNT_BY_HEART = 1000, 160


def resolve(options: Options, data: Dataset) -> Options:
    """Fill in what depends on the data.

    Args:
      options: some of them None.
      data: the data.

    Returns:
      The options, those that were None chosen, and the paths absolute.
    """
    labelled = data.y_train is not None
    model, original = options.model, options.objective == "original"
    topical = topic_choices.is_topical(options, data)
    if model is None:
        has_prior = options.prior is not None or topical
        model = _default_model(labelled and not topical, original, has_prior)
    network = options.network or ("topics" if topical else "dense")
    options = dataclasses.replace(options, model=model, network=network)
    own = PRIORS[model]
    prior: Any = options.prior
    if prior is None and None not in own:
        usual = "learned" if topical and "learned" in own else "symmetric"
        prior = "labels" if labelled and not topical else usual
    likelihood: Any = options.likelihood
    if likelihood is None:
        is_counts = data.look.counts and not original and options.scale == "auto"
        is_counts = is_counts or topical
        # A multinomial's total is of all values: it takes no mask.
        of_counts = "multinomial" if options.missing == "refuse" else "negative_binomial"
        likelihood = of_counts if is_counts else "normal"
    values = data.x_train.shape[1]
    hidden_units = 512 if values >= LARGE else 256
    by_data: dict[str, Any] = {"hidden_units": 128 if original else hidden_units}
    if "layers" in fields_of("network", network):
        by_data["layers"] = 4 if original else 2
    width = 2
    if _has_categories(model):
        width = data.categories or 10
        if options.latent_dim is None and not topical:
            unfit_data.refuse_one_label(options, data)
    if "style_dim" in fields_of("latent", model):
        by_data["style_dim"] = min(max(values // 8, 2), 32)
        if "category_kl_weight" in fields_of("objective", options.objective):
            by_data["category_kl_weight"] = max(1.0, values / 64)
        known = fields_of("prior", PRIORS[model][prior])
        total = TOTAL_CONCENTRATION * (2 if values >= LARGE else 1)
        of_labels = {"smoothness": SMOOTHNESS, "total_concentration": total}
        by_data |= {name: value for name, value in of_labels.items() if name in known}
    if topical:
        of_topics = topic_choices.of_model(options.latent_dim, data.categories)
        width = of_topics["latent_dim"]
        known = fields_of("prior", PRIORS[model][prior])
        by_data = {o: v for o, v in of_topics.items() if o in FACE and FACE[o][1] in known}
    chosen = {name: value for name, value in by_data.items() if getattr(options, name) is None}
    return dataclasses.replace(
        options,
        **chosen,
        **_training(options, len_of(data.x_train), topical),
        label_weight=_label_weight(
            options.label_weight,
            data.y_train if "frequencies" in fields_of("prior", own[prior]) else None,
        ),
        prior=prior,
        likelihood=likelihood,
        latent_dim=width if options.latent_dim is None else options.latent_dim,
        data=None if options.data is None else absolute(options.data),
        data_dir=None if options.data_dir is None else absolute(options.data_dir),
    )


def _label_weight(given: float | None, y: np.ndarray | None) -> float | None:
    """What a labelled example counts where labels are missing: else few of them are drowned."""
    known = 0 if y is None else int((y >= 0).sum())
    if y is None or known == len(y):
        if given is not None:
            raise ValueError(f"label_weight must be left out where no label that the prior is "
                             f"made from is missing, got {given}")  # fmt: skip
        return None
    if given is not None:
        return checks.positive_float("label_weight", given)
    return max(1.0, (len(y) - known) / max(known, 1))


def _default_model(labelled: bool, original: bool, has_prior: bool) -> Any:
    if original or not labelled:  # the original knows these two
        return "dirichlet" if labelled or has_prior else "normal"
    return "joint"


def _has_categories(model: str) -> bool:
    """Whether a part of the latent is on the simplex."""
    own = parts_of(KINDS["latent"][model]().value())
    return any(part.support == "simplex" for part in own.values())


def _training(options: Options, examples: int, topical: bool) -> dict[str, Any]:
    """How it is trained, how long, and what is kept, where that is left open."""
    share, patience, average = options.hold_out, options.patience, options.average
    original = options.objective == "original"
    if share is None:
        share = min(HOLD_OUT, MOST_HELD_OUT / examples)
        # Of topics the loss on held-out examples, by the encoder alone, is a bad judge.
        few = round(share * examples) < FEWEST or original or topical
        share = 0.0 if few and patience is None else share
    own = max(1, examples - round(share * examples))
    size = options.batch_size
    if size is None:
        size = schedule.batch_of(own) if topical else BATCH_SIZE
    steps = steps_per_epoch(own, min(max(1, size), own))
    if patience is None and share:
        patience = max(PATIENCE, -(-PATIENCE_STEPS // steps))
    if average is None and not original:  # over about the updates of an epoch
        average = 1 - 1 / (schedule.updates_of(steps) if topical else max(steps, 10))
    most = schedule.passes_of(own) if topical else EPOCHS
    if patience is not None:
        most = max(MOST_EPOCHS, -(-MOST_STEPS // steps))
    rate, momentum = LEARNING_RATE, None
    if topical:
        rate, momentum = schedule.LEARNING_RATE, schedule.MOMENTUM
    return {
        "batch_size": size,
        "learning_rate": rate if options.learning_rate is None else options.learning_rate,
        "momentum": momentum if options.momentum is None else options.momentum,
        "hold_out": share,
        "patience": patience,
        "average": average,
        "epochs": options.epochs or most,
        "final_rounds": _final_rounds(options) if topical else options.final_rounds,
    }


def _final_rounds(options: Options) -> int | None:
    """Rounds of the last phase: whoever says how long a run is gets no more, as of `TopicModel`."""
    return 0 if options.final_rounds is None and options.epochs else options.final_rounds


def describe(options: Options, data: Dataset) -> Description:
    """The model that the options choose.

    Args:
      options: resolved.
      data: the data, for the shape of an example.

    Returns:
      The description.

    Raises:
      ValueError, TypeError: if an option is out of range; it is named.
    """
    for name in ("smoothness", "total_concentration", "prior_concentration", "prior_variance"):
        if (value := getattr(options, name)) is not None:
            checks.positive_float(name, value)
    unfit_data.check_size(options, data)
    assert options.model is not None
    assert options.network is not None

    def part(name: str, kind: str) -> Any:
        own = {field: getattr(options, o) for o, (p, field) in FACE.items() if p == name}
        known = fields_of(name, kind)
        given = {f: value for f, value in own.items() if f in known and value is not None}
        return KINDS[name][kind](**given)

    network, likelihood = part("network", options.network), _likelihood(options)
    prior = part("prior", PRIORS[options.model][options.prior])
    _check_width(prior, options, data)
    if data.mask_train is not None and not likelihood.takes_masks:
        raise ValueError(f"likelihood must be another with missing values, got "
                         f"{options.likelihood}: the total is of all")  # fmt: skip
    shape: tuple[int, ...] | None = data.x_train.shape[1:]
    of_counts = likelihood.of_counts
    if of_counts:
        unfit_data.check_counts(options, data)
    if network.of_topics and likelihood.takes_masks:
        raise ValueError(
            "likelihood must be multinomial or dirichlet_multinomial with network topics, "
            f"got {options.likelihood}"
        )
    if "channels" in fields_of("network", options.network):
        shape = data.image_shape
        if shape is None:
            raise ValueError(
                f"network must be dense for examples that are no images, got {options.network}"
            )
    elif of_counts:
        network = dataclasses.replace(network, counts=True)
    assert shape is not None
    objective = part("objective", options.objective)
    scaled = not of_counts and objective.value() is not None and options.scale == "auto"
    # The first version, whose runs leave open what is held out, knew no least scale.
    if options.hold_out is not None and options.objective != "original":
        likelihood = _above_least_scale(likelihood, data, scaled)
    return Description(
        latent=part("latent", options.model),
        prior=prior,
        likelihood=likelihood,
        objective=objective,
        network=network,
        transform=_transform(data, shape) if scaled else Identity(),
        data_shape=tuple(shape),
        latent_dim=(options.latent_dim or 0) + (options.style_dim or 0),
        **(about(data) | {"masked": options.missing == "mask"}),
    )


def look_for_normal(data: Dataset) -> looks.Look:
    """What data look like to a likelihood that is not of counts.

    Args:
      data: the data.

    Returns:
      Their look; of counts as that of any numbers.
    """
    return looks.look(data.x_train, kind="table") if data.look.counts else data.look


def _check_width(prior: Any, options: Options, data: Dataset) -> None:
    """Refuse fewer categories than labels, where a prior is made from labels."""
    assert options.model is not None
    latent = KINDS["latent"][options.model]().value()
    labels, width = data.categories, options.latent_dim or 0
    if labels is not None and width < labels and prior.value(latent).uses_labels:
        raise ValueError(f"latent_dim must be at least {labels}, the number of labels, "
                         f"got {width}")  # fmt: skip


def _transform(data: Dataset, shape: tuple[int, ...]) -> Any:
    """The scale that suits the data, as a transform of examples of a shape."""
    scale = look_for_normal(data).scale
    if np.ndim(scale.width):
        scale = scale._replace(
            centre=np.reshape(scale.centre, shape), width=np.reshape(scale.width, shape)
        )
    return transforms.of_scale(scale) if scale.changes else Identity()


def _likelihood(options: ModelOptions) -> Any:
    chosen, scale = KINDS["likelihood"][options.likelihood or "normal"](), options.likelihood_scale
    if scale is not None:
        scale = checks.positive_float("likelihood_scale", scale)
        chosen = dataclasses.replace(chosen, scale=scale, learned=False)
    if KINDS["objective"][options.objective]().value() is not None:
        return chosen
    if not chosen.has_scale or scale not in (None, 1.0):
        raise ValueError(
            f'likelihood must be "normal" with objective="{options.objective}", '
            f"got {options.likelihood!r}"
        )
    return UNIT


def _above_least_scale(likelihood: Any, data: Dataset, scaled: bool) -> Any:
    """A likelihood whose learned scale stays above what few examples can tell.

    Args:
      likelihood: of any kind; only one with a learned scale is changed.
      data: the data.
      scaled: whether the model changes their units.

    Returns:
      The likelihood.
    """
    examples = len_of(data.x_train)
    if not likelihood.has_scale or not likelihood.learned or examples >= FEW:
        return likelihood
    x = dense(data.x_train).astype(np.float64)
    if scaled:
        x = np.asarray(transforms.of_scale(look_for_normal(data).scale).forward(x))
    seen = np.ones_like(x) if data.mask_train is None else data.mask_train
    mean = np.sum(x * seen, axis=0) / np.maximum(np.sum(seen, axis=0), 1)
    spread = np.sqrt(np.sum(((x - mean) * seen) ** 2) / max(np.sum(seen), 1))
    least = float(spread) * LEARNT_BY_HEART / (LEARNT_BY_HEART + examples)
    if not likelihood.minimum < least < np.inf:
        return likelihood
    start = max(likelihood.scale, 1.25 * least)  # a scale starts above its minimum
    return dataclasses.replace(likelihood, minimum=least, scale=start)


def load_data(
    options: DataOptions,
    known: Description | None = None,
    *,
    split: bool = True,
    examples_only: bool = False,
) -> Dataset:
    """The data that a run is trained on.

    Args:
      options: which.
      known: a model for which they are read: its names of labels and columns hold.
      split: whether a part of a file is held out, where it holds none out itself; where not, it is
        another file than the run's, perhaps of another format.
      examples_only: whether labels may be missing all the same, as they may without a split.

    Returns:
      The data set.

    Raises:
      ValueError, TypeError, OSError: if the data cannot be read.
    """
    if options.data is not None:
        return datasets.load(
            options.data,
            kind=options.kind if known is None else known.data_kind,
            missing="mask" if known is not None and known.masked else options.missing,
            label_names=None if known is None else known.label_names,
            like=None if known is None else known.image_shape or known.series_shape,
            split=split,
            examples_only=examples_only or not split,
            **vars(reading_of(options, known)),
        )
    if options.dataset == "mnist":
        return datasets.load_mnist(options.data_dir)
    return datasets.load_digits()


def reading_of(options: DataOptions, known: Description | None = None) -> Reading:
    """How the user's own file is read.

    Args:
      options: of the run.
      known: the model that it is read for: its columns have to be there.

    Returns:
      The reading.

    Raises:
      ValueError: if the size of images is not one number or two.
    """
    size = options.image_size
    if size is not None and len(size) not in (1, 2):
        raise ValueError(f"image_size must be one number or height and width, got {size}")
    own: dict[str, Any] = {name: getattr(options, name) for name in READING}
    own["image_size"] = None if size is None else (size[0], size[-1])
    return Reading(**own, columns=None if known is None else known.column_names)
