"""Mutants: the enclave with one deliberate defect each.

A kernel defect changes the kernel's sources, which are then built; one of the machine or of AetherHost replaces an
attribute of a module or class. A defect exists only inside `with defect.made():`.
"""

import json
import shutil
import struct
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

import msgspec

from firmware import Firmware, built_in
from machine.bus.host_memory import executable, native_architecture
from machine.processor import step_hook
from machine.processor.native import build as native
from machine.processor.native.loading import ENTRY_POINTS, load
from tests.firmware.changed_kernel import build_changed, copy_sources

DETERMINISTIC, ZERO_TRACE, ISOLATED, JITTER_FREE = "deterministic", "zero-trace", "isolated", "jitter-free"
NON_INTERFERENCE, ADMITTED, ATTESTED = "non-interference", "admitted", "attested"
SHORT_LIVED = "short-lived"
LOUD = "loud"
"""Not a guarantee: the emulator or the kernel raised an error."""
RING_3 = "ring-3"
"""Not a guarantee of the enclave: the rules of tests/machine/fuzz, which hold for every program in ring 3."""
SEARCH = "search"
"""Not a trial: a search for a program that breaks one of these rules."""
BY_BLOCK = "by-block"
"""Not a guarantee of the enclave: counting instructions by block makes no difference."""
SEARCH_BY_BLOCK = "search by block"
"""Not a trial: a search for a program that it makes different."""
SEARCH_MODES = "search in all modes"
"""Not a trial: a search in all modes for a program that breaks a rule of ring 3."""


class Change(Protocol):
    """One way to break something."""

    def made(self, stack: ExitStack) -> Firmware | None:
        """Apply the change until the stack is closed. Return the firmware to boot; None for the built-in one."""


@dataclass(frozen=True)
class Edit:
    """Replaces a text in one of the kernel's sources. The old text must occur exactly once."""

    source: str
    old: str
    new: str = ""

    def apply(self, directory: Path) -> None:
        """Change the copy of the sources in a directory. Raises ValueError if the old text does not occur exactly
        once."""
        path = directory / self.source
        text = path.read_text()
        if text.count(self.old) != 1:
            raise ValueError(f"{self.source} holds {self.old!r} {text.count(self.old)} times; it must be there once")
        path.write_text(text.replace(self.old, self.new))


BLIND = Edit(
    "audit.c", "return table_is_sound(pml4, pml4, 0, 39, USER | WRITABLE);", "(void)table_is_sound; return pml4 != 0;"
)
"""The kernel does not audit its page tables."""


@dataclass(frozen=True)
class Kernel:
    """A kernel built from changed sources."""

    edits: tuple[Edit, ...]
    """Paths are those in the kernel's directory, where `vmm` and `signatures` have the other sources of the image."""

    def changed(self, directory: Path) -> None:
        """Put the changed sources into a directory."""
        copy_sources(directory, self.edits)

    def made(self, stack: ExitStack) -> Firmware:  # noqa: ARG002 - nothing to undo
        """Build the changed kernel, and return it."""
        image, description = build_changed(self.edits)
        return msgspec.structs.replace(built_in(), image=image, symbols=json.loads(description)["symbols"])


@dataclass(frozen=True)
class NativeHook:
    """The native instruction hook, built from changed sources."""

    edits: tuple[Edit, ...]

    def changed(self, directory: Path) -> None:
        """Put the changed sources into a directory."""
        shutil.copytree(native.HERE, directory, dirs_exist_ok=True)
        for edit in self.edits:
            edit.apply(directory)

    def made(self, stack: ExitStack) -> None:
        """Build the changed hook, and make new engines load it."""
        architecture = native_architecture()
        if architecture is None:
            raise RuntimeError("this host runs no native code")
        entries = ENTRY_POINTS["step_hook"]
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            self.changed(directory)
            blob = native.build(directory / "step_hook.c", entries, architecture)
        header = struct.Struct(f"<{len(entries)}I")
        base, page = executable(blob[header.size :])
        _KEPT.append(page)
        changed = tuple(base + offset for offset in header.unpack_from(blob))
        replaced = lambda source: changed if source == "step_hook" else load(source)  # noqa: E731
        stack.enter_context(patch.object(step_hook, "load", replaced))


_KEPT: list[object] = []
"""Pages with native code."""


@dataclass(frozen=True)
class Replacement:
    """Replaces the value of an attribute."""

    owner: Any
    name: str
    value: Any

    def made(self, stack: ExitStack) -> None:
        """Put the value in place of the attribute."""
        stack.enter_context(patch.object(self.owner, self.name, self.value))


@dataclass(frozen=True)
class Several:
    """Changes that belong together."""

    changes: tuple[Change, ...]

    def made(self, stack: ExitStack) -> None:
        """Make all changes."""
        for change in self.changes:
            change.made(stack)


@dataclass(frozen=True)
class Defect:
    """One deliberate mistake, and the guarantees that must notice it."""

    name: str
    description: str
    """What is wrong, in one line."""
    change: Change
    trials: tuple[str, ...]
    """What runs (tests/mutants/trials.py)."""
    caught_by: tuple[str, ...]
    """The guarantees that must not hold. Others may notice, too."""

    @contextmanager
    def made(self) -> Iterator[Firmware | None]:
        """Make the defect. Yields the firmware to boot; None for the built-in one."""
        with ExitStack() as stack:
            yield self.change.made(stack)
