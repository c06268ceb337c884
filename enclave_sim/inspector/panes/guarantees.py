"""Guarantees on the screen, and the verification that runs in the background."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType

from enclave_sim.inspector.model.guarantees import Verification, guarantee_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.session.verification_thread import Verifying


class GuaranteesPane(Pane):
    """Checks of this moment, and the reports of a verification."""

    NAME, TITLE, KEY = "guarantees", "Guarantees", "="
    HELP = """Above, what can be said of this run so far: scrubs read back, latency of
wakes, page tables, the locked architecture, evidence, residue. Below,
the reports of a verification: every guarantee of the enclave, judged by
runs of its own, in the background, while you go on. V begins it, and
cancels it while it goes on."""
    BINDINGS: ClassVar[list[BindingType]] = [Binding("V", "verify", "verify all guarantees", show=False)]

    def __init__(self) -> None:
        super().__init__()
        self._verification = Verification()
        self._verifying: Verifying | None = None

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return partial(guarantee_view, verification=self._verification)

    def action_verify(self) -> None:
        """Begin, or cancel."""
        if self._verifying is not None and self._verifying.goes_on:
            self._verifying.cancel()
            return
        self.post_message(self.Verifies())

    class Verifies(Pane.Asks):
        """The user wants a verification."""

    def begin(self, verifying: Verifying) -> None:
        """Follow a verification."""
        self._verifying = verifying

        def tell(state: Verification) -> None:
            self.post_message(self.Progress(state))

        verifying.start(tell)

    class Progress(Pane.Asks):
        """A verification got further."""

        def __init__(self, state: Verification) -> None:
            super().__init__()
            self.state = state

    def on_guarantees_pane_progress(self, message: Progress) -> None:
        """Show it."""
        self._verification = message.state
        self.post_message(self.Asks())

    def on_unmount(self) -> None:
        """Nobody looks any more."""
        if self._verifying is not None:
            self._verifying.cancel()
