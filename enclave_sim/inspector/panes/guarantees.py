"""Guarantees on the screen, and the background verification."""

from collections.abc import Callable
from functools import partial
from typing import ClassVar

from textual.binding import Binding, BindingType

from enclave_sim.inspector.model.guarantees import Verification, guarantee_view
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import View
from enclave_sim.inspector.panes.pane import Pane
from enclave_sim.inspector.threads.verification_thread import Verifying


class GuaranteesPane(Pane):
    """Checks of this moment, and the reports of a verification."""

    NAME, TITLE, TAB, KEY = "guarantees", "Guarantees", "Proof", "="
    HELP = """Above, checks of this run so far: scrubs read back, latency of wakes,
page tables, the locked architecture, evidence, residue. Below, the
reports of a verification: every guarantee of the enclave, judged by
other runs in the background while you work. V starts it, and cancels it
while it runs."""
    FOOTER = "V verify all  Enter go there"
    FOLLOWS = "go to the event that was judged last"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("V", "verify", "verify all guarantees in the background, or cancel that", show=False)
    ]

    def __init__(self) -> None:
        super().__init__()
        self._verification = Verification()
        self._verifying: Verifying | None = None

    def wish(self) -> Callable[[Moment], View]:
        """See `Pane`."""
        return partial(guarantee_view, verification=self._verification)

    def action_verify(self) -> None:
        """Request a verification, or cancel the running one."""
        if self._verifying is not None and self._verifying.goes_on:
            self._verifying.cancel()
            return
        self.post_message(self.Verifies())

    class Verifies(Pane.Asks):
        """The user requests a verification."""

    def begin(self, verifying: Verifying) -> None:
        """Start a verification, and show its progress."""
        self._verifying = verifying

        def notify(state: Verification) -> None:
            self.post_message(self.Progress(state))

        verifying.start(notify)

    class Progress(Pane.Asks):
        """A new state of the verification."""

        def __init__(self, state: Verification) -> None:
            super().__init__()
            self.state = state

    def on_guarantees_pane_progress(self, message: Progress) -> None:
        """Show the progress of a verification."""
        self._verification = message.state
        self.post_message(self.Asks())

    def on_unmount(self) -> None:
        """Cancel the verification with the screen."""
        if self._verifying is not None:
            self._verifying.cancel()
