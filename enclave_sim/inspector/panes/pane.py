"""A pane: rows of a view with a cursor. Only visible rows are made and drawn, however many there are."""

import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import NOWHERE, Meaning, Row, Target, View
from enclave_sim.inspector.panes.scrolling import Scrolling
from enclave_sim.inspector.panes.theme import MARKED, STYLES
from enclave_sim.recording.text import printable

_MAX_SEARCHED = 2000
"""The maximum number of rows searched for the next heading."""
_CHECKPOINT = 1000
"""Rows between two polls of the cancellation."""
_CURSOR = Style(reverse=True, bold=True)


class Found(NamedTuple):
    """The match of a search."""

    words: str
    """The place of the match."""
    show: Callable[[], None]
    """Puts the cursor on the match."""


Search = Callable[[Moment], Found | None]
"""Searches for a text. Raises Cancelled."""


class Pane(Scrolling, can_focus=True):
    """Shows a view from `model`, chosen by the subclass with `wish`."""

    NAME: ClassVar[str]
    TITLE: ClassVar[str]
    TAB: ClassVar[str]
    """The title in the line of tabs, where every column counts."""
    KEY: ClassVar[str]
    HELP: ClassVar[str]
    FOOTER: ClassVar[str]
    """The most important keys in this pane, with their effects."""
    FOLLOWS: ClassVar[str] = "show more about the row"
    """The effect of Enter in this pane."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor(-1)", "one row up", show=False),
        Binding("down,j", "cursor(1)", "one row down", show=False),
        Binding("pageup", "page(-1)", "one page up", show=False),
        Binding("pagedown,space", "page(1)", "one page down", show=False),
        Binding("home", "edge(-1)", "the first row", show=False),
        Binding("end", "edge(1)", "the last row", show=False),
        Binding("left", "sideways(-8)", "scroll to the left", show=False),
        Binding("right", "sideways(8)", "scroll to the right", show=False),
        Binding("v", "next_title", "the next heading", show=False),
        Binding("enter", "follow", "follow the row", show=False),
    ]

    class Followed(Message):
        """The user asks to go to the target of a row."""

        def __init__(self, pane: "Pane", target: Target) -> None:
            super().__init__()
            self.pane = pane
            self.target = target

    class Asks(Message):
        """The pane must show something else."""

    def __init__(self) -> None:
        super().__init__(self.NAME)
        self.view = View(())
        self.cursor = 0
        self.return_to: int | None = None
        self._marked: re.Pattern[str] | None = None
        """The cursor row for the next view."""
        self.set_title(f"{self.KEY} {self.TITLE}")

    @classmethod
    def own_keys(cls) -> list[Binding]:
        """Return Enter, whose effect depends on the pane, and the keys specific to this pane."""
        own = () if cls.BINDINGS is Pane.BINDINGS else cls.BINDINGS
        return [Binding("enter", "follow", cls.FOLLOWS), *(one for one in own if isinstance(one, Binding))]

    @staticmethod
    def cursor_keys() -> list[Binding]:
        """Return the cursor keys of all panes."""
        return [one for one in Pane.BINDINGS if isinstance(one, Binding) and one.action != "follow"]

    def wish(self) -> Callable[[Moment], View]:
        """Return a function that makes the view, with the user's choices in this pane."""
        raise NotImplementedError

    @property
    def target(self) -> Target:
        """The target of the row under the cursor."""
        return self.row_at(self.cursor).target if self.view.rows else NOWHERE

    @property
    def searched(self) -> str:
        """The names, in words, of the texts that `searching` looks through."""
        return self.TITLE

    def searching(self, text: str, direction: int) -> Search:
        """Return a function that finds the next row with a text, ignoring case; after the last one, the first.

        Args:
            text: The text.
            direction: 1, or -1 for backwards.

        Returns:
            The function, for the session's thread. It finds nothing if no row has the text.
        """
        rows, start, wanted = self.view.rows, self.cursor, text.lower()

        def search(moment: Moment) -> Found | None:
            for distance in range(1, len(rows) + 1):
                if not distance % _CHECKPOINT:
                    moment.run.cancellation.poll()
                index = (start + direction * distance) % len(rows)
                if wanted in rows[index].text.lower():
                    return Found(f"row {index + 1:,} of {len(rows):,}", partial(self.move_to, index))
            return None

        return search

    def mark(self, names: frozenset[str]) -> None:
        """Mark names wherever they occur as words, in any case."""
        words = "|".join(re.escape(name) for name in sorted(names))
        self._marked = re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE) if words else None
        self.refresh()

    def row_at(self, index: int) -> Row:
        """Return a row of the view."""
        return self.view.rows[index]

    def show(self, view: View, *, moved: bool) -> None:
        """Show a new view. Only visible rows that differ from the old ones are drawn.

        Args:
            view: The view.
            moved: True if the run has moved. Then, or if the view shows something else, the cursor goes to `view.here`.
        """
        before, self.view = self.view, view
        count = len(view.rows)
        self.set_count(count)
        if self.cursor >= count:
            self._put_cursor(max(0, count - 1))
        is_other = (view.here, view.subtitle) != (before.here, before.subtitle)
        if self.return_to is not None:
            self.move_to(self.return_to)
            self.return_to = None
        elif view.here is not None and (moved or is_other):
            self.move_to(view.here)
        self.retitle()
        for index in self.in_sight:
            if _row(view, index) != _row(before, index):
                self.redraw_row(index)

    def retitle(self) -> None:
        """Set the title in the border, with the remark on the row under the cursor."""
        words = (f"{self.KEY} {self.TITLE}", self.remark(), self.view.subtitle)
        self.set_title("  ".join(one for one in words if one))

    def remark(self) -> str:
        """Return a remark on the row under the cursor, or an empty string."""
        return ""

    def _put_cursor(self, index: int) -> None:
        self.redraw_row(self.cursor)
        self.cursor = index
        self.redraw_row(index)
        self.retitle()

    def move_to(self, index: int) -> None:
        """Put the cursor on a row, and scroll it into view."""
        self._put_cursor(max(0, min(index, self.count - 1)))
        height = max(1, self.content_size.height)
        top = round(self.scroll_target_y)
        if not top <= self.cursor < top + height:
            above, below = top - self.cursor, self.cursor - (top + height - 1)
            near = self.cursor if above > 0 else self.cursor - height + 1
            goal = near if max(above, below) == 1 else self.cursor - height // 3
            self.go(y=max(0, goal))
            self.redraw_row(self.cursor)

    def line(self, index: int) -> tuple[Iterable[Segment], Style]:
        """See `Scrolling`. Names from a payload reach the terminal only as text."""
        parts = [(printable(text), meaning) for text, meaning in self.row_at(index).parts]
        if index == self.cursor and self.has_focus:
            style = self.base + _CURSOR
            return [Segment(text, style) for text, _ in parts], style
        styled = ((text, self.base + STYLES[meaning]) for text, meaning in parts)
        return [one for text, style in styled for one in self._with_marks(text, style)], self.base

    def _with_marks(self, text: str, style: Style) -> Iterable[Segment]:
        """Yield a text in a style, with what is marked in another one."""
        at = 0
        for found in self._marked.finditer(text) if self._marked is not None else ():
            yield Segment(text[at : found.start()], style)
            yield Segment(found[0], style + MARKED)
            at = found.end()
        yield Segment(text[at:], style)

    # Keys and the mouse

    def action_cursor(self, rows: int) -> None:
        """Move the cursor up (negative) or down."""
        self.move_to(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by the number of visible rows."""
        self.move_to(self.cursor + pages * max(1, self.content_size.height - 1))

    def action_edge(self, direction: int) -> None:
        """Move the cursor to the first row (-1) or the last (1)."""
        self.move_to(0 if direction < 0 else self.count - 1)

    def action_sideways(self, columns: int) -> None:
        """Scroll left or right, as far as the longest visible row needs."""
        rows = (self.row_at(index) for index in self.in_sight if index < self.count)
        most = max((len(row.text) for row in rows), default=0) - self.content_size.width + 1
        self.go(x=max(0, min(self.scroll_offset.x + columns, most)))

    def action_next_title(self) -> None:
        """Move the cursor to the next heading; after the last one, to the first."""
        count = self.count
        for distance in range(1, min(count, _MAX_SEARCHED) + 1):
            index = (self.cursor + distance) % count
            parts = self.row_at(index).parts
            if parts and parts[0][1] is Meaning.TITLE:
                self.move_to(index)
                return

    def action_follow(self) -> None:
        """Go to the target of the row."""
        self.post_message(self.Followed(self, self.target))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on the row; a double click follows it."""
        offset = event.get_content_offset(self)
        if offset is None or self.is_on_bar(event):
            return
        index = self.scroll_offset.y + offset.y
        if index < self.count:
            self._put_cursor(index)
            if event.chain >= 2:
                self.action_follow()

    def on_focus(self) -> None:
        """Draw the cursor."""
        self.redraw_row(self.cursor)

    def on_blur(self) -> None:
        """Erase the cursor."""
        self.redraw_row(self.cursor)

    def on_resize(self) -> None:
        """Keep the cursor visible."""
        self.call_after_refresh(self._scroll_to_cursor)

    def _scroll_to_cursor(self) -> None:
        """Scroll so that the cursor is a third from the top, whether the rows or the size are set first."""
        self.go(y=max(0, self.cursor - self.content_size.height // 3))


def _row(view: View, index: int) -> Row | None:
    return view.rows[index] if index < len(view.rows) else None
