"""Marks everything here `oracle`, and skips it if its witness is missing: QEMU, Bochs, or an x86-64 host."""

from pathlib import Path

import pytest

from tests.oracle import bochs, qemu
from tests.oracle.host_processor import witness

HERE = Path(__file__).parent
_OF_THE_HOST = frozenset([HERE / "host_processor", HERE / "enumeration"])


_OF_BOCHS = frozenset([HERE / "test_bochs.py"])
_OF_BOTH = frozenset([HERE / "test_protected_programs.py", HERE / "test_random_programs.py"])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    without_qemu, without_bochs, without_host = qemu.missing(), bochs.missing(), witness.missing()
    for item in items:
        if str(item.path).startswith(f"{HERE}/"):
            item.add_marker(pytest.mark.oracle)
            reason = without_host if item.path.parent in _OF_THE_HOST else without_qemu
            if item.path in _OF_BOCHS:
                reason = without_bochs
            elif item.path in _OF_BOTH:
                reason = without_qemu or without_bochs
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))
