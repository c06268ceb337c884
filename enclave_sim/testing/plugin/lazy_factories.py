"""The part of the fixtures that needs the emulator.

pytest imports the rest of the plugin whenever it starts; a factory imports this module when it is first called.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

from enclave_sim import guarantees
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.kernel.program import program_of
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.files.reading import IMAGE, read_file
from enclave_sim.following import made
from enclave_sim.guarantees import Report, Run, Scenario
from enclave_sim.guarantees.observation import Observer
from enclave_sim.recording.recording import Recording
from machine.boot import loader
from machine.events import Recorder
from machine.machine import Machine, MachineConfiguration

DEFAULT_RAM_BYTES = 128 << 20
"""The default of `enclave-sim boot`."""
DEFAULT_LIMIT_NS = Scenario("").limit_ns

FileContent = bytes | str | Path
"""The content of a file, or its path."""


@dataclass(frozen=True, slots=True)
class Watched:
    """An enclave with watchers."""

    enclave: Enclave
    observer: Observer
    scenario: Scenario

    @property
    def has_run(self) -> bool:
        """True if it has executed anything."""
        return self.enclave.machine.clock.now_ns > 0

    def run(self) -> Run:
        """Run to the end, or the scenario's limit."""
        return self.observer.run(self.enclave, self.scenario)

    def so_far(self) -> Run:
        """Return the run so far."""
        now_ns = self.enclave.machine.clock.now_ns
        return self.observer.run(self.enclave, replace(self.scenario, limit_ns=now_ns))


def fresh(payload: Any, options: dict[str, Any]) -> Enclave:
    """Make an enclave that keeps its recording."""
    _need_recording(options)
    return Enclave(payload, **options)


def watched(payload: Any, options: dict[str, Any], limit_ns: int | None = DEFAULT_LIMIT_NS) -> Watched:
    """Make an enclave that keeps its recording and is watched."""
    _need_recording(options)
    if "recorder" in options:
        raise ConfigurationError("an enclave that is watched takes no recorder; its recording has every event")
    inputs = tuple(options.get("inputs", ()))
    kept = {name: value for name, value in options.items() if name not in ("inputs", "record")}
    scenario = Scenario(payload, EnclaveOptions.of(**kept), inputs, limit_ns)
    observer = Observer()
    enclave = scenario.enclave(observer)
    observer.attach(enclave)
    return Watched(enclave, observer, scenario)


def option_names() -> list[str]:
    """Return the names of all options of `enclave` and `observed`."""
    parameters = {**signature(Enclave).parameters, **signature(guarantees.observe).parameters}
    named = [name for name, one in parameters.items() if one.kind is not Parameter.VAR_KEYWORD]
    return [*named, *EnclaveConfiguration.__struct_fields__]


def judge(enclaves: Sequence[Watched], names: Iterable[str]) -> list[Report]:
    """Return the reports of the named guarantees on all these enclaves."""
    runs = [one.so_far() for one in enclaves]
    return [getattr(guarantees, name)(runs) for name in names]


def load_recording(path: str | Path) -> Recording:
    """Read a recording file. Raises RecordingError for anything else, ConfigurationError if it cannot be read."""
    return Recording.load(Path(path))


def booted_machine(
    image: FileContent,
    *,
    command_line: str = "",
    modules: Iterable[FileContent | tuple[FileContent, str]] = (),
    ram_size: int = DEFAULT_RAM_BYTES,
    recorder: Recorder | None = None,
    **options: Any,
) -> Machine:
    """Make a machine with a kernel in RAM, about to execute its first instruction. See `MachineFactory`."""
    content = _content(image)
    placed = []
    for module in modules:
        source, text = module if isinstance(module, tuple) else (module, "")
        placed.append(loader.Module(_content(source), text))
    machine = Machine(MachineConfiguration(ram_size, **{"engines": False, **options}), recorder)
    loaded = loader.load(machine, content, command_line, placed)
    name = "kernel" if isinstance(image, bytes) else str(image)
    for follow in made:
        follow(machine, lambda: program_of(name, content, loaded))
    return machine


def _content(source: FileContent) -> bytes:
    return source if isinstance(source, bytes) else read_file(source, IMAGE)


def _need_recording(options: dict[str, Any]) -> None:
    if options.get("record") is False:
        raise ConfigurationError(
            "the fixtures keep a recording of every enclave; without one, make an Enclave yourself"
        )
