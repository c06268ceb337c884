"""Scrolling rows.

Only changed visible rows are drawn. The bar at the right edge is part of the rows. Textual's own bar is a widget: it is
laid out again whenever the number of rows changes, and redrawn completely whenever anything scrolls, which takes longer
than everything else in a step.
"""

from collections.abc import Iterable

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from enclave_sim.recording.text import printable

_WIDEST = 1000
"""The maximum number of characters of a row."""
_BAR, _NO_BAR = "▐", " "


class Scrolling(ScrollView):
    """Scrolls rows. A subclass draws a row with `line`."""

    def __init__(self, name: str) -> None:
        super().__init__(id=name)
        self.count = 0
        """The number of rows."""
        self.base = Style()
        """The style of plain text."""
        self._bar = range(0)
        self._title = ""

    def line(self, index: int) -> tuple[Iterable[Segment], Style]:
        """Return the segments of a row, and the style of the rest of its line."""
        raise NotImplementedError

    @property
    def in_sight(self) -> range:
        """The indices of the visible rows, even if there are fewer rows."""
        top = self.scroll_offset.y
        return range(top, top + self.content_size.height)

    def set_title(self, title: str) -> None:
        """Set the title in the border."""
        if title != self._title:
            self._title = title
            text = self.render_str(printable(title).replace("[", "\\["))
            self._border_title = text  # setting `border_title` would redraw all rows
            self.refresh(Region(0, -1, self.size.width, 1))

    def set_count(self, count: int) -> None:
        """Set the number of rows."""
        self.count = count
        self.set_reactive(Scrolling.virtual_size, Size(_WIDEST, count))  # causes no new layout; none is needed
        self.scroll_y = self.validate_scroll_y(self.scroll_y)
        self.scroll_target_y = self.validate_scroll_target_y(self.scroll_target_y)
        for y in set(self._bar) ^ set(self._bar_now()):
            self.redraw_row(self.scroll_offset.y + y)

    def redraw_row(self, index: int) -> None:
        """Redraw a row, if visible."""
        if index in self.in_sight:
            self.refresh(Region(0, index - self.scroll_offset.y, self.size.width, 1))

    def go(self, x: int | None = None, y: int | None = None) -> None:
        """Scroll to a column or row immediately."""
        self.scroll_to(x=x, y=y, animate=False, immediate=True, force=True)

    def render_lines(self, crop: Region) -> list[Strip]:
        """See `Widget`."""
        self.base = self.rich_style  # read once, because it takes as long as drawing a row
        self._bar = self._bar_now()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Return a visible row, with its part of the bar."""
        left, top = self.scroll_offset
        width = self.content_size.width - 1
        segments, style = self.line(top + y) if top + y < self.count else ((), self.base)
        bar = Segment(_BAR if y in self._bar else _NO_BAR, self.base)
        return Strip([*Strip(segments).crop_extend(left, left + width, style), bar], width + 1)

    def _bar_now(self) -> range:
        """Return the lines with the bar; none if all rows are visible."""
        height = self.content_size.height
        if not 0 < height < self.count:
            return range(0)
        length = max(1, height * height // self.count)
        start = round(self.scroll_offset.y * (height - length) / (self.count - height))
        return range(start, start + length)

    # The mouse on the bar

    def is_on_bar(self, event: events.MouseEvent) -> bool:
        """Return whether the mouse is on the bar."""
        offset = event.get_content_offset(self)
        return offset is not None and offset.x == self.content_size.width - 1

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Grab the bar."""
        if self.is_on_bar(event):
            self.capture_mouse()
            self.on_mouse_move(event)

    def on_mouse_move(self, event: events.MouseEvent) -> None:
        """Drag the bar."""
        if self.app.mouse_captured is self:
            height = max(2, self.content_size.height)
            y = max(0, min(event.get_content_offset_capture(self).y, height - 1))
            self.go(y=round(self.max_scroll_y * y / (height - 1)))

    def on_mouse_up(self) -> None:
        """Release the bar."""
        self.release_mouse()
