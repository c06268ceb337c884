"""`monitor wasm`: a resident guest by its functions and WebAssembly instructions."""

from collections.abc import Callable, Iterator
from typing import Any

from enclave_sim.errors import ConfigurationError
from enclave_sim.time_travel.navigation.wasm.steps import WasmSteps
from enclave_sim.time_travel.travel import Travel

_MOTIONS: dict[str, Callable[[WasmSteps], object]] = {
    "step": WasmSteps.step,
    "over": WasmSteps.step_over,
    "out": WasmSteps.step_out,
    "back": WasmSteps.back,
    "back-over": WasmSteps.back_over,
    "back-out": WasmSteps.back_out,
}
_USAGE = f"wasm takes nothing, {', '.join(_MOTIONS)}, or to, back-to or break with a function and an offset"


def wasm(session: Travel[Any], arguments: list[str], moved: Callable[[], Iterator[str]]) -> Iterator[str]:
    """Run the command.

    Args:
        session: The run.
        arguments: The words after `wasm`.
        moved: Yields what is said after a motion.

    Yields:
        Lines of output.

    Raises:
        ConfigurationError: The words make no sense, or the machine executes no WebAssembly.
        NoSuchPosition: There is no such position.
    """
    steps = session.wasm
    match arguments:
        case []:
            pass
        case [name] if name in _MOTIONS:
            _MOTIONS[name](steps)
            yield from moved()
        case ["to" | "back-to" as name, function, *offset] if len(offset) < 2:
            (steps.run_to if name == "to" else steps.reverse_to)(_function(function), _offset(offset))
            yield from moved()
        case ["break", function, *offset] if len(offset) < 2:
            yield f"break {steps.gdb_place(_function(function), _offset(offset))}"
            return
        case _:
            raise ConfigurationError(_USAGE)
    state = steps.state
    yield from ["the guest's state is not known here"] if state is None else state.lines()


def _function(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() else text


def _offset(words: list[str]) -> int | None:
    try:
        return int(words[0], 0) if words else None
    except ValueError:
        raise ConfigurationError(f"{words[0]!r} is not an offset in a function, such as +0x9") from None
