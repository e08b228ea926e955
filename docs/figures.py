"""The measured numbers in README and the documentation, from `benchmarks/results/`.

A page names a number as `FILE.WHAT`: `samplers.time` is what the function `samplers` makes of
`benchmarks/results/samplers.json`. **To add a number or a table**: let the function of its file
give it (of a new file: write one, and add it to `SOURCES`), put the markers into a page
(`markers.py` says how they look), and run `make figures-in-docs`.

`python docs/figures.py` writes the pages anew. With `--check` it writes nothing, names the pages
whose numbers are not those of the results, and exits with 1 if there is one. With `--pictures RUN`
it takes the pictures of the pages from a run of `make train`.
"""

import argparse
import json
import re
import shutil
import sys
from pathlib import Path

import measured_models as models
import measured_numerics as numerics
import measured_papers
import measured_simplex
import measured_speed as speed
from markers import filled, table

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), ROOT / "benchmarks" / "README.md"]
PICTURES = ("styles", "category", "reconstructions", "generated", "loss")
PACKAGES = {"jax": "JAX", "flax": "Flax", "optax": "Optax", "numpy": "NumPy"}
PYTHONS = (11, 12, 13)  # 3.11 and so on
# By the name of the file of results: what makes numbers and tables of it, each by its name.
SOURCES = {
    "compare": speed.compare,
    "first_epoch": speed.first_epoch,
    "calls": speed.calls,
    "growth": speed.growth,
    "memory": speed.memory,
    "safety": speed.safety,
    "scaling": speed.scaling,
    "sharding": speed.sharding,
    "choices": models.choices,
    "defaults": models.defaults,
    "first_sight": models.first_sight,
    "topic_consensus": models.topic_consensus,
    "topic_decoders": models.topic_decoders,
    "topic_scale": models.topic_scale,
    "topics": models.topics,
    "compat": numerics.compat,
    "gradients": numerics.gradients,
    "mnist": numerics.mnist,
    "robust_start": numerics.robust_start,
    "samplers": numerics.samplers,
    "papers": measured_papers.papers,
    "simplex": measured_simplex.simplex,
}


def values() -> dict[str, str]:
    """All numbers and tables, by their names in the pages."""
    made = {"lock.versions": versions((ROOT / "requirements.txt").read_text())}
    for name, source in SOURCES.items():
        file = RESULTS / f"{name}.json"
        if file.is_file():  # else a page that names a number of it is refused
            results = json.loads(file.read_text())
            made |= {f"{name}.{what}": text for what, text in source(results).items()}
    return made


def versions(lock: str) -> str:
    """The packages that a user gets, by Python, as a table."""
    found = re.findall(
        r"^([\w-]+)==(\S+)(?: ; python_full_version (<|>=) '3\.(\d+)')? \\$", lock, re.M
    )

    def pinned(package: str, python: int) -> str:
        return next(
            version
            for name, version, sense, minor in found
            if name == package and (not sense or (sense == "<") == (python < int(minor)))
        )

    return table(
        ["Python", *PACKAGES.values()],
        [[f"3.{minor}", *(pinned(name, minor) for name in PACKAGES)] for minor in PYTHONS],
    )


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--pictures", type=Path, metavar="RUN")
    chosen = parser.parse_args(arguments)
    if chosen.pictures is not None:
        for name in PICTURES:
            file = chosen.pictures / "figures" / f"{name}.png"
            shutil.copyfile(file, ROOT / "docs" / "images" / file.name)
    made, stale = values(), []
    for page in PAGES:
        text, name = page.read_text(), page.relative_to(ROOT).as_posix()
        if (new := filled(text, made, name)) != text:
            stale.append(name)
            if not chosen.check:
                page.write_text(new)
    print("\n".join(stale) or "all numbers are those of benchmarks/results")
    return int(chosen.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
