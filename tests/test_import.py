"""Importing the library is quiet and leaves JAX as it was; a wrong TFP is told plainly."""

import subprocess
import sys

import pytest

from jaxvae.numerics import distributions


def run_python(code):
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=120
    )


def test_import_prints_nothing_and_changes_no_setting():
    done = run_python(
        "import jax; before = dict(jax.config.values)\n"
        "import jaxvae, jaxvae.cli, jaxvae.figures\n"
        "assert dict(jax.config.values) == before, 'a JAX setting changed'\n"
        "import sys; assert 'matplotlib.pyplot' not in sys.modules"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_starts_no_backend():
    done = run_python(
        "import jaxvae, jax\n"
        "from jax._src import xla_bridge\n"
        "assert not xla_bridge.backends_are_initialized()"
    )
    assert done.returncode == 0, done.stderr


def test_wrong_tfp(monkeypatch):
    distributions.tfp_distributions.cache_clear()
    monkeypatch.setitem(sys.modules, "tensorflow_probability.substrates.jax", None)
    with pytest.raises(ImportError, match="needs tfp-nightly==") as error:
        distributions.tfp_distributions()
    assert "pip install tfp-nightly==" in str(error.value)
    assert distributions.TFP_VERSION in str(error.value)


def test_tfp_version_is_the_pinned_one():
    import tomllib
    from pathlib import Path

    project = tomllib.loads(Path(__file__).parents[1].joinpath("pyproject.toml").read_text())
    assert f"tfp-nightly=={distributions.TFP_VERSION}" in project["project"]["dependencies"]
