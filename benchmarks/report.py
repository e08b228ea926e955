"""Where results go, and what they say of the machine they were made on."""

import contextlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path

import jax

RESULTS = Path(__file__).parent / "results"


def machine(packages=()):
    """Processor, cores, device and versions: without them a figure means nothing.

    Args:
      packages: distributions to report beside JAX's.
    """
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    versions = {}
    for name in ("jax", "flax", "optax", "numpy", *packages):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "device": jax.devices()[0].device_kind,
        "python": platform.python_version(),
        **versions,
    }


def write(name, results, table, packages=()):
    """Write `results/<name>.json` and, for reading, `results/<name>.md`; print the table."""
    RESULTS.mkdir(exist_ok=True)
    where = machine(packages)
    content = json.dumps({"machine": where, **results}, indent=1)
    (RESULTS / f"{name}.json").write_text(content + "\n")
    line = ", ".join(f"{key} {value}" for key, value in where.items())
    (RESULTS / f"{name}.md").write_text(f"{table}\n\nMeasured on: {line}.\n")
    print(f"\n{table}\n\n{RESULTS / name}.json, .md")


def markdown(header, rows):
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
