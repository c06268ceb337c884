"""Places in a module, as text: functions by name and index, instructions by their offset in the function."""

from functools import lru_cache

from enclave_sim.payload.wasm.disassembler import first_instruction, read_instruction
from enclave_sim.payload.wasm.names import function_names
from enclave_sim.payload.wasm.sections import Body, bodies

_LONGEST_NAME = 60


# Few modules are needed at a time: several only if payloads take turns.
@lru_cache(maxsize=8)
def bodies_of(module: bytes) -> dict[int, Body]:
    """Return the bodies of a module's functions by function index."""
    return {body.function: body for body in bodies(module)}


@lru_cache(maxsize=8)
def _names(module: bytes) -> dict[int, str]:
    return function_names(module)


def function_name(module: bytes, function: int) -> str:
    """Return the name of a function, or an empty text if it has none."""
    return _names(module).get(function, "")[:_LONGEST_NAME]


def function_text(module: bytes, function: int) -> str:
    """Return name and index of a function."""
    name = function_name(module, function)
    return f"{name} (function {function})" if name else f"function {function}"


def offset_text(module: bytes, function: int, offset: int | None) -> str:
    """Return the place of an instruction in its function. None, or an offset in the locals, is the entry."""
    body = bodies_of(module)[function]
    if offset is None or offset < first_instruction(module, body):
        return "at its entry"
    return f"at +{offset - body.start:#x}"


def store_text(module: bytes, offset: int | None) -> str:
    """Describe the writer of some memory of a guest.

    Args:
        module: The module of the guest.
        offset: The offset of the instruction in the module; None for the data segments.

    Returns:
        The writer by function, offset and name, such as `the guest: _start (function 1) at +0x9, i32.store`.
    """
    if offset is None:
        return "the guest: its data segments"
    function = next(body.function for body in bodies_of(module).values() if body.start <= offset < body.end)
    name = read_instruction(module, offset)[0]
    return f"the guest: {function_text(module, function)} {offset_text(module, function, offset)}, {name}"
