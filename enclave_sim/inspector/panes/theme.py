"""The styles of meanings. Everyone can distinguish blue and orange; bold, reverse and underline need no colour."""

from rich.style import Style

from enclave_sim.inspector.model.rows import Meaning

STYLES = {
    Meaning.PLAIN: Style(),
    Meaning.DIM: Style(dim=True),
    Meaning.TITLE: Style(bold=True, underline=True),
    Meaning.NAME: Style(color="#56b4e9"),
    Meaning.CHANGED: Style(color="#e69f00", bold=True),
    Meaning.HERE: Style(bold=True, reverse=True),
    Meaning.GOOD: Style(color="#56b4e9", bold=True),
    Meaning.BAD: Style(color="#e69f00", bold=True, underline=True),
    Meaning.RING_0: Style(color="#000000", bgcolor="#56b4e9", bold=True),
    Meaning.RING_3: Style(color="#000000", bgcolor="#e69f00", bold=True, underline=True),
    Meaning.NOTE: Style(italic=True),
}
MARKED = Style(color="#000000", bgcolor="#f0e442", bold=True, underline=True)
"""The style of names in hints."""
