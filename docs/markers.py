"""Text between markers in Markdown pages: found, checked, and written anew.

Within a line a number stands between `<!-- figure: NAME -->` and `<!-- /figure -->`. A table stands
between two lines, `<!-- begin generated: NAME -->` and `<!-- end generated -->`.
"""

import re
from collections.abc import Mapping

# No marker lies within another, and a number is never written with a "<".
INLINE = re.compile(r"(<!-- figure: (\S+) -->)([^<\n]*)(<!-- /figure -->)")
BLOCK = re.compile(
    r"^(<!-- begin generated: (\S+) -->\n)((?:(?!<!-- ).)*)(^<!-- end generated -->)$", re.M | re.S
)
ANY = re.compile(r"<!-- (?:/?figure|begin generated|end generated)\b")


def names(text: str) -> list[str]:
    """What a page has markers for.

    Args:
      text: of the page.

    Returns:
      The names, in their order within each of the two forms.

    Example:
      >>> names("It takes <!-- figure: speed.draw -->9<!-- /figure --> µs.")
      ['speed.draw']
    """
    return [found[2] for form in (INLINE, BLOCK) for found in form.finditer(text)]


def filled(text: str, values: Mapping[str, str], page: str) -> str:
    """A page with the value of its name between each pair of markers.

    Args:
      text: of the page.
      values: by name; numbers, or tables of several lines.
      page: its name, for errors.

    Returns:
      The page.

    Raises:
      ValueError: if a marker is not closed, begins a line, or has a name without a value.

    Example:
      >>> filled("a <!-- figure: b.c -->9<!-- /figure --> d", {"b.c": "8"}, "")
      'a <!-- figure: b.c -->8<!-- /figure --> d'
    """
    if lost := ANY.search(BLOCK.sub(_blank, INLINE.sub(_blank, text))):
        raise ValueError(f"{page}, line {_line(text, lost.start())}: a marker must have its other "
                         "half, on the same line around a number")  # fmt: skip
    for found in INLINE.finditer(text):
        # Markdown takes a line that begins with a comment for HTML, and shows its Markdown raw.
        if not text[text.rfind("\n", 0, found.start()) + 1 : found.start()].strip():
            raise ValueError(f"{page}, line {_line(text, found.start())}: a figure must not begin "
                             f"a line, got {found[2]}")  # fmt: skip
    for name in names(text):
        if name not in values:
            raise ValueError(f"{page}: a marker must name one of {sorted(values)}, got {name}")
    text = INLINE.sub(lambda found: found[1] + values[found[2]] + found[4], text)
    return BLOCK.sub(lambda found: f"{found[1]}{values[found[2]].strip()}\n{found[4]}", text)


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table.

    Args:
      header: a cell a column.
      rows: of cells.

    Returns:
      Its lines.
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _blank(found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", found[0])  # so that lines keep their numbers


def _line(text: str, place: int) -> int:
    return text.count("\n", 0, place) + 1
