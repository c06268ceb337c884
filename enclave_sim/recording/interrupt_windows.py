"""Windows of a run in which RFLAGS.IF keeps its value, and their table: one row each, in Apache Parquet.

No event reports CLI, STI, POPF and IRET, so the windows are not part of a recording: a traced replay finds them
(enclave_sim/time_travel/interrupt_replay.py). `first_event` joins them with the table of the events.
"""

from collections.abc import Iterable
from typing import Any, BinaryIO

import msgspec

from enclave_sim.errors import ConfigurationError, installing


class Window(msgspec.Struct, frozen=True):
    """A stretch of a run."""

    enabled: bool
    """RFLAGS.IF: True if external interrupts are taken."""
    begin_ns: int
    """Virtual time at which it begins."""
    begin_step: int
    """The number of the step at this time, as in a position."""
    end_ns: int
    end_step: int
    duration_ns: int
    """Virtual time from the beginning to the end."""
    begun_by: str
    """The cause: `cli`, `sti`, `popf`, `iret`, `syscall`, `sysret`, `sysenter`, `sysexit`; `interrupt`, the delivery of
    one; `input`; `reset`; or `other`, such as a task switch."""
    rip: int | None
    """The linear address of the instruction that began it; None if none did."""
    symbol: str
    """The symbol of the kernel at this address, or an empty string."""
    first_event: int
    """The number of the first event after it begins."""


def table(windows: Iterable[Window]) -> Any:
    """Return the windows as a `pyarrow.Table`, a column for each field.

    Args:
        windows: The windows, in order.

    Returns:
        The table.

    Raises:
        ConfigurationError: pyarrow is not installed.
    """
    try:
        import pyarrow  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise ConfigurationError(f"a table needs the package pyarrow: {installing('arrow')}") from None
    types = {bool: pyarrow.bool_(), str: pyarrow.string(), int: pyarrow.int64(), int | None: pyarrow.uint64()}
    hints = {field.name: field.type for field in msgspec.structs.fields(Window)}
    schema = pyarrow.schema([(name, types[hint]) for name, hint in hints.items()])
    return pyarrow.Table.from_pylist([msgspec.structs.asdict(one) for one in windows], schema=schema)


def write(windows: Iterable[Window], file: BinaryIO) -> None:
    """Write the windows as Parquet. Raises ConfigurationError if pyarrow is not installed."""
    made = table(windows)
    from pyarrow import parquet  # noqa: PLC0415 - an extra

    parquet.write_table(made, file)
