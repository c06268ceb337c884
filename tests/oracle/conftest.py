"""Everything here is marked `oracle`, and skipped where QEMU or GRUB is not installed."""

from pathlib import Path

import pytest

from tests.oracle.qemu import missing

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = missing()
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.oracle)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))
