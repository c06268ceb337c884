"""The entry point of `enclave-sim`."""

import atexit
import contextlib
import gc
import os
import sys
import threading

from enclave_sim.cli import signals, streams
from enclave_sim.cli.exit_codes import ExitCode

_ALLOCATIONS = 100_000
"""Allocations between two collections of garbage. With Python's 700, imports alone are interrupted by dozens."""


def start() -> None:
    """Run the command line as this process, and leave it at once: Python takes 5 ms to take all modules apart.

    A profiler, and threads that still run, get the usual end.
    """
    try:
        main()
    except SystemExit as ended:
        if sys.getprofile() is None and sys.gettrace() is None and threading.active_count() == 1:
            atexit._run_exitfuncs()
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, streams.OutputLost):
                    stream.flush()
            os._exit(int(ended.code or 0))
        raise


def main() -> None:
    """Run the command line with the process's arguments, and end the process."""
    gc.set_threshold(_ALLOCATIONS)
    if sys.argv[1:2] == ["gdb"] and "--stdio" in sys.argv:
        _receive_gdb()  # it looks for closed streams, and after this there are none
    streams.protect()
    signals.tidy_up_first()
    try:
        try:
            from enclave_sim.cli.app import app  # noqa: PLC0415 - a defect may be met on the way

            app.main()
        finally:
            sys.stdout.flush()
    except streams.OutputLost as error:
        _end(f"error: {error}", ExitCode.USAGE)
    except KeyboardInterrupt:  # before a command has begun
        _end(signals.last_words(), ExitCode.INTERRUPTED)
    except Exception:  # noqa: BLE001 - any other exception is a defect of ours, and shown with its traceback
        import traceback  # noqa: PLC0415

        _end(traceback.format_exc().rstrip(), ExitCode.DEFECT)
    finally:
        signals.end_by_signal()
        gc.freeze()  # otherwise the interpreter spends a fifth of a short run on collecting garbage at exit


def _receive_gdb() -> None:
    """Answer the first packet of a gdb that waits, before anything else is imported."""
    import signal  # noqa: PLC0415

    from enclave_sim.gdb.protocol.reception import standard_reception  # noqa: PLC0415

    reception = standard_reception()
    if reception is not None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # gdb sends Ctrl-C as a byte, and this process ends when gdb does
        reception.begin()


def _end(words: str, code: ExitCode) -> None:
    print(words, file=sys.stderr)
    raise SystemExit(int(code)) from None
