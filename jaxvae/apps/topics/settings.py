"""The parameters of a topic model: checked before anything is read, and as they were fitted."""

from typing import Any

from jaxvae.apps.topics import inputs
from jaxvae.model.count_networks import DECODERS
from jaxvae.numerics import checks
from jaxvae.training.placement import auto_mesh, placement_of

STARTS = ("factors", "random")
# What the fitted model is made of: it stays as it was, whatever its parameters become.
FIXED = (
    "n_components",
    "decoder",
    "doc_topic_prior",
    "learn_prior",
    "label_weight",
    "seed_words",
    "seed_weight",
    "layers",
    "hidden_units",
    "dropout",
)


def check(model: Any) -> None:
    """Check each parameter of a constructor, as far as that goes without documents.

    Args:
      model: the estimator.

    Raises:
      ValueError, TypeError: if one is outside what is allowed; it is named.
    """
    checks.axis_length("n_components", model.n_components, minimum=2)
    checks.one_of("decoder", model.decoder, DECODERS)
    if isinstance(model.init, str):
        checks.one_of("init", model.init, STARTS)
    else:
        checks.data_array("init", model.init)
    for name in ("doc_topic_prior", "seed_weight", "learning_rate"):
        checks.positive_float(name, getattr(model, name))
    checks.positive_float("topic_word_prior", model.topic_word_prior, zero=True)
    if model.label_weight is not None:
        checks.positive_float("label_weight", model.label_weight)
    inputs.seed_lists(model.seed_words)
    for name in ("layers", "hidden_units"):
        checks.axis_length(name, getattr(model, name))
    if checks.positive_float("dropout", model.dropout, zero=True) >= 1:
        raise ValueError(f"dropout must be below 1, got {model.dropout}")
    if checks.positive_float("relevance", model.relevance, zero=True) > 1:
        raise ValueError(f"relevance must be at most 1, got {model.relevance}")
    checks.positive_int("batch_size", model.batch_size)
    if model.max_iter is not None:
        checks.positive_int("max_iter", model.max_iter)
    if model.final_rounds is not None:
        checks.positive_int("final_rounds", model.final_rounds, minimum=0)
    checks.positive_int("max_doc_update_iter", model.max_doc_update_iter, minimum=0)
    for name in ("learn_prior", "refine"):
        checks.boolean(name, getattr(model, name))
    if (where := placement_of(model.devices, None)) is not None:
        auto_mesh(where.devices)


def fixed(model: Any) -> dict[str, Any]:
    """What a fitted model keeps of its parameters.

    Args:
      model: the estimator, whose parameters were checked.

    Returns:
      The values of `FIXED`, none of which the caller can change afterwards.
    """
    own = {name: getattr(model, name) for name in FIXED}
    return own | {"seed_words": inputs.seed_lists(model.seed_words)}


def refuse_changes(model: Any, fitted: dict[str, Any]) -> None:
    """Refuse to go on with a fitted model whose parameters say that it should be another.

    Args:
      model: the estimator.
      fitted: as `fixed` gave it then.

    Raises:
      ValueError: if a parameter was changed; it is named.
    """
    for name, now in fixed(model).items():
        if now != fitted[name]:
            raise ValueError(
                f"{name} must be as it was fitted, {fitted[name]!r:.80}, for partial_fit to go on, "
                f"got {now!r:.80}; fit begins anew"
            )
