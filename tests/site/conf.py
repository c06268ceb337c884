"""Settings of Sphinx for the site. `tests/site/building.py` names this file to Sphinx."""

import pydoc
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.util.nodes import make_refnode

_ROOT = Path(__file__).parents[2]

project = "Enclave Sim"
version = release = tomllib.loads((_ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
language = "en"
extensions = ["myst_parser", "sphinx.ext.autodoc"]
root_doc = "index"
default_role = "code"
"""Docstrings mark code with single backquotes, as Markdown does."""
myst_heading_anchors = 4
myst_enable_extensions = ["deflist", "fieldlist"]
suppress_warnings = ["misc.highlighting_failure"]
"""Parts of JSON Lines with `...` for what is left out are no valid JSON."""

nitpick_ignore = [("py:class", "Path"), ("py:class", "Program")]
nitpick_ignore_regex = [("py:class", r"tuple\[.*")]
"""Annotations in quotation marks, which autodoc does not resolve."""

html_theme = "furo"
html_title = f"Enclave Sim {release}"
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"

_SECTIONS = re.compile(r"(Args|Attributes|Returns|Yields|Raises|Note|Example):$")
"""The first line of a section of a docstring in Google style, whose text is indented."""
_NAPOLEON: Any = Config(napoleon_numpy_docstring=False)


class _Docstring(GoogleDocstring):
    """A docstring whose returned values have their types in the signature."""

    def _consume_returns_section(self, preprocess_types: bool = False) -> list[tuple[str, str, list[str]]]:  # noqa: ARG002
        """Return the text as it is: by default the words before a colon would be a type."""
        return [("", "", self._dedent(self._consume_to_next_section()))]


def _read_docstring(app: Sphinx, what: Any, name: str, owner: object, options: object, lines: list[str]) -> None:
    """Turn a docstring in Google style into reStructuredText.

    napoleon does it, but as an extension it would take the first word of `None: the TPM is not used.` below a field
    for the field's type.
    """
    what = "method" if what in {"attribute", "data", "property"} else what
    marked = list(_with_literal_blocks(lines))
    lines[:] = _Docstring(marked, _NAPOLEON, app, what, name, owner, options).lines()


def _with_literal_blocks(lines: list[str]) -> Iterator[str]:
    """Mark indented paragraphs, which are code, outside sections and lists."""
    outer = blank = ""
    literal = False
    for line in lines:
        indented = line.startswith("    ")
        if indented and not blank and not literal and not _SECTIONS.match(outer) and not outer.startswith(("*", "-")):
            literal = True
            yield from ("::", "")
        if line and not indented:
            outer, literal = line, False
        blank = line
        yield line


def _link_or_text(
    app: Sphinx, environment: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.Element | None:
    """Link an error named without its package in `Raises:`, and show other names that exist as plain text.

    Those are the names of other packages, whose documentation is on other hosts, and types of ours that are not public.
    """
    if node.get("refdomain") != "py":
        return None
    name, page = node["reftarget"], node["refdoc"]
    found = environment.domains.python_domain.find_obj(environment, "", "", name, None, 1)
    if found:
        target = found[0][1]
        return make_refnode(app.builder, page, target.docname, target.node_id, content, found[0][0])
    return content if name == "None" or pydoc.locate(name) else None


def setup(app: Sphinx) -> None:
    """Connect what Sphinx calls. It calls this function itself."""
    app.connect("autodoc-process-docstring", _read_docstring)
    app.connect("missing-reference", _link_or_text)
