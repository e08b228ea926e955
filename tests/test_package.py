"""The wheel and the sdist: what they hold, and that what they install runs on its own."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import jax
import pytest

import jaxvae

ROOT = Path(__file__).parents[1]
SOURCES = ("jaxvae", "tests", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE")
MODULES = {
    f"jaxvae/{path.relative_to(ROOT / 'jaxvae').as_posix()}"
    for path in Path(ROOT, "jaxvae").rglob("*.py")
} | {  # what the page of `jaxvae explore` is made of
    f"jaxvae/apps/explore/assets/{path.name}"
    for path in Path(ROOT, "jaxvae", "apps", "explore", "assets").iterdir()
}
INFO = {
    f"jaxvae-{jaxvae.__version__}.dist-info/{name}"
    for name in (
        "METADATA",
        "RECORD",
        "WHEEL",
        "entry_points.txt",
        "licenses/LICENSE",
        "top_level.txt",
    )
}
# README's examples, by the copy in argv[1] and without TensorFlow.
QUICK_START = """
import doctest, sys
sys.modules["tensorflow"] = None
import jaxvae
assert jaxvae.__file__.startswith(sys.argv[1]), jaxvae.__file__
failed, run = doctest.testfile(
    sys.argv[2], module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE
)
assert run >= 10 and not failed, (run, failed)
"""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what is built, so that no build leaves anything in the repository."""
    folder = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignore)
        else:
            shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def sdist(source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdist")
    code = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    run(sys.executable, "-c", code, str(folder), cwd=source)
    (path,) = folder.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """The wheel, built from the sdist without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    run(
        *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps"),
        *("--no-build-isolation", "--wheel-dir", str(folder), str(sdist)),
    )
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def editable(source, tmp_path_factory):
    """What an editable install puts among the packages: a path, or an import hook."""
    folder = tmp_path_factory.mktemp("editable")
    code = "import sys; from setuptools import build_meta; build_meta.build_editable(sys.argv[1])"
    run(sys.executable, "-c", code, str(folder), cwd=source)
    (path,) = folder.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder)
    return folder


# As in an environment of its own: the other packages' folder, without what is installed editable.
FIRST = """
import site, sys
site.addsitedir(sys.argv[1])
sys.path.append(sys.argv[2])
import jaxvae
print(jaxvae.__file__, jaxvae.datasets.load_digits().x_train.shape)
"""


@pytest.mark.slow
@pytest.mark.parametrize("clone", ["link", "copy"])
def test_a_program_beside_the_clone(source, editable, tmp_path, clone):
    """The folder of the clone, of the library's name, must not hide the library."""
    if clone == "link":
        (tmp_path / "jaxvae").symlink_to(source)
    else:
        shutil.copytree(source, tmp_path / "jaxvae")
    (tmp_path / "first.py").write_text(FIRST)
    others = Path(jax.__file__).parents[1]
    printed = run(sys.executable, "-S", "first.py", str(editable), str(others), cwd=tmp_path)
    assert printed == f"{source / 'jaxvae' / '__init__.py'} (1437, 64)\n"


@pytest.mark.slow
def test_the_wheel_holds_the_package_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        assert set(archive.namelist()) == {*MODULES, "jaxvae/py.typed", *INFO}


@pytest.mark.slow
def test_the_sdist_holds_what_a_build_reads_and_no_more(sdist):
    with tarfile.open(sdist) as archive:
        names = {file.name.partition("/")[2] for file in archive if file.isfile()}
    made = {name for name in names if name.startswith("jaxvae.egg-info/")} | {
        "PKG-INFO",
        "setup.cfg",
    }
    read = {"jaxvae/py.typed", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE"}
    assert names - made == {*MODULES, *read}


@pytest.mark.slow
def test_the_installed_wheel_runs_the_quick_start(wheel, tmp_path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(
        *(sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"),
        *("--target", str(site), str(wheel)),
    )
    run(
        *(sys.executable, "-c", QUICK_START, str(site), str(ROOT / "README.md")),
        cwd=elsewhere,
        env={**os.environ, "PYTHONPATH": str(site)},
    )


def test_the_citation_names_this_version():
    lines = ROOT.joinpath("CITATION.cff").read_text().splitlines()
    assert f"version: {jaxvae.__version__}" in lines
