"""What is wrong with a trained latent, each in one sentence with the two things to try."""

from collections.abc import Mapping
from typing import Any

from jaxvae.apps.description import Description
from jaxvae.model import latents
from jaxvae.model.latents import Latent
from jaxvae.model.reports import CollapseReport, PartReport

REDUNDANT = 0.5  # of the words of a topic that another one has too, in the mean
SMALLER_KL = "a smaller --kl-weight, as 0.3"


def advice(report: CollapseReport, latent: Latent, model: Description) -> list[str]:
    """What is wrong with the latent of a run of `jaxvae train`, and what to try.

    Args:
      report: on its test data.
      latent: of the model.
      model: what it is.

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
    found = (_of_part(name, part, parts, report.parts, model) for name, part in parts.items())
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
) -> str:
    report = reports[name]
    called = f"The {name}" if len(parts) > 1 else "The latent"
    on_simplex = latent.support == "simplex"
    if not report.active:
        others = [other for other in parts if other != name and reports[other].active]
        what = f"{called} has collapsed: it says nothing of the examples."
        if on_simplex and others:  # whose style tells all
            return f"{what} Try a smaller --style-dim, or --model dirichlet."
        if not getattr(model.likelihood, "learned", True):
            return f"{what} Try to leave --likelihood-scale out, or {SMALLER_KL}."
        return f"{what} Try {SMALLER_KL}, or a larger --hidden-units."
    if on_simplex and report.in_use is not None and 2 * report.in_use < report.dimensions:
        return (
            f"Only {report.in_use} of {report.dimensions} categories are in use. Try a smaller "
            "--latent-dim, or a larger --prior-concentration, as 3."
        )
    if not on_simplex and 2 * report.active < report.dimensions:
        width = "--style-dim" if len(parts) > 1 else "--latent-dim"
        return (
            f"Only {report.active} of {report.dimensions} dimensions of "
            f"{called.lower()} are active. Try a smaller {width}, or {SMALLER_KL}."
        )
    return ""
