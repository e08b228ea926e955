"""What a run is, as its config.json holds it."""

from dataclasses import dataclass
from pathlib import Path

from jaxvae.apps import description, first_version, options, topic_runs
from jaxvae.apps.description import Description
from jaxvae.apps.options import DataOptions, TrainingOptions
from jaxvae.data.dataset import Dataset
from jaxvae.data.flat import len_of
from jaxvae.training import whole_files


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a run was trained on: how it is called, by what its content is known again, and of
    documents how their words come in bursts (`topics/starts.py`), which training needs."""

    name: str
    train_examples: int
    fingerprint: str
    dispersion: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a run is: all but where it lies and which hosts made it. Its config.json holds it.

    `origin` is None for a run of the first version, which did not write it down.
    """

    model: Description
    data: DataOptions
    training: TrainingOptions
    origin: Origin | None = None


def write_config(path: Path, config: Config) -> None:
    """Write what a run is.

    Args:
      path: the JSON file.
      config: the run's.

    Raises:
      OSError: if the file cannot be written.
    """
    plain = {
        name: {key: str(v) if isinstance(v, Path) else v for key, v in vars(part).items()}
        for name in ("data", "training", "origin")
        if (part := getattr(config, name)) is not None
    }
    whole_files.write_json(path, {"model": description.to_json(config.model), **plain})


def read_config(path: Path) -> Config:
    """Read what a run is.

    Args:
      path: the JSON file; one of the first version too.

    Returns:
      The configuration, its options of the types and among the choices that `jaxvae train` takes.

    Raises:
      FileNotFoundError: if there is no such file.
      ValueError: if it holds anything else.
    """
    fields = whole_files.read_json(path)
    if not isinstance(fields.get("model"), dict):
        model, own = first_version.of_config(path, fields)
        return of_options(model, own, None)
    names = ["model", "data", "training", "origin"]
    if wrong := sorted({*fields, "origin"} ^ set(names)):
        raise ValueError(f"{path} must hold {', '.join(names)}; got or lacks {', '.join(wrong)}")
    for name in names[1:]:
        if not isinstance(fields.get(name, {}), dict):
            raise ValueError(f"{path} must hold an object in {name}, got {fields[name]!r}")
    try:
        model = description.from_json(fields["model"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    origin = None
    if "origin" in fields:
        # Runs of before also wrote how many examples there were to test on.
        known = {key: value for key, value in fields["origin"].items() if key != "test_examples"}
        origin = options.parsed(path, Origin, known)
    return Config(
        model=model,
        data=options.parsed(path, DataOptions, fields["data"]),
        training=options.parsed(path, TrainingOptions, fields["training"]),
        origin=origin,
    )


def of_options(model: Description, own: options.Options, data: Dataset | None) -> Config:
    """What a run is by the options of the command line.

    Args:
      model: what they made of the model.
      own: all of them.
      data: what it is trained on; None where that is not at hand.

    Returns:
      The configuration.
    """
    return Config(
        model=model,
        data=options.part_of(own, DataOptions),
        training=options.part_of(own, TrainingOptions),
        origin=None
        if data is None
        else Origin(
            name=data.name,
            train_examples=len_of(data.x_train),
            fingerprint=data.fingerprint,
            dispersion=topic_runs.dispersion_for(model, data.x_train),
        ),
    )
