"""The pane with the screen of a bare kernel."""

from collections.abc import Callable

from enclave_sim.inspector.model.machine.screen import screen_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane


class ScreenPane(Pane):
    """The text on a VGA."""

    NAME, TITLE, TAB, KEY = "screen", "Screen", "Scr", "'"
    HELP = """What a kernel of your own shows on its VGA in text mode at this moment,
without colours, with the cursor. An enclave has no screen.
Enter shows the cells of a row as bytes, character and attribute by turns;
w stops the run when the row is written, W finds the last write to it."""
    FOOTER = "Enter cells  w watch row  W last write"
    FOLLOWS = "show the cells of the row as bytes"

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return screen_view
