"""Followers of runs that start from a template, and of machines that are made.

The pytest plugin follows them, to keep the recordings of failing tests, and for coverage. It is loaded whenever pytest
starts, so this imports nothing of the emulator.
"""

from collections.abc import Callable
from typing import Any

followers: list[Callable[[Any], None]] = []
"""Each is called with the enclave when a run starts from a template."""
made: list[Callable[[Any, Callable[[], Any]], None]] = []
"""Each is called with the machine of a new enclave or kernel, and what returns the program in its memory."""
