"""The formats a recording can be exported to, and the libraries that write them, loaded when one is asked for."""

from collections.abc import Callable, Iterable
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, cast

from enclave_sim.errors import ConfigurationError

if TYPE_CHECKING:
    from enclave_sim.recording.format import Header
    from machine.events import Event

Writer: TypeAlias = "Callable[[Header, Iterable[Event], BinaryIO], None]"


class Format(Enum):
    """Each has a module of that name here, with a function `write`."""

    PERFETTO = "perfetto"
    VCD = "vcd"
    PARQUET = "parquet"
    HTML = "html"

    @property
    def suffix(self) -> str:
        """How names of such files end."""
        return {Format.PERFETTO: ".pftrace"}.get(self, f".{self.value}")

    def writer(self) -> Writer:
        """The function that writes it. Raises ConfigurationError where the library that it needs is not installed."""
        try:
            module = import_module(f"enclave_sim.recording.exports.{self.value}")
        except ModuleNotFoundError as error:
            library = (error.name or "").partition(".")[0]
            if library not in _EXTRAS:
                raise
            raise ConfigurationError(
                f"{self.value} needs the package {library}: pip install 'enclave-sim[{_EXTRAS[library]}]'"
            ) from None
        return cast("Writer", module.write)


_EXTRAS = {"pyarrow": "arrow"}
"""The extra that brings a library which a plain installation leaves out."""
