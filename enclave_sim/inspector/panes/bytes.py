"""Memory as bytes on the screen."""

from collections.abc import Callable
from functools import partial

from enclave_sim.inspector.model.hexadecimal import bytes_view
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
W asks who wrote the row's bytes last: the answer stands behind the row.
w watches them."""

    address: int | None = None
    """What to show; the stack where None."""

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return partial(bytes_view, address=self.address)
