"""Guests that come with Enclave Sim: signed modules, flat binaries, their sources, and the development key.

Sources are in `src`; `python -m payloads.build` builds the modules from them. The development key is public on
purpose, and marked as such: nobody should trust it, and production refuses it.
"""

from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

_SUFFIXES = (".wat", ".c", ".S")


def names() -> tuple[str, ...]:
    """Return the names of the WebAssembly payloads, in alphabetical order."""
    return _with_suffix(".wasm")


def flat_names() -> tuple[str, ...]:
    """Return the names of the flat x86-64 payloads, in alphabetical order."""
    return _with_suffix(".bin")


def read(name: str) -> bytes:
    """Return the signed module called `name`. Raises LookupError for a name that is not in `names()`."""
    _check(name, names())
    return _folder().joinpath(f"{name}.wasm").read_bytes()


def read_flat(name: str) -> bytes:
    """Return the flat binary called `name`. Raises LookupError for a name that is not in `flat_names()`."""
    _check(name, flat_names())
    return _folder().joinpath(f"{name}.bin").read_bytes()


def source(name: str) -> str:
    """Return the source text (WebAssembly text format, C or assembly) of the payload `name`. Raises LookupError."""
    _check(name, (*names(), *flat_names()))
    candidates = (_folder().joinpath("src", name + suffix) for suffix in _SUFFIXES)
    return next(file for file in candidates if file.is_file()).read_text("utf-8")


def about(name: str) -> str:
    """Return the description of the payload `name`: the first sentence of its source, after its name.

    Raises LookupError.
    """
    words = " ".join(source(name)[:400].split())
    return words.partition(f"{name}: ")[2].partition(". ")[0].rstrip(".")


def development_anchor_text() -> str:
    """Return the trust anchor file of the development key."""
    return _folder().joinpath("keys", "development.anchor.json").read_text("utf-8")


def development_key_text() -> str:
    """Return the key file of the development key. It is public: its signature proves nothing."""
    return _folder().joinpath("keys", "development.key.json").read_text("utf-8")


@cache
def _folder() -> Traversable:
    return files(__name__)


@cache
def _with_suffix(suffix: str) -> tuple[str, ...]:
    entries = (entry.name for entry in _folder().iterdir())
    return tuple(sorted(name.removesuffix(suffix) for name in entries if name.endswith(suffix)))


def _check(name: str, there_are: tuple[str, ...]) -> None:
    if name not in there_are:
        raise LookupError(f"no payload is called {name!r}; there are {', '.join(there_are)}")
