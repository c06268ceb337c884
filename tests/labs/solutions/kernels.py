"""Kernels that students build: the sources that `firmware new` copies, with some of their own."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path

import firmware
from tests.firmware.changed_kernel import build_changed


class _Replacement:
    """One source in place of another."""

    def __init__(self, name: str, text: bytes) -> None:
        self._name, self._text = name, text

    def apply(self, directory: Path) -> None:
        (directory / self._name.removeprefix("src/")).write_bytes(self._text)


def built_kernel(sources: Mapping[str, bytes]) -> bytes:
    """Build a kernel with other sources, by their paths as "src/boot.S"."""
    return _built(tuple(sorted(sources.items())))


@cache
def _built(sources: tuple[tuple[str, bytes], ...]) -> bytes:
    image, _ = build_changed(tuple(_Replacement(name, text) for name, text in sources))
    return image


def built_in_image() -> bytes:
    """Return the image of the package."""
    return firmware.built_in().image
