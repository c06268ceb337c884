"""The screens over the panes: a question, a page of text, and a choice."""

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from enclave_sim.recording.text import printable


class Question(ModalScreen[str | None]):
    """Asks for one line of text. The result is the line, or None after Escape.

    Args:
        asked: The heading.
        help_text: The text below the line.
        initial: The initial text in the line. The first key replaces it.
        beginning: Keep the initial text, as the beginning of the line.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel", show=False)]

    def __init__(self, asked: str, help_text: str, initial: str = "", *, beginning: bool = False) -> None:
        super().__init__()
        self._asked, self._help, self._initial, self._beginning = asked, help_text, initial, beginning
        self._ahead: list[events.Key] = []
        self._has_line = False

    def compose(self) -> ComposeResult:
        """See `Screen`."""
        with Vertical(classes="dialog"):
            yield Static(self._asked, classes="asked", markup=False)
            question = Input(self._initial, compact=True, select_on_focus=not self._beginning)
            question.cursor_blink = False
            yield question
            yield Static(self._help, markup=False)

    def on_mount(self) -> None:
        """Put what was typed ahead into the line."""
        self._has_line = True
        for event in self._ahead:
            self.take(event)

    def take(self, event: events.Key) -> bool:
        """Take a key that was typed before the line had the focus, because keys may come all at once; and Enter.

        Returns:
            False if it is not for the line.
        """
        if event.key != "enter" and not event.is_printable:
            return False
        if not self._has_line:
            self._ahead.append(event)
            return True
        line = self.query_one(Input)
        if event.key == "enter":
            self.dismiss(line.value)
        else:
            if line.select_on_focus and line.value == self._initial:
                line.clear()
                line.select_on_focus = False  # the focus comes later, and must not select this
            line.insert_text_at_cursor(event.character or "")
        return True

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Close with the line as the result."""
        self.dismiss(event.value)


class Page(ModalScreen[None]):
    """Shows a page of text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss(None)", "close", show=False)
    ]

    def __init__(self, heading: str, text: str) -> None:
        super().__init__()
        self._heading, self.text = heading, text

    def compose(self) -> ComposeResult:
        """See `Screen`."""
        with VerticalScroll(classes="dialog page"):
            yield Static(self._heading, classes="asked", markup=False)
            yield Static(self.text, markup=False)
            yield Static("Escape closes this.", markup=False)


class Choice(ModalScreen[int | None]):
    """Asks for one of several choices. The result is its index, or None after Escape."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "cancel", show=False)]

    def __init__(self, asked: str, choices: list[str]) -> None:
        super().__init__()
        self._asked, self._choices = asked, choices

    def compose(self) -> ComposeResult:
        """See `Screen`."""
        with Vertical(classes="dialog"):
            yield Static(self._asked, classes="asked", markup=False)
            yield OptionList(*(Option(printable(words)) for words in self._choices), markup=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Close with the index of the choice as the result."""
        self.dismiss(event.option_index)
