"""The export formats of recordings. The library for each is loaded when needed."""

from collections.abc import Callable, Iterable
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, cast

from enclave_sim.errors import ConfigurationError, installing

if TYPE_CHECKING:
    from enclave_sim.recording.format import Header
    from machine.events import Event

Writer: TypeAlias = "Callable[[Header, Iterable[Event], BinaryIO], None]"


class Format(Enum):
    """The formats. Each has a module of the same name here, with a function `write`."""

    PERFETTO = "perfetto"
    VCD = "vcd"
    PARQUET = "parquet"
    HTML = "html"

    @property
    def suffix(self) -> str:
        """The usual suffix of such files."""
        return {Format.PERFETTO: ".pftrace"}.get(self, f".{self.value}")

    def writer(self) -> Writer:
        """Return the function that writes it. Raises ConfigurationError if the library is not installed."""
        return cast("Writer", self.module().write)

    def module(self) -> Any:
        """Import its module. Raises ConfigurationError if the library is not installed."""
        try:
            return import_module(f"enclave_sim.recording.exports.{self.value}")
        except ModuleNotFoundError as error:
            library = (error.name or "").partition(".")[0]
            if library not in _EXTRAS:
                raise
            raise ConfigurationError(
                f"{self.value} needs the package {library}: {installing(_EXTRAS[library])}"
            ) from None


_EXTRAS = {"pyarrow": "arrow"}
"""The extra that installs a library not in a plain installation."""
