"""The numbers in README and the documentation are those of `benchmarks/results/`."""

import doctest
import json
import re
import shutil
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import figures
import markers

NAMES = [page.relative_to(ROOT).as_posix() for page in figures.PAGES]
MARKED = [name for name in NAMES if markers.names((ROOT / name).read_text())]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


@pytest.fixture(scope="module")
def values():
    return figures.values()


@pytest.mark.parametrize("name", MARKED)
def test_a_page_has_the_numbers_of_the_results(values, name):
    text = (ROOT / name).read_text()
    assert markers.filled(text, values, name) == text, "run `make figures-in-docs`"


@pytest.mark.parametrize("name", MARKED)
def test_each_number_that_is_changed_by_hand_is_found(values, name):
    text = (ROOT / name).read_text()
    places = [found.span(3) for found in markers.INLINE.finditer(text)]
    places += [found.span(3) for found in markers.BLOCK.finditer(text)]
    assert places
    for start, end in places:
        number = re.search(r"\d", text[start:end])
        at = start + number.start()
        changed = text[:at] + str((int(number[0]) + 1) % 10) + text[at + 1 :]
        assert markers.filled(changed, values, name) == text != changed


def test_the_command_writes_what_has_changed_and_only_checks_when_asked(
    monkeypatch, tmp_path, capsys
):
    shutil.copytree(figures.RESULTS, tmp_path / "results")
    page = tmp_path / "page.md"
    page.write_text("It takes <!-- figure: samplers.time -->0<!-- /figure --> µs.\n")
    monkeypatch.setattr(figures, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(figures, "PAGES", [page])
    monkeypatch.setattr(figures, "ROOT", tmp_path)
    shutil.copy(ROOT / "requirements.txt", tmp_path)
    before = page.read_text()
    assert figures.main(["--check"]) == 1
    assert capsys.readouterr().out == "page.md\n"
    assert page.read_text() == before
    assert figures.main([]) == 0
    first = page.read_text()
    assert figures.main(["--check"]) == 0

    # A benchmark that is run again moves the page's number.
    file = tmp_path / "results" / "samplers.json"
    results = json.loads(file.read_text())
    for row in results["speed"]:
        row["microseconds"]["jaxvae"] *= 2
    file.write_text(json.dumps(results))
    assert figures.main(["--check"]) == 1
    assert figures.main([]) == 0
    numbers = [float(markers.INLINE.search(text)[3]) for text in (first, page.read_text())]
    assert numbers[1] == pytest.approx(2 * numbers[0], abs=1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("It is <!-- figure: a.b -->1.", "line 1: a marker must have its other half"),
        ("\nIt is 1<!-- /figure -->.", "line 2: a marker must have its other half"),
        ("It is <!-- figure: a.b -->1\n<!-- /figure -->.", "must have its other half"),
        ("<!-- begin generated: a.b -->\n| 1 |\n", "must have its other half"),
        ("| 1 |\n<!-- end generated -->\n", "line 2: a marker must have its other half"),
        ("<!-- figure: a.b -->1<!-- /figure --> it is.", "line 1: a figure must not begin"),
        ("It is <!-- figure: a.c -->1<!-- /figure -->.", r"must name one of \['a.b'\], got a.c"),
    ],
    ids=["open", "closed", "two lines", "table open", "table closed", "at the start", "unknown"],
)
def test_a_wrong_marker_is_refused(text, says):
    with pytest.raises(ValueError, match=f"^page.*{says}"):
        markers.filled(text, {"a.b": "2"}, "page")


def test_the_examples_of_the_markers_run():
    failed, run = doctest.testmod(markers)
    assert (failed, run) == (0, 2)


def test_versions_are_told_by_python():
    lock = (
        "flax==1.0 \\\njax==0.5 ; python_full_version < '3.12' \\\n"
        "jax==0.6 ; python_full_version >= '3.12' \\\nnumpy==2.0 \\\noptax==0.1 \\\n"
    )
    rows = figures.versions(lock).splitlines()[2:]
    assert rows == [
        "| 3.11 | 0.5 | 1.0 | 0.1 | 2.0 |",
        "| 3.12 | 0.6 | 1.0 | 0.1 | 2.0 |",
        "| 3.13 | 0.6 | 1.0 | 0.1 | 2.0 |",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_links_and_pictures_are_there(name):
    page = ROOT / name
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    links = [link for link in LINK.findall(text) if "://" not in link]
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing
