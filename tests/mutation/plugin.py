"""Pytest plugin for the tests that are held against a mutant: no other machine, and the same examples each time."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

TIMES = "MUTATION_TIMES"
"""Environment variable for `contexts.py`: the file that the seconds of each test are written to, as JSON."""

OTHER_MACHINES = ("qemu", "bochs")

MEMORY_LIMIT = 6 << 30
"""Bytes of RAM at which the tests end: a mutant may allocate without end. (A limit of the system's on what is mapped
would count Unicorn's buffers for translated code, which are large and mostly unused.)"""


def pytest_configure(config: pytest.Config) -> None:
    """Hide QEMU and Bochs, and let Hypothesis draw the same examples every time.

    A mutant has to be killed by what this project says of itself, not by a second machine that may not be there.
    """
    threading.Thread(target=_watch_memory, daemon=True).start()
    settings.register_profile("mutation", derandomize=True, database=None, deadline=None)
    settings.load_profile("mutation")
    shutil.which = _without_other_machines(shutil.which)  # type: ignore[assignment]


def _watch_memory() -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    while int(Path("/proc/self/statm").read_text().split()[1]) * page < MEMORY_LIMIT:
        time.sleep(0.2)
    os._exit(1)


def _without_other_machines(which: Callable[..., str | None]) -> Callable[..., str | None]:
    def hidden(cmd: str, *arguments: object, **named: object) -> str | None:
        return None if cmd.startswith(OTHER_MACHINES) else which(cmd, *arguments, **named)

    return hidden
