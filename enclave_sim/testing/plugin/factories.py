"""The factories returned by the fixtures, and the state of one test.

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
    """The enclaves that one test makes with the fixtures, and the settings of its markers."""

    defaults: dict[str, Any] = field(default_factory=dict)
    """Payload and options of its marker `enclave`."""
    guarantees: tuple[str, ...] = ()
    recordings: "list[Recording]" = field(default_factory=list)
    watched: "list[Watched]" = field(default_factory=list)
    judged: int = 0
    """The number of enclaves judged so far."""

    def options(self, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        """Return payload and options: those given, or else those of the marker."""
        options = self.defaults | given
        return options.pop("payload", "beacon"), options

    def keep(self, recording: "Recording | None") -> None:
        """Keep a recording: it is saved if the test fails. Raises ConfigurationError for None."""
        if recording is None:
            raise ConfigurationError("this enclave has no recording that could be kept")
        if not any(kept is recording for kept in self.recordings):
            self.recordings.append(recording)

    def follow(self, enclave: "Enclave") -> None:
        """Keep the recording of an enclave that a template has just started, if it has one."""
        if enclave.recording is not None:
            self.keep(enclave.recording)

    def watch(self, watched: "Watched") -> None:
        """Keep an enclave to judge after the test, if the test has guarantees; otherwise let it go."""
        if self.guarantees:
            self.watched.append(watched)

    def verdict(self) -> str | None:
        """Return the reports of the guarantees that are broken, as text, or None."""
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
    """The directory for recordings of failing tests, or None."""
    subject: Subject = field(default_factory=Subject)
    """The subject of the running test."""

    def follow(self, enclave: "Enclave") -> None:
        """Let a run of a template belong to the running test."""
        self.subject.follow(enclave)


class Factory:
    """The value of a fixture."""

    NAME: ClassVar[str]

    def __init__(self, session: PluginState) -> None:
        self._session = session

    def __repr__(self) -> str:
        """Return a short text, because pytest and Hypothesis show a failing test's arguments."""
        return f"<fixture {self.NAME}>"


class EnclaveFactory(Factory):
    """The fixture `enclave`."""

    NAME = "enclave"

    def __call__(self, payload: Any = None, **options: Any) -> "Enclave":
        """Make a fresh enclave with a recording. The marker `enclave` sets defaults.

        Args:
            payload: As for `Enclave`.
            **options: The other arguments of `Enclave`.

        Returns:
            The enclave, at power-on.

        Raises:
            ConfigurationError: An option is not possible, or `record` is False.
        """
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
    """The fixture `observed`."""

    NAME = "observed"

    def __call__(self, payload: Any = None, **options: Any) -> "Run":
        """Run a fresh enclave to its end and observe it, as `enclave_sim.guarantees.observe`. The marker sets defaults.

        Args:
            payload: As for `Enclave`.
            **options: Those of `observe`; `limit_ns` is the most virtual time to run, in nanoseconds.

        Returns:
            The run, for the assertions of `enclave_sim.testing`.

        Raises:
            ConfigurationError: An option is not possible.
        """
        from enclave_sim.testing.plugin import lazy_factories  # noqa: PLC0415

        subject = self._session.subject
        payload, options = subject.options(options if payload is None else {"payload": payload, **options})
        limit_ns = options.pop("limit_ns", lazy_factories.DEFAULT_LIMIT_NS)
        watched = lazy_factories.watched(payload, options, limit_ns)
        subject.watch(watched)
        subject.keep(watched.enclave.recording)
        return watched.run()


class RecordingFactory(Factory):
    """The fixture `recording`."""

    NAME = "recording"

    def __call__(self, path: str | Path | None = None) -> "Recording":
        """Return the recording of the test's last enclave, or the one in a file.

        Args:
            path: The file; None for the last enclave.

        Returns:
            The recording. That of an enclave grows while the enclave runs.

        Raises:
            ConfigurationError: The test has made no enclave, or the file cannot be read.
            RecordingError: The file is not a recording.
        """
        if path is not None:
            from enclave_sim.testing.plugin import lazy_factories  # noqa: PLC0415

            return lazy_factories.load_recording(path)
        recordings = self._session.subject.recordings
        if not recordings:
            raise ConfigurationError("this test has made no enclave yet, so there is no recording")
        return recordings[-1]

    def keep(self, enclave: "Enclave") -> "Enclave":
        """Treat an enclave made elsewhere like one from the fixture: save it if the test fails.

        The last run of each `Template` is kept without it.

        Args:
            enclave: An enclave that keeps its recording.

        Returns:
            The enclave.

        Raises:
            ConfigurationError: It keeps no recording.
        """
        self._session.subject.keep(enclave.recording)
        return enclave


class MachineFactory(Factory):
    """The fixture `machine`."""

    NAME = "machine"

    def __call__(
        self,
        image: "FileContent",
        *,
        command_line: str = "",
        modules: "Iterable[FileContent | tuple[FileContent, str]]" = (),
        **options: Any,
    ) -> "Machine":
        """Make a bare machine and load a Multiboot kernel.

        Args:
            image: The kernel: bytes or a path.
            command_line: The kernel's command line.
            modules: Multiboot modules: bytes or a path, each alone or with its command line.
            **options: `ram_size` in bytes (128 MiB unless given); `recorder`, which receives every event; and those of
            `MachineConfiguration`.

        Returns:
            The machine, about to execute the kernel's first instruction.

        Raises:
            MachineError: The image cannot be booted.
            ConfigurationError: A file cannot be read.
        """
        from enclave_sim.testing.plugin import lazy_factories  # noqa: PLC0415

        return lazy_factories.booted_machine(image, command_line=command_line, modules=modules, **options)
