"""The document of a notebook: Markdown with the run, remarks, and blocks of questions with their answers.

    # A walk through a run

    ```enclave-sim-run
    {"kind":"header",...}
    ```

    Who calls first?

    ```enclave-sim
    > run_to event=host_called
    1345126 ns, ring 3, gate, gate.S:16, 53 events
    ```

The run is the header of a recording. It suffices to make the run again, unless that needs answers from outside.
"""

from collections.abc import Iterator
from html import escape

import msgspec

from enclave_sim.errors import ConfigurationError
from enclave_sim.reasons import reason
from enclave_sim.recording.format import Header
from enclave_sim.recording.html_elements import STYLE
from enclave_sim.recording.text import printable

LARGEST = 1 << 26
"""The maximum number of characters of a document: its header may embed payloads."""
MOST = 10_000
"""The maximum number of remarks and questions."""
_FENCE, _RUN, _ASKED, _PROMPT = "```", "```enclave-sim-run", "```enclave-sim", "> "
_TITLE = "A walk through a run"
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
<title>{title}</title>
<style>{style}.aether pre {{ overflow-x: auto; }}</style>
</head>
<body>
<div class="aether">
{body}
</div>
</body>
</html>
"""


class NotebookError(ConfigurationError):
    """A text is not a notebook, or its run cannot be made here."""


class Question(msgspec.Struct, frozen=True):
    """A question and its answer."""

    question: str
    """One line."""
    answer: str
    """Lines that do not begin with `>` or a fence."""


class Notebook(msgspec.Struct, frozen=True):
    """A notebook. A text among the entries is a remark: Markdown without fences at the beginning of a line."""

    header: Header
    """The header of a recording of the run."""
    entries: list[Question | str] = []
    title: str = _TITLE

    @property
    def questions(self) -> list[Question]:
        """The questions, in order."""
        return [one for one in self.entries if isinstance(one, Question)]

    def markdown(self) -> str:
        """Return the document as Markdown, which `read` reads.

        Returns:
            The text.
        """
        parts = [f"# {' '.join(self.title.split())}", f"{_RUN}\n{msgspec.json.encode(self.header).decode()}\n{_FENCE}"]
        for one in self.entries:
            if isinstance(one, Question):
                parts.append(f"{_ASKED}\n{_PROMPT}{one.question}\n{one.answer}\n{_FENCE}")
            else:
                parts.append(_remark(one))
        return "\n\n".join(parts) + "\n"

    def html(self) -> str:
        """Return the document as a page without scripts or external references, for people.

        Returns:
            The text.
        """
        body = [f"<h1>{escape(printable(self.title))}</h1>"]
        for one in self.entries:
            if isinstance(one, Question):
                asked, told = escape(printable(one.question)), escape(one.answer)
                body.append(f"<pre><b>&gt; {asked}</b>\n{told}</pre>")
            else:
                body += [f"<p>{escape(printable(' '.join(part.split())))}</p>" for part in one.split("\n\n")]
        return _PAGE.format(title=escape(printable(self.title)), style=STYLE, body="\n".join(body))

    @classmethod
    def read(cls, text: str) -> "Notebook":
        """Read a document.

        Args:
            text: The Markdown, which may have been edited.

        Returns:
            The notebook.

        Raises:
            NotebookError: The text is not a notebook; the message names the line.
        """
        if len(text) > LARGEST:
            raise NotebookError(f"a notebook has at most {LARGEST:,} characters, and this one {len(text):,}")
        header: Header | None = None
        title, prose = _TITLE, list[str]()
        entries: list[Question | str] = []
        lines = enumerate(text.split("\n"), start=1)
        for number, line in lines:
            opening = line.rstrip()
            if opening not in (_RUN, _ASKED):
                if header is None and line.startswith("# "):
                    title = line[2:].strip()
                else:
                    prose.append(line)
                continue
            entries += _prose(prose)
            prose.clear()
            block = _block(number, lines)
            if opening == _ASKED:
                entries += _questions(number, block)
            elif header is not None:
                raise NotebookError(f"line {number}: a notebook has one run")
            else:
                header = _header(number, block)
        entries += _prose(prose)
        if header is None:
            raise NotebookError(f"it is not a notebook: it has no block {_RUN}")
        if len(entries) > MOST:
            raise NotebookError(f"a notebook has at most {MOST:,} remarks and questions, and this one {len(entries):,}")
        return cls(header, entries, title)


def _remark(text: str) -> str:
    return "\n".join(f" {line}" if line.startswith(_FENCE) else line for line in text.split("\n"))


def _prose(lines: list[str]) -> list[str]:
    text = "\n".join(lines).strip("\n")
    return [text] if text.strip() else []


def _block(number: int, lines: Iterator[tuple[int, str]]) -> list[str]:
    """Return the lines up to the end of a block."""
    block: list[str] = []
    for _, line in lines:
        if line.rstrip() == _FENCE:
            return block
        block.append(line)
    raise NotebookError(f"line {number}: this block has no end")


def _header(number: int, block: list[str]) -> Header:
    try:
        return msgspec.json.decode("\n".join(block), type=Header)
    except (ValueError, RecursionError, ConfigurationError) as error:
        raise NotebookError(f"line {number + 1}: not the header of a recording: {reason(error)}") from None


def _questions(number: int, block: list[str]) -> Iterator[Question]:
    question, told = "", list[str]()
    for line in block:
        if line.startswith(_PROMPT):
            if question:
                yield Question(question, "\n".join(told))
            question, told = line[len(_PROMPT) :].strip(), []
        elif line.strip():
            told.append(line)
    if not question or (block and not block[0].startswith(_PROMPT)):
        raise NotebookError(f"line {number + 1}: a block begins with a question, after {_PROMPT.strip()!r}")
    yield Question(question, "\n".join(told))
