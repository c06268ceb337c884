"""The boot phases on the screen."""

from collections.abc import Callable

from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.phases import phase_view
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane


class PhasesPane(Pane):
    """Timeline of the boot phases, annihilation, and the status word."""

    NAME, TITLE, KEY = "phases", "Phases", "2"
    HELP = """The four boot phases, each with the target state that the kernel has to
check before the next begins, then the steps of annihilation, and the
status word bit by bit.
+ done    > under way    . still to come
Enter on a row goes to that moment. p and P go from phase to phase."""

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return phase_view
