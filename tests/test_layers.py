"""The house: a folder imports only from those above it; each heavy package has one importer."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import jaxvae

PACKAGE = Path(jaxvae.__file__).parent
# What stands on nothing but the standard library; then the storeys; beside `apps`, `compat`.
GROUND = ("_version", "_door", "_output", "_failures", "_front", "_collector")
STOREYS = ("numerics", "data", "model", "training", "apps")
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
# A file, or a folder whose files share the package.
SOLE_IMPORTERS = {
    "tensorflow_probability": "numerics/distributions.py",
    "flax": ("model/flax_network.py", "model/modules.py", "model/count_modules.py"),
    "orbax": "training/checkpoints.py",
    "matplotlib": "apps/figures/",
}
LONGEST = 400  # lines


def imports(path):
    """Every dotted name that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} uses a relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_imports(path):
    """The parts of the package, folders and files at its top, that a file imports from."""
    names = (name.split(".") for name in imports(path))
    return {name[1] for name in names if name[0] == "jaxvae" and len(name) > 1}


def allowed(folder):
    """What a file in a folder may import from."""
    above = STOREYS[: STOREYS.index(folder)] if folder in STOREYS else STOREYS[:-1]
    return {*GROUND, *above, folder}


def test_every_folder_has_a_place():
    folders = {name.partition("/")[0] for name in FILES if "/" in name}
    assert folders == {*STOREYS, "compat"}


@pytest.mark.parametrize("name", FILES)
def test_a_folder_imports_only_from_those_above(name):
    folder, _, rest = name.partition("/")
    used = own_imports(FILES[name])
    if rest:
        assert used <= allowed(folder), f"{name} imports from {used - allowed(folder)}"
    elif name.removesuffix(".py") in GROUND:
        assert used <= set(GROUND)


DOORS = [
    name.removesuffix(".py")
    for name in FILES
    if "/" not in name and name[0] != "_" and name.removesuffix(".py") not in GROUND
]
DOORS.append("compat/__init__")  # a folder that people import from, so its own door


@pytest.mark.parametrize("door", DOORS)
def test_a_door_only_names_what_lies_behind_it(door):
    """A docstring, imports, and the list of the names: no code."""
    tree = ast.parse(FILES[f"{door}.py"].read_text())
    doc, *rest, names = tree.body
    assert isinstance(doc, ast.Expr)
    assert all(isinstance(node, ast.ImportFrom) for node in rest)
    assert isinstance(names, ast.Assign)
    listed = ast.literal_eval(names.value)
    assert set(listed) == {alias.name for node in rest for alias in node.names}


@pytest.mark.parametrize("name", FILES)
def test_no_file_is_long(name):
    lines = len(FILES[name].read_text().splitlines())
    assert lines <= LONGEST, f"{name} has {lines} lines"


def test_the_numerics_stand_alone(tmp_path):
    shutil.copytree(PACKAGE / "numerics", tmp_path / "jaxvae" / "numerics")
    (tmp_path / "jaxvae" / "__init__.py").touch()
    code = "from jaxvae.numerics import distributions as d; print(d.__file__)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(tmp_path))


@pytest.mark.parametrize(("package", "importer"), SOLE_IMPORTERS.items())
def test_sole_importer(package, importer):
    found = {
        name
        for name, path in FILES.items()
        if any(target.split(".")[0] == package for target in imports(path))
    }
    assert found
    allowed = (importer,) if isinstance(importer, str) else importer
    assert all(name in allowed or name.startswith(f"{allowed[0].rstrip('/')}/") for name in found)
