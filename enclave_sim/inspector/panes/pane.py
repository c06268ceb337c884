"""A pane: rows of a view with a cursor. Only rows in sight are made and drawn, however many there are."""

from collections.abc import Callable
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from enclave_sim.inspector.look import STYLES
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import NOWHERE, Meaning, Row, Target, View

_LOOKED_AT = 2000
"""So many rows are gone through for the next heading."""
_WIDEST = 1000
"""Characters of a row."""
_CURSOR = Style(reverse=True, bold=True)


class Pane(ScrollView, can_focus=True):
    """Shows what `model` makes. Subclasses say what that is."""

    NAME: ClassVar[str]
    TITLE: ClassVar[str]
    KEY: ClassVar[str]
    HELP: ClassVar[str]
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor(-1)", "up", show=False),
        Binding("down,j", "cursor(1)", "down", show=False),
        Binding("pageup", "page(-1)", "page up", show=False),
        Binding("pagedown,space", "page(1)", "page down", show=False),
        Binding("home", "edge(-1)", "first row", show=False),
        Binding("end", "edge(1)", "last row", show=False),
        Binding("left", "sideways(-8)", "left", show=False),
        Binding("right", "sideways(8)", "right", show=False),
        Binding("v", "next_title", "next heading", show=False),
        Binding("enter", "follow", "follow the row", show=False),
    ]

    class Followed(Message):
        """The user wants to go where a row points."""

        def __init__(self, pane: "Pane", target: Target) -> None:
            super().__init__()
            self.pane = pane
            self.target = target

    class Asks(Message):
        """The pane wants to show something else."""

    def __init__(self) -> None:
        super().__init__(id=self.NAME)
        self.view = View(())
        self.cursor = 0
        self._about = ""
        self._base = Style()
        self.border_title = f"{self.KEY} {self.TITLE}"

    def wish(self) -> Callable[[Moment], View]:
        """What makes the view, with all that the user has chosen here."""
        raise NotImplementedError

    @property
    def target(self) -> Target:
        """What the row under the cursor stands for."""
        return self.row_at(self.cursor).target if self.view.rows else NOWHERE

    def row_at(self, index: int) -> Row:
        """A row of the view."""
        return self.view.rows[index]

    def show(self, view: View, *, moved: bool) -> None:
        """Take a new view. Where the run has moved, or another thing is shown, the cursor goes where the view says.

        Only rows in sight that are others than before are drawn again.
        """
        before, self.view = self.view, view
        rows = view.rows
        self._count(len(rows))
        about = f"{self.KEY} {self.TITLE}  {view.subtitle}".rstrip().replace("[", "\\[")
        if about != self._about:
            self._about = about
            self._border_title = self.render_str(about)
            self.refresh(Region(0, -1, self.size.width, 1))
        self.cursor = min(self.cursor, max(0, len(rows) - 1))
        is_other = (view.here, view.subtitle) != (before.here, before.subtitle)
        if view.here is not None and (moved or is_other):
            self.move_to(view.here)
        self._redraw(before)

    def _count(self, rows: int) -> None:
        """So many rows can be scrolled through. The scrollbar is always there: nothing has to be laid out anew."""
        size = Size(_WIDEST, rows)
        if size == self.virtual_size:
            return
        self.set_reactive(Pane.virtual_size, size)
        self.vertical_scrollbar.window_virtual_size = rows
        self.scroll_y = self.validate_scroll_y(self.scroll_y)
        self.scroll_target_y = self.validate_scroll_target_y(self.scroll_target_y)

    def _redraw(self, before: View) -> None:
        """Draw the rows in sight again that are not as they were."""
        region = self.scrollable_content_region
        top = self.scroll_offset.y
        for y in range(region.height):
            now, old = (_row(view, top + y) for view in (self.view, before))
            if now != old:
                self._redraw_row(top + y)

    def _redraw_row(self, index: int) -> None:
        y = index - self.scroll_offset.y
        if 0 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def move_to(self, index: int) -> None:
        """Put the cursor on a row, and that row in sight."""
        self._redraw_row(self.cursor)
        self.cursor = max(0, min(index, len(self.view.rows) - 1))
        height = max(1, self.scrollable_content_region.height)
        top = round(self.scroll_target_y)
        if not top <= self.cursor < top + height:
            above, below = top - self.cursor, self.cursor - (top + height - 1)
            near = self.cursor if above > 0 else self.cursor - height + 1
            goal = near if max(above, below) == 1 else self.cursor - height // 3
            self.scroll_to(y=max(0, goal), animate=False, immediate=True, force=True)
        self._redraw_row(self.cursor)

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows in sight that are to be drawn again."""
        self._base = self.rich_style  # as good as a row takes to be drawn, and the same for all
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """One row in sight."""
        scroll_x, scroll_y = self.scroll_offset
        index, width = scroll_y + y, self.scrollable_content_region.width
        if index >= len(self.view.rows):
            return Strip.blank(width, self._base)
        base = self._base
        parts = self.row_at(index).parts
        if index == self.cursor and self.has_focus:
            style = base + _CURSOR
            return Strip([Segment(text, style) for text, _ in parts]).crop_extend(scroll_x, scroll_x + width, style)
        segments = [Segment(text, base + STYLES[meaning]) for text, meaning in parts]
        return Strip(segments).crop_extend(scroll_x, scroll_x + width, base)

    # Keys and the mouse

    def action_cursor(self, rows: int) -> None:
        """Up or down."""
        self.move_to(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        """Up or down by what is in sight."""
        self.move_to(self.cursor + pages * max(1, self.scrollable_content_region.height - 1))

    def action_edge(self, direction: int) -> None:
        """To the first row or the last."""
        self.move_to(0 if direction < 0 else len(self.view.rows) - 1)

    def action_sideways(self, columns: int) -> None:
        """Left or right, as far as the longest row in sight goes."""
        width, height = self.scrollable_content_region.size
        top = self.scroll_offset.y
        in_sight = range(top, min(top + height, len(self.view.rows)))
        most = max((len(self.row_at(index).text) for index in in_sight), default=0) - width
        x = max(0, min(self.scroll_offset.x + columns, most))
        self.scroll_to(x=x, animate=False, immediate=True, force=True)

    def action_next_title(self) -> None:
        """To the next heading in the pane, around the end."""
        count = len(self.view.rows)
        for distance in range(1, min(count, _LOOKED_AT) + 1):
            index = (self.cursor + distance) % count
            parts = self.row_at(index).parts
            if parts and parts[0][1] is Meaning.TITLE:
                self.move_to(index)
                return

    def action_follow(self) -> None:
        """Go where the row points."""
        self.post_message(self.Followed(self, self.target))

    def on_click(self, event: events.Click) -> None:
        """Put the cursor there; a second click follows the row."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        index = self.scroll_offset.y + offset.y
        if index < len(self.view.rows):
            self._redraw_row(self.cursor)
            self.cursor = index
            self._redraw_row(index)
            if event.chain >= 2:
                self.action_follow()

    def on_focus(self) -> None:
        """Draw the cursor."""
        self._redraw_row(self.cursor)

    def on_blur(self) -> None:
        """Draw no cursor."""
        self._redraw_row(self.cursor)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self.call_after_refresh(self._scroll_to_cursor)

    def _scroll_to_cursor(self) -> None:
        """The cursor a third from above, wherever it was: what comes first, rows or size, must make no difference."""
        height = max(1, self.scrollable_content_region.height)
        self.scroll_to(y=max(0, self.cursor - height // 3), animate=False, immediate=True, force=True)


def _row(view: View, index: int) -> Row | None:
    return view.rows[index] if index < len(view.rows) else None
