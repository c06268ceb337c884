"""Common behaviour of all watchers."""

import pytest

from enclave_sim.guarantees.report import Finding
from enclave_sim.guarantees.watchers.watcher import Watcher
from enclave_sim.specification import EngineName


def test_checks_are_counted_by_what_was_checked() -> None:
    watcher = Watcher()
    for what in ("a", "b", "a"):
        watcher.count(what)
    assert watcher.looked_at == {"a": 2, "b": 1}


@pytest.mark.parametrize("count", [99, 100, 101, 200])
def test_a_hundred_findings_are_kept(count: int) -> None:
    watcher = Watcher()
    for number in range(count):
        watcher.find(f"finding {number}", number, ("line",))
    assert watcher.findings == [Finding(f"finding {n}", n, ("line",)) for n in range(min(count, 100))]


def test_a_guest_is_a_module_unless_it_is_said_otherwise() -> None:
    assert Watcher().engine is EngineName.WASMTIME
    with pytest.raises(NotImplementedError):
        Watcher().handlers()
