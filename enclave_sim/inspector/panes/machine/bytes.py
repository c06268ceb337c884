"""Memory as bytes on the screen."""

from collections.abc import Callable
from functools import partial

from textual.message import Message

from enclave_sim.inspector.model.machine.hexadecimal import HexRows, bytes_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane


class BytesPane(Pane):
    """Bytes of physical memory, and their last writers."""

    NAME, TITLE, TAB, KEY = "bytes", "Bytes", "Hex", "8"
    HELP = """Physical memory, sixteen bytes a row, with their ASCII. * marks rows
that changed since the last stop.
a asks for an address, symbol or region to show, until another one is
asked for. At first it is the stack.
While nothing else is running, the last write to the row under the cursor
is searched for, and shown in the title and after the row; W asks for it.
w watches the row."""
    FOOTER = "a address  w watch  W last write"
    FOLLOWS = "show the bytes from this row on"

    address: int | None = None
    """The physical address to show; None for the stack."""
    _looking = False
    """True while the last writer of the row under the cursor is searched for."""

    class Moved(Message):
        """Another row is under the cursor."""

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return partial(bytes_view, address=self.address)

    def look(self) -> bool:
        """Return whether to search for the last writer of the row under the cursor, and announce it in the title."""
        rows = self.view.rows
        self._looking = isinstance(rows, HexRows) and rows.writer(self.cursor) is None
        self.retitle()
        return self._looking

    def show(self, view: View, *, moved: bool) -> None:
        """See `Pane`."""
        self._looking = False
        super().show(view, moved=moved)

    def remark(self) -> str:
        """See `Pane`."""
        rows = self.view.rows
        writer = rows.writer(self.cursor) if isinstance(rows, HexRows) else None
        return "looking for the last writer ..." if self._looking else "" if writer is None else writer.words

    def _put_cursor(self, index: int) -> None:
        if index != self.cursor:
            self._looking = False
            self.post_message(self.Moved())
        super()._put_cursor(index)
