"""What is known of several runs, read from their folders, and whether their losses may be compared.

A run is read from its config.json, metrics.jsonl and summary.json alone: no model is compiled, and
neither parameters nor data are needed.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxvae.apps import description
from jaxvae.apps.model_parts import kind
from jaxvae.apps.option_effects import FACE, PRIORS
from jaxvae.apps.options import DataOptions
from jaxvae.apps.run_config import Config, read_config
from jaxvae.model.bind_checks import are_densities
from jaxvae.training import run_folder, whole_files
from jaxvae.training.history import lowest

SWEEP = "sweep"  # in the summary of a sweep: its options and their values
MEMBERS = "members"  # in the same: what is known of each of its runs
ABOVE = ("stability",)  # in the summary of several seeds: figures of all together
FAILED = "failed"  # in the same: what happened to a member that blew up, by its name


class Entry(NamedTuple):
    """One run, or the runs of one configuration with several seeds.

    Attributes:
      name: what it is called.
      folder: where it lies.
      config: what it is, of several seeds the first's; None where that is not known.
      figures: by name each seed's figure: those of summary.json, `held_out_loss`, `epochs` and
        `seconds`. A seed without the figure is left out.
      curves: the records of each seed's epochs.
      notes: what is missing, in whole sentences.
    """

    name: str
    folder: Path
    config: Config | None
    figures: Mapping[str, tuple[float, ...]]
    curves: tuple[tuple[Mapping[str, Any], ...], ...] = ()
    notes: tuple[str, ...] = ()

    def mean(self, figure: str) -> float | None:
        """The mean of a figure over the seeds; None where there is none."""
        values = self.figures.get(figure)
        return float(np.mean(values)) if values else None

    @property
    def parts(self) -> list[str]:
        """The names of the parts of its latent."""
        return [name.removesuffix("_active") for name in self.figures if name.endswith("_active")]


def read(path: Path) -> list[Entry]:
    """What is known of a run, of a folder of seeds, or of each run of a sweep.

    Args:
      path: a folder that `jaxvae train` wrote.

    Returns:
      One entry, of a sweep one for each of its members.

    Raises:
      FileNotFoundError: if it is no such folder.
      ValueError: if a file in it is damaged.
    """
    if (path / run_folder.CONFIG).exists():
        return [_run(path)]
    summary = _json(path / run_folder.SUMMARY)
    if SWEEP in summary:
        failed = summary.get(FAILED, {})
        return [member(path / name, failed) for name in summary[MEMBERS]]
    if seeds := run_folder.seeds_in(path):
        return [_of_seeds(path, seeds)]
    raise FileNotFoundError(f"runs must be folders that `jaxvae train` wrote, got {path}")


def held_out_loss(records: Sequence[Mapping[str, Any]], patience: int | None) -> float | None:
    """The loss on the held-out examples of the parameters that a run kept.

    Args:
      records: of its epochs.
      patience: of the run; with it the parameters of the lowest loss are kept.

    Returns:
      The loss; None where no examples were held out. A loss that is not finite is never the lowest.

    Example:
      >>> held_out_loss([{"validation_loss": 2.0}, {"validation_loss": 3.0}], patience=5)
      2.0
    """
    losses = [record.get("validation_loss") for record in records]
    known = [loss for loss in losses if loss is not None]
    if not known:
        return None
    best = lowest(known)
    return best if patience is not None and math.isfinite(best) else known[-1]


def _json(path: Path) -> dict[str, Any]:
    return whole_files.read_json(path) if path.exists() else {}


def member(path: Path, failed: Mapping[str, str]) -> Entry:
    """What is known of a member of a sweep, which may not have begun.

    Args:
      path: its folder.
      failed: what happened to members that blew up, by their names.

    Returns:
      The entry.
    """
    known = (path / run_folder.CONFIG).exists() or run_folder.seeds_in(path)
    entry = Entry(path.name, path, None, {}, (), ("has not begun",))
    entry = read(path)[0] if known else entry
    if path.name in failed:
        return entry._replace(notes=(f"failed: {failed[path.name]}",))
    return entry


def _run(path: Path) -> Entry:
    config = read_config(path / run_folder.CONFIG)
    summary, records = _json(path / run_folder.SUMMARY), run_folder.records(path)
    figures = {
        name: float(value)
        for name, value in summary.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    figures |= {"epochs": float(len(records))} if records else {}
    if records and all("seconds" in record for record in records):
        figures["seconds"] = float(sum(record["seconds"] for record in records))
    held_out = held_out_loss(records, config.training.patience)
    if held_out is not None and math.isfinite(held_out):
        figures["held_out_loss"] = held_out
    notes = []
    again = (path / run_folder.CHECKPOINTS).is_dir()
    if not summary:
        notes.append(
            f"has no {run_folder.SUMMARY}: it was stopped, or it is still running"
            + (f" (to go on: jaxvae train --resume {path})" if again else "")
        )
    elif summary.get("interrupted"):
        notes.append(f"was stopped after {len(records)} epochs")
    return Entry(
        path.absolute().name,
        path,
        config,
        {name: (value,) for name, value in figures.items()},
        (records,) if records else (),
        tuple(notes),
    )


def _of_seeds(path: Path, seeds: Iterable[Path]) -> Entry:
    """Several seeds as one entry."""
    each = [_run(own) for own in seeds]
    names = dict.fromkeys(name for entry in each for name in entry.figures)
    figures = {
        name: tuple(value for entry in each for value in entry.figures.get(name, ()))
        for name in names
    }
    # Seeds are trained at once: each one's seconds are those of all.
    figures |= {"seconds": (max(figures["seconds"]),)} if "seconds" in figures else {}
    above = _json(path / run_folder.SUMMARY)
    figures |= {name: (float(above[name]),) for name in ABOVE if name in above}
    curves = tuple(records for entry in each for records in entry.curves)
    notes = tuple(f"{entry.name} {note}" for entry in each for note in entry.notes)
    return Entry(path.absolute().name, path, each[0].config, figures, curves, notes)


def options_of(config: Config) -> dict[str, Any]:
    """The options of `jaxvae train` that make such a run.

    Args:
      config: of the run.

    Returns:
      Each value by the option's name; only those that this model has. The data are called by
      their name.
    """
    model = config.model
    of_part = {
        part: kind(getattr(model, part))
        for part in ("latent", "prior", "likelihood", "objective", "network")
    }
    found: dict[str, Any] = {"model": of_part.pop("latent")}
    called = {own: name for name, own in PRIORS.get(found["model"], {}).items()}
    found |= of_part | {"prior": called.get(of_part["prior"], of_part["prior"])}
    for option, (part, field) in FACE.items():
        own = getattr(getattr(model, part), "__dict__", {})
        if own.get(field) is not None:
            found[option] = own[field]
    if getattr(model.likelihood, "learned", False):
        found["likelihood_scale"] = "learned"
    found["latent_dim"] = model.latent_dim - found.get("style_dim", 0)
    data = {name: value for name, value in vars(config.data).items() if value is not None}
    dataset = data.pop("dataset")
    data["data"] = dataset if config.origin is None else config.origin.name
    return found | data | vars(config.training)


def differing(entries: Sequence[Entry]) -> dict[str, list[Any]]:
    """The options in which runs differ.

    Args:
      entries: the runs.

    Returns:
      By the name of the option each run's value; None where the run has no such option. What
      follows from the kind of a model alone, as that only one has a style_dim, is left out.
    """
    each = [{} if entry.config is None else options_of(entry.config) for entry in entries]
    found = {}
    for name in dict.fromkeys(name for own in each for name in own):
        known = {repr(own[name]) for own in each if own.get(name) is not None}
        if len(known) > 1:
            found[name] = [own.get(name) for own in each]
    if "data" in found:  # by their names; how each was read follows from which it is
        found = {k: v for k, v in found.items() if k == "data" or k not in vars(DataOptions())}
    return found


class Yardstick(NamedTuple):
    """What a loss measures. Losses of one yardstick can be compared, at equal weights of the KL.

    Attributes:
      data: by what the content of the data is known again.
      unit: nats, or the units of an original objective.
      likelihood: what the likelihood is a density of.
      transform: what the model sees of an example.
      weights: of the KL terms.
      labels: whether the loss bounds the density of x given the label.
    """

    data: str
    unit: str
    likelihood: str
    transform: Any
    weights: Any
    labels: bool

    @property
    def of_losses(self) -> tuple[Any, ...]:
        """What has to be the same for losses to be compared."""
        return self.data, self.unit, self.likelihood, self.transform

    @property
    def of_errors(self) -> tuple[Any, ...]:
        """What has to be the same for the errors of reconstructions to be compared."""
        return self.data, self.transform


def yardstick(config: Config) -> Yardstick:
    """What the loss of a run measures.

    Args:
      config: of the run.

    Returns:
      The yardstick.
    """
    model, data = config.model, str(config.data.dataset)
    if config.data.data is not None:  # a file, which may have changed
        data = str(config.data.data) if config.origin is None else config.origin.fingerprint
    parts = description.build(model).parts
    assert parts is not None
    weight = getattr(model.objective, "kl_weight", None)
    category = getattr(model.objective, "category_kl_weight", None)
    likelihood = kind(model.likelihood)
    if getattr(model.likelihood, "of_counts", False) and model.likelihood.takes_masks:
        likelihood = "counts"  # probabilities of the same counts; a multinomial's are given a total
    return Yardstick(
        data=data,
        unit="nats" if are_densities(parts) else f"those of the original {kind(model.latent)} VAE",
        likelihood=likelihood,
        transform=model.transform,
        weights=(weight, weight if category is None else category),
        labels=parts.prior.uses_labels,
    )


def comparable(a: Yardstick, b: Yardstick) -> bool:
    """Whether two losses measure the same, but for what the KL weighs and who knows the labels.

    Args:
      a: of one run.
      b: of another.

    Returns:
      Whether they do.
    """
    return a.of_losses == b.of_losses


def warnings(entries: Sequence[Entry]) -> list[str]:
    """Why the figures of runs may not be compared as they stand.

    Args:
      entries: the runs.

    Returns:
      Whole sentences; none where nothing stands against it.
    """
    known = [(e.name, e.config, yardstick(e.config)) for e in entries if e.config is not None]
    if len(known) < 2:
        return []
    _, configs, sticks = zip(*known, strict=True)
    one = {field: _all_equal([getattr(s, field) for s in sticks]) for field in Yardstick._fields}
    said = []
    if not one["data"]:
        data = _listed(c.origin.name if c.origin else s.data for _, c, s in known)
        said.append(
            f"The runs are on different data ({data}): neither their losses nor their errors can "
            "be compared."
        )
    if not one["unit"]:
        units = _listed(stick.unit for stick in sticks)
        said.append(f"The units of the losses differ ({units}): they cannot be compared.")
    elif not one["likelihood"]:
        kinds = _listed(kind(config.model.likelihood) for config in configs)
        said.append(f"The likelihoods differ ({kinds}): their losses cannot be compared.")
    if one["data"] and not one["transform"]:
        said.append(
            "The models see the data on different scales: neither their losses nor their errors "
            "can be compared."
        )
    if not one["weights"]:
        in_nats = all(stick.unit == "nats" for stick in sticks)
        said.append(
            "The losses weigh the KL differently: "
            + ("compare nelbo, which counts it once." if in_nats else "they cannot be compared.")
        )
    if not one["labels"]:
        told = _listed(name for name, _, stick in known if stick.labels)
        said.append(
            f"The prior of {told} is told each example's label, and its loss bounds the density of "
            "x given the label. The other losses bound the density of x alone."
        )
    return said


def _listed(names: Iterable[str]) -> str:
    """Names one after another, each once."""
    return ", ".join(dict.fromkeys(names))


def _all_equal(values: Sequence[Any]) -> bool:
    return all(value == values[0] for value in values)
