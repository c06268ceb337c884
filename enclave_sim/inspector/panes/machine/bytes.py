"""Memory as bytes on the screen."""

from collections.abc import Callable
from functools import partial

from textual.message import Message

from enclave_sim.inspector.model.machine.hexadecimal import HexRows, bytes_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane


class BytesPane(Pane):
    """Bytes of physical memory, and who wrote them."""

    NAME, TITLE, KEY = "bytes", "Bytes", "8"
    HELP = """Physical memory, sixteen bytes a row, with their ASCII. * marks rows
that changed since the last stop.
a asks for an address, symbol or region to show; it stays until another
is asked for. At first that is the stack.
Who wrote the row under the cursor last is looked for while nothing else
is asked for, and stands in the title and behind the row; W asks for it.
w watches them."""

    address: int | None = None
    """What to show; the stack where None."""
    _looking = False
    """Whether the last writer of the row under the cursor is being looked for."""

    class Moved(Message):
        """Another row is under the cursor."""

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return partial(bytes_view, address=self.address)

    def look(self) -> bool:
        """Whether the last writer of the row under the cursor is to be looked for, which is said then."""
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
