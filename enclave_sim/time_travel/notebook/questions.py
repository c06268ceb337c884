"""The questions of a notebook: a line of text, answered by a run in a few lines of text.

A motion is a question, too: its answer is the position reached. Equal runs give equal answers.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any

from enclave_sim.cancellation import Cancelled
from enclave_sim.errors import ConfigurationError, EnclaveError
from enclave_sim.recording.event_text import event_line
from enclave_sim.recording.text import one_line, plural, printable
from enclave_sim.time_travel.link import SCHEME, follow_link
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.travel import Travel
from enclave_sim.times import nanoseconds
from machine.architecture.processor_state import GENERAL_REGISTERS
from machine.errors import MachineError

LONGEST = 500
"""The maximum number of characters of a question."""
_MOST_LINES, _MOST_BYTES, _MOST_STEPS, _FEW = 200, 256, 1_000_000, 10
_REGISTERS = (*GENERAL_REGISTERS, "rip")
_ALONE = (
    *("step_over", "back_over", "step_out", "back_out", "next_line", "previous_line"),
    *("next_transition", "previous_transition", "next_host_call", "previous_host_call"),
    *("next_phase", "previous_phase", "resume", "reverse_resume"),
)
"""Motions without arguments: methods of `Travel`."""
_Run = Travel[Any]


class QuestionError(ConfigurationError):
    """A text is not a question."""


def answer(run: _Run, question: str) -> str:
    """Ask a run a question.

    Args:
        run: The run. A motion moves it.
        question: The question, on one line.

    Returns:
        The answer: at least one line, each printable and not blank. If the run cannot do what is asked, the answer
        begins with `error: `.

    Raises:
        QuestionError: The text is not a question.
        Cancelled: The token of the run was cancelled.
    """
    if len(question) > LONGEST:
        raise QuestionError(f"a question has at most {LONGEST} characters, and this one {len(question):,}")
    name, *words = question.split() or [""]
    ask = _QUESTIONS.get(name)
    if ask is None:
        raise QuestionError(f"{_short(name)} is not a question; there are {', '.join(_QUESTIONS)}")
    try:
        text = ask(run, words)
    except (QuestionError, Cancelled):
        raise
    except (EnclaveError, MachineError) as error:
        text = f"error: {one_line(str(error))}"
    return "\n".join(islice(map(_line, filter(str.strip, text.splitlines())), _MOST_LINES)) or "nothing"


def here(run: _Run) -> str:
    """Return the position of a run, with what is executed there, in one line."""
    machine = run.machine
    rip = machine.cpu.linear_rip
    end = f", {run.subject.ended}" if run.subject.ended else ", halted" if machine.halted else ""
    where = f"{run.program.symbol(rip) or f'{rip:#x}'}, {run.line or 'no source'}"
    return f"{run.now}, ring {machine.cpu.registers.cpl}, {where}, {plural(len(run.events), 'event')}{end}"


def _line(text: str) -> str:
    """Return a line of an answer as a notebook can hold it."""
    text = printable(text.rstrip())
    return f" {text}" if text.startswith((">", "```")) else text


def _short(text: str) -> str:
    return repr(one_line(text if len(text) <= 40 else f"{text[:40]}..."))


def _take(name: str, words: list[str], *wanted: str) -> list[str]:
    if len(words) != len(wanted):
        raise QuestionError(f"{name} takes {', '.join(wanted) or 'nothing'}")
    return words


def _number(text: str, most: int = (1 << 64) - 1) -> int:
    try:
        found = int(text, 0)
    except ValueError:
        found = -1
    if not 0 <= found <= most:
        raise QuestionError(f"{_short(text)} is not a number from 0 to {most:,}")
    return found


def _count(words: list[str], usual: int, most: int) -> int:
    return _number(_take("a count", words, "N")[0], most) if words else usual


def _motion(name: str) -> Callable[[_Run, list[str]], str]:
    def ask(run: _Run, words: list[str]) -> str:
        _take(name, words)
        getattr(run, name)()
        return here(run)

    return ask


def _steps(name: str) -> Callable[[_Run, list[str]], str]:
    def ask(run: _Run, words: list[str]) -> str:
        getattr(run, name)(_count(words, 1, _MOST_STEPS))
        return here(run)

    return ask


def _search(name: str) -> Callable[[_Run, list[str]], str]:
    def ask(run: _Run, words: list[str]) -> str:
        (goal,) = _take(name, words, "event=KIND, symbol=NAME, address=N or at_ns=TIME")
        kind, _, value = goal.partition("=")
        if kind not in ("event", "symbol", "address", "at_ns"):
            raise QuestionError(f"{name} takes event=KIND, symbol=NAME, address=N or at_ns=TIME")
        goals: dict[str, Any] = {kind: value}
        if kind == "address":
            goals[kind] = _number(value)
        elif kind == "at_ns":
            goals[kind] = _time(value)
        getattr(run, name)(**goals)
        return here(run)

    return ask


def _time(text: str) -> int:
    try:
        return nanoseconds(text)
    except ConfigurationError as error:
        raise QuestionError(str(error)) from None


def _go_to(run: _Run, words: list[str]) -> str:
    (text,) = _take("go_to", words, "a position, such as 1345126 or 1345126+1, or a link")
    if text.startswith(SCHEME):
        follow_link(run, text)
        return here(run)
    at_ns, _, step = text.partition("+")
    run.go_to(Position(_number(at_ns, 1 << 62), _number(step or "0", 1 << 30)))
    return here(run)


def _where(run: _Run, words: list[str]) -> str:
    _take("where", words)
    return here(run)


def _registers(run: _Run, words: list[str]) -> str:
    for name in words:
        if name not in _REGISTERS:
            raise QuestionError(f"{_short(name)} is not a register; there are {', '.join(_REGISTERS)}")
    registers = run.machine.cpu.registers
    return "\n".join(f"{name} {getattr(registers, name):#x}" for name in words or _REGISTERS)


def _memory(run: _Run, words: list[str]) -> str:
    at, size = _take("memory", words, "a physical address", "a number of bytes")
    base, count = _number(at), _number(size, _MOST_BYTES)
    if base + count > run.machine.ram.size:
        raise QuestionError(f"{count} bytes at {base:#x} are not all RAM")
    data = run.machine.ram.read(base, count)
    return "\n".join(f"{base + row:#010x} {data[row : row + 16].hex(' ')}" for row in range(0, count, 16))


def _last_write(run: _Run, words: list[str]) -> str:
    at, size = _take("last_write", words, "a physical address", "a number of bytes")
    return str(run.last_write(_number(at), _number(size)) or "not written since power-on")


def _last_register_write(run: _Run, words: list[str]) -> str:
    (name,) = _take("last_register_write", words, "a register")
    return str(run.last_register_write(name) or "not written since power-on")


def _calls(run: _Run, words: list[str]) -> str:
    (name,) = _take("calls", words, "a function")
    found = run.calls(name if name in run.program.symbols else _number(name))
    lines = []
    for one in found:
        arguments = ", ".join(f"{parameter} {value:#x}" for parameter, value in one.arguments.items())
        end = "not returned" if one.duration_ns is None else f"returned after {one.duration_ns:,} ns"
        lines.append(f"{one.position}: ({arguments}), {end}")
    return "\n".join(lines)


def _events(run: _Run, words: list[str]) -> str:
    count = _count(words, _FEW, _MOST_LINES)
    return "\n".join(map(event_line, run.events[-count:] if count else ()))


_QUESTIONS: dict[str, Callable[[_Run, list[str]], str]] = {
    "where": _where,
    "registers": _registers,
    "memory": _memory,
    "events": _events,
    "calls": _calls,
    "last_write": _last_write,
    "last_register_write": _last_register_write,
    "go_to": _go_to,
    "run_to": _search("run_to"),
    "reverse_to": _search("reverse_to"),
    "step": _steps("step"),
    "back": _steps("back"),
    **{name: _motion(name) for name in _ALONE},
}
NAMES = tuple(_QUESTIONS)
"""The first words of all questions."""
