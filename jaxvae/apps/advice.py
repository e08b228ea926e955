"""What is wrong with a trained latent, each in one sentence with the two things to try."""

from collections.abc import Mapping
from typing import Any

from jaxvae._output import counted
from jaxvae.apps.description import Description
from jaxvae.model import latents
from jaxvae.model.latents import Latent
from jaxvae.model.reports import CollapseReport, PartReport

REDUNDANT = 0.5  # of the words of a topic that another one has too, in the mean
SMALLER_KL = "a smaller --kl-weight, as 0.3"
FAR = 5.0  # nats between posterior and prior, with which no latent has collapsed


def advice(
    report: CollapseReport, latent: Latent, model: Description, *, short: int | None = None
) -> list[str]:
    """What is wrong with the latent of a run of `jaxvae train`, and what to try.

    Args:
      report: on its test data.
      latent: of the model.
      model: what it is.
      short: its epochs, where they were too few to judge it by; else None.

    Returns:
      Whole sentences, one for each part that is collapsed or half used; none where all is well.

    Example:
      >>> from jaxvae import latents
      >>> from jaxvae.apps.model_parts import NormalLatent, StandardNormal
      >>> model = Description(
      ...     latent=NormalLatent(), prior=StandardNormal(), data_shape=(4,), latent_dim=2
      ... )
      >>> report = CollapseReport({"z": PartReport(2, 0, 0.0, None, None)}, 0.0, ())
      >>> advice(report, latents.normal, model)[0][:61]
      'The latent has collapsed: it says nothing of the examples. Tr'
    """
    parts = latents.parts_of(latent)
    each = parts.items()
    found = (_of_part(name, part, parts, report.parts, model, short) for name, part in each)
    return [sentence for sentence in found if sentence]


def of_topics(figures: Mapping[str, Any]) -> list[str]:
    """What is wrong with the topics of a run of `jaxvae train`, and what to try.

    Args:
      figures: of `TopicRun.figures`.

    Returns:
      Whole sentences; none where all is well.

    Example:
      >>> of_topics({"topics": 20, "topics_in_use": 6})
      ['Only 6 of 20 topics are in use. Try a smaller --latent-dim, or more --epochs.']
    """
    topics, used = figures["topics"], figures["topics_in_use"]
    model, unigram = figures.get("test_perplexity"), figures.get("unigram_perplexity")
    found = []
    if model is not None and unigram is not None and model >= unigram:
        found.append(
            "The topics predict unseen words no better than the words' frequencies do. Try a "
            "smaller --latent-dim, or more data."
        )
    if 2 * used < topics:
        found.append(
            f"Only {used} of {topics} topics are in use. Try a smaller --latent-dim, or more "
            "--epochs."
        )
    if figures.get("redundancy", 0.0) > REDUNDANT:
        found.append("Most topics repeat another one. Try a smaller --latent-dim, or more data.")
    return found


def _of_part(
    name: str,
    latent: Latent,
    parts: Mapping[str, Latent],
    reports: Mapping[str, PartReport],
    model: Description,
    short: int | None,
) -> str:
    report = reports[name]
    called = f"The {name}" if len(parts) > 1 else "The latent"
    on_simplex = latent.support == "simplex"
    # What cures a latent that is used too little, beside the last phrase of each sentence below.
    first = SMALLER_KL if short is None else "more --epochs first"
    if not report.active:
        if report.kl > FAR or short is not None:
            # Far from the prior it is no collapse: that is the prior for every example.
            far = f" Its KL divergence is {report.kl:.1f} nats, so it is no collapse."
            far = far if report.kl > FAR else ""
            after = "" if short is None else f", after {counted(short, 'epoch')}"
            then = "a larger --hidden-units" if report.kl > FAR else SMALLER_KL
            tried = f"more --epochs{'' if short is None else ' first'}"
            return f"{called} tells no examples apart yet{after}.{far} Try {tried}, or {then}."
        others = [other for other in parts if other != name and reports[other].active]
        what = f"{called} has collapsed: it says nothing of the examples."
        if on_simplex and others:  # whose style tells all
            return f"{what} Try a smaller --style-dim, or --model dirichlet."
        if not getattr(model.likelihood, "learned", True):
            return f"{what} Try to leave --likelihood-scale out, or {SMALLER_KL}."
        return f"{what} Try {SMALLER_KL}, or a larger --hidden-units."
    if on_simplex and report.in_use is not None and 2 * report.in_use < report.dimensions:
        larger = "a larger --prior-concentration, as 3" if short is None else first
        return (
            f"Only {report.in_use} of {report.dimensions} categories are in use. "
            f"Try {_either('a smaller --latent-dim', larger, short)}."
        )
    if not on_simplex and 2 * report.active < report.dimensions:
        width = "--style-dim" if len(parts) > 1 else "--latent-dim"
        return (
            f"Only {report.active} of {report.dimensions} dimensions of "
            f"{called.lower()} are active. Try {_either(f'a smaller {width}', first, short)}."
        )
    return ""


def _either(usual: str, other: str, short: int | None) -> str:
    """Two things to try; after a short training the other one comes first."""
    return f"{usual}, or {other}" if short is None else f"{other}, or {usual}"
