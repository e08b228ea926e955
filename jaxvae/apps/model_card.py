"""The page of a model on the Hub, of what the run's files hold and nothing else."""

import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from jaxvae.apps import description as descriptions
from jaxvae.apps.description import Description
from jaxvae.apps.model_parts import KINDS

# Numbers of a summary that say nothing of the model itself.
TIMES = ("seconds_per_epoch", "images_per_second", "compile_seconds")
LONGEST = 300  # characters of a part's options
# What a summary calls the versions; of jaxvae it is the one that trained.
VERSIONS = {"jaxvae": "version", "python": "python", "jax": "jax", "flax": "flax", "numpy": "numpy"}


def card(
    model: Description,
    *,
    repo: str,
    summary: Mapping[str, Any] | None = None,
    figures: Sequence[str] = (),
    license: str | None = None,
) -> str:
    """The README.md of a model on the Hub: its front matter, and a short page.

    Args:
      model: what it is.
      repo: where it goes, "owner/name".
      summary: what the run's summary.json holds, or None.
      figures: the names of the pictures in `figures/`.
      license: its identifier, as "apache-2.0"; None says nothing of it.

    Returns:
      Markdown.

    Raises:
      TypeError: if the model holds a value that JSON cannot; it is named.

    Example:
      >>> from jaxvae.apps.model_parts import DirichletLatent, Symmetric
      >>> model = Description(
      ...     latent=DirichletLatent(), prior=Symmetric(), data_shape=(8, 8), latent_dim=10
      ... )
      >>> print(card(model, repo="ann/digits", license="mit").split("---")[1].strip())
      library_name: "jaxvae"
      license: "mit"
      tags: ["vae", "variational-autoencoder", "jax", "dirichlet"]
    """
    summary = {} if summary is None else summary
    plain = descriptions.to_json(model)
    latent, _ = _named(plain["latent"])
    taken = f"x: [N, {', '.join(map(str, model.data_shape))}]"
    if model.condition_shape is not None:
        taken = f"x: a jaxvae.Batch with a condition; its {taken}"
    pages = [
        _front(latent, repo, summary, license),
        f"# {repo.partition('/')[2]}",
        f"A variational autoencoder. Its latent is of the kind `{latent}` and has "
        f"{model.latent_dim} dimensions.",
        "## Load it",
        f'```python\nimport jaxvae\nmodel = jaxvae.load("hf://{repo}")\n'
        f"z = model.encode(x)  # {taken}\n```",
        "## Data",
        _table(("what", "value"), _data(model, summary)),
    ]
    if numbers := _numbers(summary):
        pages += ["## Numbers", _table(("name in summary.json", "value"), numbers)]
    if summary.get("interrupted"):
        pages.append("Training was ended before its last epoch.")
    if figures:
        pages += ["## Figures", *(f"![{_stem(name)}](figures/{name})" for name in figures)]
    pages += ["## Parts", _table(("part", "kind", "options"), _parts(plain))]
    if license is not None:
        pages += ["## Licence", license]
    pages += ["## Versions", _table(("package", "version"), _versions(model, summary))]
    return "\n\n".join(pages) + "\n"


def _front(latent: str, repo: str, summary: Mapping[str, Any], license: str | None) -> str:
    """The front matter. What JSON holds is YAML too, quoted as it must be."""
    fields: dict[str, Any] = {"library_name": "jaxvae"}
    if license is not None:
        fields["license"] = license
    fields["tags"] = ["vae", "variational-autoencoder", "jax", latent.replace("_", "-")]
    measured = {n: v for n, v in _plain_numbers(summary).items() if n.startswith("test_")}
    if measured and (name := _dataset(summary)):
        result = {
            "task": {"type": "other", "name": "variational autoencoder"},
            "dataset": {"type": name, "name": name, "split": "test"},
            "metrics": [{"type": n, "name": n, "value": v} for n, v in measured.items()],
        }
        fields["model-index"] = [{"name": repo.partition("/")[2], "results": [result]}]
    lines = [f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["---", *lines, "---"])


def _data(model: Description, summary: Mapping[str, Any]) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    if name := _dataset(summary):
        rows.append(("data set", name))
    rows.append(("shape of an example", " x ".join(map(str, model.data_shape))))
    if model.condition_shape is not None:
        rows.append(("shape of a condition", " x ".join(map(str, model.condition_shape))))
    if model.data_kind is not None:
        rows.append(("kind", model.data_kind))
    if model.label_names is not None:
        rows.append(("labels", ", ".join(model.label_names)))
    if (columns := model.column_names) is not None:
        more = f" and {len(columns) - 10} more" if len(columns) > 10 else ""
        rows.append(("columns", ", ".join(columns[:10]) + more))
    return rows


def _dataset(summary: Mapping[str, Any]) -> str | None:
    """The name of the data, and no path of it."""
    name = summary.get("dataset")
    return PurePath(name.replace("\\", "/")).name if isinstance(name, str) else None


def _plain_numbers(summary: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: value
        for name, value in summary.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in TIMES
    }


def _numbers(summary: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, f"{value:.6g}") for name, value in _plain_numbers(summary).items()]


def _parts(plain: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    return [(part, *_named(plain[part])) for part in KINDS]


def _named(part: Mapping[str, Any]) -> tuple[str, str]:
    """What a part as JSON is called, and its options in one line."""
    own = dict(part)
    name = next(own.pop(key) for key in ("kind", "make", "name") if key in own)
    options = own.pop("with", own)
    text = ", ".join(f"{option} = {json.dumps(value)}" for option, value in options.items())
    return name.rpartition(".")[2], text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def _versions(model: Description, summary: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found = {name: summary[key] for name, key in VERSIONS.items() if key in summary}
    return list({"jaxvae": model.jaxvae, **found}.items())


def _stem(name: str) -> str:
    return name.rpartition(".")[0].replace("_", " ").replace("-", " ")


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(value) for value in line)} |" for line in lines)


def _cell(value: Any) -> str:
    """Text that stays in its cell, and is no markup."""
    text = " ".join(str(value).split()).replace("\\", "\\\\").replace("|", "\\|")
    return text.replace("<", "&lt;").replace("[", "\\[").replace("`", "\\`")
