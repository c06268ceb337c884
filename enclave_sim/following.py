"""Followers of runs that start from a template: each is called with the enclave when a run starts.

The pytest plugin follows them, to keep the recordings of failing tests. It is loaded whenever pytest starts, so this
imports nothing of the emulator.
"""

from collections.abc import Callable
from typing import Any

followers: list[Callable[[Any], None]] = []
