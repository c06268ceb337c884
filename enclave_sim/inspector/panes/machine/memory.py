"""The memory map on the screen."""

from collections.abc import Callable

from enclave_sim.inspector.model.machine.memory import memory_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane


class MemoryPane(Pane):
    """Regions with their live state, and a heat map."""

    NAME, TITLE, TAB, KEY = "memory", "Memory", "Mem", "7"
    HELP = """The regions of the memory map: how they are mapped now (r, w, x; u user
or s supervisor), and whether they are zero, dirty, scrubbed since, or
the measured image. Locked: the page tables grant what the map says and
no more.
Below, one character for each page of 4 KiB, 64 pages a row:
. zero   o zero since a scrub   1-9 in use, in tenths of the page   L in use, read-only
Enter shows the bytes; w watches the region or row of pages."""
    FOOTER = "Enter bytes  w watch"
    FOLLOWS = "show the bytes of the region or row"

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return memory_view
