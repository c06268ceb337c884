"""The pane with the linear address space."""

from collections.abc import Callable

from enclave_sim.inspector.model.machine.address_space import address_space_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane


class AddressSpacePane(Pane):
    """The mapped ranges, with the rights of both rings."""

    NAME, TITLE, TAB, KEY = "space", "Address space", "Map", ";"
    HELP = """The linear address space in order of address: what is mapped where, what
ring 0 and ring 3 may do there now (r, w, x), and in which ranges RIP and
RSP are. Ring 0 has a blue field, ring 3 an orange one, and --- means that
the ring may do nothing there. Ranges without a page are shown, too.
Enter shows the bytes; w watches a range; b breaks at its first byte."""
    FOOTER = "Enter bytes  w watch"
    FOLLOWS = "show the code or bytes of the range"

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return address_space_view
