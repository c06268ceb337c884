"""Source files, found by the paths in debugging information."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import DOCUMENT, read_file
from firmware import built_in


def find_source(image: str, path: Path) -> tuple[str, Path, tuple[str, ...]]:
    """Find a source file: below the image's directory, or in `src` there, or where the compiler saw it.

    Args:
        image: The path of the image; `aether.elf` is the enclave's kernel.
        path: The file's path for the compiler.

    Returns:
        A short name, the path on this computer, and the lines; the compiler's path and no lines if there is no file.
    """
    home = built_in().path.parent if image == "aether.elf" else Path(image).absolute().parent
    for place in _places(home, path):
        with suppress(ConfigurationError):
            text = read_file(place, DOCUMENT).decode("utf-8", "replace")
            name = place.relative_to(home) if place.is_relative_to(home) else place
            return str(name), place, tuple(text.splitlines())
    return str(path), path, ()


def _places(home: Path, path: Path) -> Iterator[Path]:
    parts = path.parts[1:] if path.is_absolute() else path.parts
    for directory in (home, home / "src"):
        for first in range(len(parts)):
            yield directory.joinpath(*parts[first:])
    yield path
