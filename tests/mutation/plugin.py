"""Pytest plugin for testing a mutant: no other machine, and the same examples each time."""

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

TIMES = "MUTATION_TIMES"
"""Environment variable for `contexts.py`: the JSON file that receives the seconds of each test."""

OTHER_MACHINES = ("qemu", "bochs")

MEMORY_LIMIT = 6 << 30
"""Bytes of resident memory at which the tests are ended: a mutant may allocate without limit. (A limit on the address
space would count Unicorn's translation buffers, which are large and mostly unused.)"""


def pytest_configure(config: pytest.Config) -> None:
    """Hide QEMU and Bochs, and let Hypothesis draw the same examples every time.

    This project's own tests must kill a mutant, not a second machine that may not be installed.
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
