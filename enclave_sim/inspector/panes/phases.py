"""The boot phases on the screen."""

from collections.abc import Callable

from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.phases import phase_view
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane


class PhasesPane(Pane):
    """Timeline of the boot phases, annihilation, and the status word."""

    NAME, TITLE, TAB, KEY = "phases", "Phases", "Boot", "2"
    HELP = """The four boot phases. The kernel checks the target state of each before
the next begins. After the last one the guest runs, cycle by cycle. Then
come the steps of annihilation, and the bits of the status word.
+ target state reached, or step done    > under way    . not yet
Enter on a row goes to that moment. p and P go from phase to phase."""
    FOOTER = "Enter go there"
    FOLLOWS = "go to the moment of the row"

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return phase_view
