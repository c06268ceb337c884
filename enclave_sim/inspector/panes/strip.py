"""The widget of the strip along the run. Clicking and dragging go to events."""

from collections.abc import Callable
from functools import partial

from rich.text import Text
from textual import events
from textual.message import Message
from textual.widgets import Static

from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.model.strip import strip_view
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.panes.theme import STYLES

_PADDING = 1
"""Columns to the left, as in the style sheet."""


class Strip(Static):
    """The strip, in one line. Its view is made with those of the panes."""

    NAME = "strip"

    class Sought(Message):
        """The user asks to go to an event.

        Args:
            seq: The number of the event.
            drags: True while the mouse is dragged.
        """

        def __init__(self, seq: int, *, drags: bool) -> None:
            super().__init__()
            self.seq = seq
            self.drags = drags

    def __init__(self) -> None:
        super().__init__("", id=self.NAME, markup=False)
        self._view = View(())

    def wish(self) -> Callable[[Moment], View]:
        """Return a function that makes the view for the current width."""
        return partial(strip_view, width=max(1, self.content_size.width or self.app.size.width - 2 * _PADDING))

    def on_resize(self) -> None:
        """Ask for a view of the new width, which the app's own resizing comes too early for."""
        self.post_message(Pane.Asks())

    def show(self, view: View) -> None:
        """Show a new view."""
        if view != self._view:
            self._view = view
            parts = (part for row in view.rows for part in row.parts)
            self.update(Text.assemble(*((text, STYLES[meaning]) for text, meaning in parts)), layout=False)

    def _seek(self, event: events.MouseEvent, *, drags: bool) -> None:
        rows = self._view.rows
        seq = rows[max(0, min(event.x - _PADDING, len(rows) - 1))].target.event if rows else None
        if seq is not None:
            self.post_message(self.Sought(seq, drags=drags))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Go to the event under the mouse, and follow it from now on."""
        self.capture_mouse()
        self._seek(event, drags=False)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Follow the mouse while the button is held."""
        if self.app.mouse_captured is self:
            self._seek(event, drags=True)

    def on_mouse_up(self) -> None:
        """Let the mouse go."""
        self.release_mouse()
