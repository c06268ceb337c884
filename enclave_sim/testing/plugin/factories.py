"""The factories behind the fixtures, and what one test makes with them.

pytest imports this module whenever it starts. The emulator is imported when a factory is first called.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from enclave_sim.errors import ConfigurationError

if TYPE_CHECKING:
    from enclave_sim.enclave.enclave import Enclave
    from enclave_sim.guarantees import Run
    from enclave_sim.recording.recording import Recording
    from enclave_sim.testing.plugin.lazy_factories import FileContent, Watched
    from machine.machine import Machine


@dataclass
class Subject:
    """What one test makes through the fixtures."""

    defaults: dict[str, Any] = field(default_factory=dict)
    """Payload and options of its marker `enclave`."""
    guarantees: tuple[str, ...] = ()
    recordings: "list[Recording]" = field(default_factory=list)
    watched: "list[Watched]" = field(default_factory=list)
    judged: int = 0
    """How many enclaves were."""

    def options(self, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Payload and options: those given, else the marker's."""
        options = self.defaults | given
        return options.pop("payload", "beacon"), options

    def keep(self, recording: "Recording | None") -> None:
        """It is saved if the test fails."""
        if recording is None:
            raise ConfigurationError("this enclave has no recording that could be kept")
        if not any(kept is recording for kept in self.recordings):
            self.recordings.append(recording)

    def watch(self, watched: "Watched") -> None:
        """It is judged after the test, if the test asks for that; else it need not outlive its use."""
        if self.guarantees:
            self.watched.append(watched)

    def verdict(self) -> str | None:
        """The reports of the guarantees that are broken, or None."""
        ran = [one for one in self.watched if one.has_run]
        if not ran:
            return None
        from enclave_sim.testing.plugin import lazy_factories  # noqa: PLC0415 - lazily, as everywhere here

        self.judged += len(ran)
        broken = [str(report) for report in lazy_factories.judge(ran, self.guarantees) if not report.holds]
        return "\n".join(broken) or None


@dataclass
class PluginState:
    """The plugin's state."""

    directory: Path | None
    """Where recordings of failing tests go."""
    subject: Subject = field(default_factory=Subject)
    """Of the test that runs now."""


class Factory:
    """What a fixture is."""

    NAME: ClassVar[str]

    def __init__(self, session: PluginState) -> None:
        self._session = session

    def __repr__(self) -> str:
        """Short, since pytest and Hypothesis show a failing test's arguments."""
        return f"<fixture {self.NAME}>"


class EnclaveFactory(Factory):
    """What the fixture `enclave` is."""

    NAME = "enclave"

    def __call__(self, payload: Any = None, **options: Any) -> "Enclave":
        """A fresh enclave, not yet run. The arguments are those of `Enclave`; the marker `enclave` sets defaults."""
        from enclave_sim.testing.plugin import lazy_factories  # noqa: PLC0415

        subject = self._session.subject
        payload, options = subject.options(options if payload is None else {"payload": payload, **options})
        if not subject.guarantees:
            enclave = lazy_factories.fresh(payload, options)
        else:
            watched = lazy_factories.watched(payload, options)
            subject.watch(watched)
            enclave = watched.enclave
        subject.keep(enclave.recording)
        return enclave


class ObservedFactory(Factory):
    """What the fixture `observed` is."""

    NAME = "observed"

    def __call__(self, payload: Any = None, **options: Any) -> "Run":
        """Run a fresh enclave, watched, to its end: `enclave_sim.guarantees.observe` with the marker's defaults."""
        from enclave_sim.testing.plugin import lazy_factories  # noqa: PLC0415

        subject = self._session.subject
        payload, options = subject.options(options if payload is None else {"payload": payload, **options})
        limit_ns = options.pop("limit_ns", lazy_factories.DEFAULT_LIMIT_NS)
        watched = lazy_factories.watched(payload, options, limit_ns)
        subject.watch(watched)
        subject.keep(watched.enclave.recording)
        return watched.run()


class RecordingFactory(Factory):
    """What the fixture `recording` is."""

    NAME = "recording"

    def __call__(self, path: str | Path | None = None) -> "Recording":
        """The recording of the enclave that the test made last; with a path, the one in that file.

        Raises ConfigurationError where there is none, RecordingError where the file is something else.
        """
        if path is not None:
            from enclave_sim.testing.plugin import lazy_factories  # noqa: PLC0415

            return lazy_factories.load_recording(path)
        recordings = self._session.subject.recordings
        if not recordings:
            raise ConfigurationError("this test has made no enclave yet, so there is no recording")
        return recordings[-1]

    def keep(self, enclave: "Enclave") -> "Enclave":
        """Treat an enclave made elsewhere, such as by a Template, like one of the fixture: saved if the test fails."""
        self._session.subject.keep(enclave.recording)
        return enclave


class MachineFactory(Factory):
    """What the fixture `machine` is."""

    NAME = "machine"

    def __call__(
        self,
        image: "FileContent",
        *,
        command_line: str = "",
        modules: "Iterable[FileContent | tuple[FileContent, str]]" = (),
        **options: Any,
    ) -> "Machine":
        """A bare machine with a Multiboot kernel loaded, about to execute its first instruction.

        Image and modules are bytes or paths; a module may come with its command line. `ram_size` is in bytes (128 MiB
        unless given), `recorder` gets every event; the other options are those of `MachineConfiguration`.

        Raises MachineError for what cannot boot, ConfigurationError for a file that cannot be read.
        """
        from enclave_sim.testing.plugin import lazy_factories  # noqa: PLC0415

        return lazy_factories.booted_machine(image, command_line=command_line, modules=modules, **options)
