"""Serial input for `enclave-sim boot`: keys, or the content of a recording.

Keys arrive between slices of virtual time. While only a key can wake the kernel, time stands still. Each key is
recorded with its time, so that the run can be repeated.
"""

import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from enclave_sim.cli.signals import LAST_ACTS
from enclave_sim.enclave.kernel.serial_input import typed_in
from enclave_sim.errors import ConfigurationError
from machine.host_limit import is_reached
from machine.machine import Outcome

if TYPE_CHECKING:
    from enclave_sim.enclave.kernel.bare_kernel import BareKernel

_SLICE_NS = 1_000_000
_WAIT_S = 0.1
"""The interval between checks of the host limit while the kernel waits, in host seconds."""
_MAX_BYTES = 4096


def recorded(path: str) -> tuple[tuple[int, bytes], ...]:
    """Return the serial input of a recorded run. Raises RecordingError or ConfigurationError."""
    from enclave_sim.recording.reader import read_events  # noqa: PLC0415

    return typed_in(read_events(Path(path)))


def run_with_keys(kernel: "BareKernel", timeout_ns: int | None) -> Outcome:
    """Run a kernel to its end, with standard input as serial input.

    Args:
        kernel: The kernel.
        timeout_ns: Virtual time at which to stop, or None.

    Returns: The reason for the end, or STOPPED if standard input ended first.

    Raises:
        ConfigurationError: Standard input is closed.
    """
    machine = kernel.machine
    with _keys() as read:
        while True:
            now_ns = machine.clock.now_ns
            outcome = kernel.advance(now_ns + _SLICE_NS if timeout_ns is None else min(now_ns + _SLICE_NS, timeout_ns))
            over = timeout_ns is not None and machine.clock.now_ns >= timeout_ns
            halted = outcome is Outcome.HALTED and not machine.waits
            if kernel.exit_status is not None or halted or outcome is Outcome.SHUTDOWN or over:
                return outcome
            data = read(_WAIT_S if machine.waits else 0)
            while data == b"" and machine.waits and not is_reached():
                data = read(_WAIT_S)
            if data is None:
                return Outcome.STOPPED
            if data:
                kernel.serial_input.receive(data)


@contextmanager
def _keys() -> Iterator[Callable[[float], bytes | None]]:
    """A scope in which a terminal delivers each key at once, without echo.

    Yields:
        A function that waits for up to the given seconds and returns the input: empty if there was none, None at the
        end.
    """
    if sys.stdin is None:
        raise ConfigurationError("--serial stdio needs standard input, which is closed")
    descriptor = sys.stdin.fileno()

    def read(timeout_s: float) -> bytes | None:
        if not select.select([descriptor], [], [], timeout_s)[0]:
            return b""
        try:
            return os.read(descriptor, _MAX_BYTES) or None
        except OSError as error:
            raise ConfigurationError(f"cannot read standard input: {error.strerror}") from None

    if not os.isatty(descriptor):
        yield read
        return
    import termios  # noqa: PLC0415

    before = termios.tcgetattr(descriptor)
    raw = termios.tcgetattr(descriptor)
    raw[0] &= ~(termios.ICRNL | termios.INLCR | termios.IGNCR | termios.IXON | termios.ISTRIP)
    raw[3] &= ~(termios.ICANON | termios.ECHO)
    restore = partial(termios.tcsetattr, descriptor, termios.TCSANOW, before)
    LAST_ACTS.append(restore)
    termios.tcsetattr(descriptor, termios.TCSADRAIN, raw)
    try:
        yield read
    finally:
        restore()
        LAST_ACTS.remove(restore)
