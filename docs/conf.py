"""The documentation site. `make docs` builds it into docs/_build.

The repository's root is the source folder, so that a page lies where its file lies and every link
between pages works on the site as it does between the files.
"""

import logging
import re
import sys
from pathlib import Path

import latex2mathml.converter
from docutils import nodes
from docutils.parsers.rst import Directive
from flax import linen
from sphinx import addnodes
from sphinx.util.nodes import make_refnode

sys.path.insert(0, str(Path(__file__).parent))
from layers import layers_svg

import jaxvae

project = "jaxvae"
author = "The jaxvae developers"
copyright = "The jaxvae developers, Apache License 2.0"
version = release = jaxvae.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_nb"]
root_doc = "docs/index"
include_patterns = [
    "docs/*.md",
    "docs/api/*.md",
    "docs/gallery/*.md",
    "notebooks/*.ipynb",
    "benchmarks/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
]
exclude_patterns = ["docs/_build", ".*", "build", "dist", "runs", "tests"]
# A folder of pages may be empty. The warning has no type, so that `suppress_warnings` misses it.
logging.getLogger("sphinx.sphinx.directives.other").addFilter(
    lambda record: getattr(record, "subtype", None) != "empty_glob"
)

# Notebooks are shown with the outputs they were committed with.
nb_execution_mode = "off"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
highlight_language = "text"
smartquotes_action = "De"  # dashes and dots; quotes stay as they are in code

default_role = "py:obj"  # a name in single backticks is a link where it names something of ours
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Attributes", "params_style")]
python_maximum_signature_line_length = 80
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "jaxvae"
html_static_path = ["_static"]
html_css_files = ["site.css"]
templates_path = ["_templates"]
html_additional_pages = {"index": "redirect.html"}  # from the folder to docs/index.html
html_copy_source = False
html_show_sphinx = False
html_math_renderer = "mathml"


def inline_math(translator, node):
    """Write a formula as MathML, so that reading the site takes no script and no network."""
    translator.body.append(latex2mathml.converter.convert(node.astext()))
    raise nodes.SkipNode


def display_math(translator, node):
    formula = latex2mathml.converter.convert(node.astext(), display="block")
    translator.body.append(f'<div class="math">{formula}</div>\n')
    raise nodes.SkipNode


class Layers(Directive):
    """The storeys and their modules, as `tests/test_layers.py` holds them."""

    def run(self):
        return [nodes.raw("", f'<div class="layers">{layers_svg()}</div>', format="html")]


def end_blocks(app, doctree):
    """Drop the empty line that ends an example in Markdown, for doctest's sake."""
    for block in doctree.findall(nodes.literal_block):
        text = block.astext().rstrip("\n")
        block[:] = [nodes.Text(text)]
        block.rawsource = text


PAGE = re.compile(r"(docs/[\w.]+)\.md")
LINKS = (nodes.reference, addnodes.pending_xref)


def link_names(app, doctree):
    """Make a link of each `name` in code that is a public name of ours."""
    ours = () if app.env.docname == "docs/migration" else jaxvae.__all__  # its names are compat's
    for literal in list(doctree.findall(nodes.literal)):
        name = literal.astext()
        if (name in ours or PAGE.fullmatch(name)) and not isinstance(literal.parent, LINKS):
            target = name if PAGE.fullmatch(name) else f"jaxvae.{name}"
            link = addnodes.pending_xref(
                "",
                literal.deepcopy(),
                refdoc=app.env.docname,
                refdomain="py",
                reftype="obj",
                reftarget=target,
            )
            literal.replace_self(link)


def link_page(app, env, node, content):
    """Make a link of the name of a page, as `docs/sampler.md`, here and in docstrings."""
    page = PAGE.fullmatch(node.get("reftarget", ""))
    if page is None:
        return None
    return make_refnode(app.builder, node["refdoc"], page[1], "", content)


def skip_fields(app, what, name, value, skip, options):
    """Leave out the fields of tuples one by one: a class's docstring has them together."""
    return True if isinstance(value, type(jaxvae.Batch.x)) else None


def skip_requests(app, what, name, value, skip, options):
    """Leave out what scikit-learn's metadata routing adds to each estimator."""
    return True if re.fullmatch(r"set_\w+_request", name) else None


def plain_signature(app, what, name, value, options, signature, returned):
    """Leave out what Flax adds to the arguments of every module."""
    if what == "class" and issubclass(value, linen.Module):
        return re.sub(r", parent: .*", ")", signature, flags=re.DOTALL), returned
    return None


def setup(app):
    app.connect("autodoc-process-signature", plain_signature)
    app.connect("autodoc-skip-member", skip_fields)
    app.connect("autodoc-skip-member", skip_requests)
    app.add_html_math_renderer("mathml", (inline_math, None), (display_math, None))
    app.add_directive("layers", Layers)
    app.connect("doctree-read", end_blocks)
    app.connect("doctree-read", link_names)
    app.connect("missing-reference", link_page)
