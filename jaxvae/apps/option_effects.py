"""Which option of `jaxvae train` has an effect beside which others.

Those of the model are a face of its `Description`: `FACE` says which field of which part each of
them is. So an option has an effect where the chosen part has the field, and else is refused.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

from jaxvae.apps.model_parts import KINDS
from jaxvae.apps.options import READING, Options

BY_DATA = ("dense", "topics")  # networks that are chosen where none is named
# Which field of which part of the description an option is.
FACE = {
    "likelihood_scale": ("likelihood", "scale"),
    "kl_weight": ("objective", "kl_weight"),
    "category_kl_weight": ("objective", "category_kl_weight"),
    "layers": ("network", "layers"),
    "hidden_units": ("network", "hidden_units"),
    "channels": ("network", "channels"),
    "activation": ("network", "activation"),
    "decoder": ("network", "decoder"),
    "dropout": ("network", "dropout"),
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
    "joint": {"labels": "from_labels", "symmetric": "symmetric", "learned": "learned"},
    "dirichlet": {"labels": "from_labels", "symmetric": "symmetric", "learned": "learned"},
    "normal": {None: "standard_normal"},
    "logistic_normal": {None: "standard_normal"},
}


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
    networks: dict[str, Any] = KINDS["network"]
    if not any(networks[kind].of_topics for kind in chosen["network"]):
        yield "final_rounds", "except with --network topics"
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
        "network": [*BY_DATA] if options.network is None else [options.network],
    }


def _where(part: str, field: str) -> str:
    """The options that choose a part with the field."""
    if part == "latent":
        return f"--model {_either(kind for kind in PRIORS if field in fields_of(part, kind))}"
    if part == "prior":
        every = [(model, *names) for model, own in PRIORS.items() for names in own.items()]
        found = [(model, name) for model, name, kind in every if field in fields_of(part, kind)]
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
