"""A module imports only from rows above its own, and each heavy package has one importer."""

import ast
from pathlib import Path

import pytest

import jaxvae

PACKAGE = Path(jaxvae.__file__).parent
ROWS = [
    "_version",
    "_output",
    "_failures",
    "_checks",
    "_sharding",
    "_dirichlet_kl",
    "_elementary",
    "_gamma",
    "_beta",
    "_simplex",
    "distributions",
    "networks",
    "datasets",
    "streaming",
    "objectives",
    "models",
    "steps",
    "averaging",
    "revival",
    "parallel",
    "evaluation",
    "checkpoints",
    "diagnosis",
    "history",
    "programs",
    "training",
    "ensembles",
    "_keras",
    "compat",
    "figures",
    "runs",
    "gallery",
    "experiments",
    "estimators",
    "compilation_cache",
    "cli",
    "__init__",
    "__main__",
]
SOLE_IMPORTERS = {
    "tensorflow_probability": "distributions",
    "flax": "networks",
    "matplotlib": "figures",
    "orbax": "checkpoints",
}


def imports(module):
    """Every dotted name that a module imports, wherever in the file."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} uses a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_has_a_row():
    assert sorted(path.stem for path in PACKAGE.glob("*.py")) == sorted(ROWS)


@pytest.mark.parametrize("module", ROWS)
def test_imports_only_from_rows_above(module):
    above = ROWS[: ROWS.index(module)]
    for name in imports(module):
        package, _, rest = name.partition(".")
        if package == "jaxvae" and rest:
            target = rest.split(".")[0]
            assert target in above or target not in ROWS, f"{module} imports {target} from below"


@pytest.mark.parametrize(("package", "importer"), SOLE_IMPORTERS.items())
def test_sole_importer(package, importer):
    found = {m for m in ROWS if any(name.split(".")[0] == package for name in imports(m))}
    assert found == {importer}
