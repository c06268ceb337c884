"""The configuration of an enclave: options with their ranges, and the sources of payloads."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

import payloads as built_in
from enclave_sim.errors import ConfigurationError, OptionError
from enclave_sim.files.reading import MODULE, MissingFile, read_file
from enclave_sim.memory_map import region, regions
from enclave_sim.payload.keys import TrustAnchor
from enclave_sim.similar import did_you_mean
from enclave_sim.specification import Attestation, EngineName, Verification
from firmware import Firmware
from firmware import built_in as built_in_firmware

PayloadSource = str | Path | bytes
"""The name of a built-in payload, a path, or the payload itself."""
MAX_PAYLOADS = 8
_LARGEST_NS = 0xFFFF_FFF0
_WASM = b"\0asm"
_RANGES = {
    "cycles": (1, 0xFF_FFFF),
    "wake_ns": (1000, _LARGEST_NS),
    "quantum_ns": (1000, _LARGEST_NS),
    "ns_per_instruction": (1, 1_000_000),
    "tpm_resets": (0, 0xFFFF_FFFE),
}


class EnclaveConfiguration(msgspec.Struct, frozen=True):
    """The options of one enclave, all with a default. Times are virtual nanoseconds.

        configuration = EnclaveConfiguration(cycles=3, wake_ns=50_000)
        Enclave("counter", configuration=configuration).run()

    `Enclave`, `Template` and `observe` also take the fields as keyword arguments.

    Raises:
        ConfigurationError: An option is out of range, or does not fit the engine.
    """

    cycles: int = 1
    """Number of times that a guest runs before the enclave completes, 1 to 0xFFFFFF."""
    wake_ns: int = 1_000_000
    """Sleep between two cycles, in ns, at least 1000."""
    quantum_ns: int = 10_000_000
    """Time slice in ns after which the timer interrupts the guest: at least 1000 kernel instructions."""
    arena_bytes: int | None = None
    """Size of the arena; by default its whole region."""
    sensors: tuple[int, int] = (0, 0)
    """Values of the two sensor registers, 32 bits each."""
    attestation: Attestation = Attestation.RECORD
    """Policy: `off`, `record` the verdict, or `require` an accepted one before each cycle."""
    post_quantum: bool = False
    """The built-in verifier requires an ML-DSA-65 signature in addition to the P-256 one."""
    tpm_seed: str = "development"
    """The text from which the TPM model's keys are derived."""
    tpm_resets: int = 0
    """Number of earlier resets of the TPM model."""
    production: bool = False
    """Refuse development keys."""
    features: frozenset[str] = frozenset()
    """WebAssembly features beyond the profile that payloads may use, by name."""
    ns_per_instruction: int = 1
    """Virtual time of one instruction outside the guest engine, in ns, 1 to 1,000,000."""
    engine: EngineName = EngineName.WASMTIME
    """The engine that runs the guest: `wasmtime`, or `resident`, the kernel's own interpreter, slower and part of the
    machine. `native` takes one flat x86-64 binary, unsigned: the kernel checks its SHA-256."""

    verify: Verification = Verification.HOST
    """The verifier of signatures: `host` is AetherHost, `firmware` the kernel itself, in ring 0."""

    trace_memory: str | None = None
    """A region of the memory map whose writes are recorded as events `memory_written`; by default none."""
    firmware: Firmware | None = None
    """The kernel to boot instead of the built-in one: `enclave_sim.enclave.kernel.firmware_file.read_firmware`."""

    def __post_init__(self) -> None:
        for name, (least, most) in _RANGES.items():
            value = getattr(self, name)
            if not isinstance(value, int):
                raise OptionError(name, f"is {value!r}; it must be a whole number")
            if not least <= value <= most:
                unit = " ns" if name.endswith("_ns") else ""
                raise OptionError(name, f"is {value}{unit}; it must be {least} to {most}{unit}")
        if self.quantum_ns < 1000 * self.ns_per_instruction:
            least = 1000 * self.ns_per_instruction
            raise OptionError("quantum_ns", f"is {self.quantum_ns}; the kernel needs {least} to switch at all")
        arena = region("arena").size
        if self.arena_bytes is not None and not 0 <= self.arena_bytes <= arena:
            raise OptionError("arena_bytes", f"is {self.arena_bytes}; it must be 0 to {arena}, the bytes of its region")
        if len(self.sensors) != 2:
            raise ConfigurationError(f"there are {len(self.sensors)} sensors; there must be 2")
        for number, value in enumerate(self.sensors):
            if not 0 <= value < 1 << 32:
                raise OptionError(f"sensor{number}", f"is {value}; it must be 0 to {(1 << 32) - 1}")
        for option, kind in (("engine", EngineName), ("attestation", Attestation), ("verify", Verification)):
            value = getattr(self, option)
            try:
                msgspec.structs.force_setattr(self, option, kind(value))
            except ValueError:
                names = " or ".join(name.value for name in kind)
                raise OptionError(option, f"is {value!r}; it must be {names}") from None
        self._check_trace()
        if self.engine.is_flat:
            self._check_native()
        if self.engine is EngineName.RESIDENT and self.features:
            raise OptionError("engine", "is resident, which has no WebAssembly features beyond the profile")

    @property
    def kernel(self) -> Firmware:
        """The firmware that boots."""
        return self.firmware or built_in_firmware()

    def _check_trace(self) -> None:
        traced, names = self.trace_memory, [one.name for one in regions()]
        if traced is not None and traced not in names:
            near = did_you_mean(str(traced), names)
            raise OptionError("trace_memory", f"is {traced!r}: no region; {near}there are {', '.join(names)}")

    def _check_native(self) -> None:
        """Refuse options that need AetherHost: a flat binary runs without it."""
        for asked, what in (
            (self.production, "no signature: not for production"),
            (self.features, "no WebAssembly features"),
            (self.verify is Verification.FIRMWARE, "no signature: nothing to verify in the firmware"),
        ):
            if asked:
                raise OptionError("engine", f"is native, which has {what}")

    def command_line(self, payloads: Sequence[bytes]) -> str:
        """Compose the kernel's command line.

        Args:
            payloads: The payloads for the kernel. The SHA-256 of a flat one is part of the command line.

        Returns:
            Options as `name=value`, separated by spaces.
        """
        options: dict[str, int | str] = {"cycles": self.cycles, "wake_ns": self.wake_ns, "quantum_ns": self.quantum_ns}
        if self.arena_bytes is not None:
            options["arena_bytes"] = self.arena_bytes
        if self.attestation is not Attestation.OFF:
            options["attestation"] = self.attestation.value
        if self.engine.is_flat:
            (payload,) = payloads
            options |= {"guest": "native", "sha256": hashlib.sha256(payload).hexdigest()}
        if self.engine is EngineName.RESIDENT:
            options["guest"] = "resident"
        if self.verify is Verification.FIRMWARE:
            options |= {"verify": "firmware", **({"production": 1} if self.production else {})}
        return " ".join(f"{name}={value}" for name, value in options.items())

    def describe(self, anchors: Sequence[TrustAnchor]) -> dict[str, Any]:
        """Describe the configuration for a recording's header: everything that the run depends on.

        Args:
            anchors: The trust anchors.

        Returns:
            Plain values, by option.
        """
        return {
            "cycles": self.cycles,
            "wake_ns": self.wake_ns,
            "quantum_ns": self.quantum_ns,
            "arena_bytes": self.arena_bytes,
            "sensors": list(self.sensors),
            "attestation": self.attestation.value,
            "post_quantum": self.post_quantum,
            "tpm_seed": self.tpm_seed,
            "tpm_resets": self.tpm_resets,
            "production": self.production,
            "features": sorted(self.features),
            "ns_per_instruction": self.ns_per_instruction,
            "engine": self.engine.value,
            "verify": self.verify.value,
            "trust_anchors": sorted(anchor.label for anchor in anchors),
            **({} if self.trace_memory is None else {"trace_memory": self.trace_memory}),
        }


def configured(
    base: EnclaveConfiguration, options: Mapping[str, Any], others: Iterable[str] = ()
) -> EnclaveConfiguration:
    """Return a configuration with other values of some options.

    Args:
        base: The configuration.
        options: The values, by name.
        others: Names that the caller also accepts, for the error message.

    Returns:
        The changed configuration.

    Raises:
        ConfigurationError: There is no such option, or a value is out of range.
    """
    names = [*EnclaveConfiguration.__struct_fields__, *others]
    for name in options:
        if name not in EnclaveConfiguration.__struct_fields__:
            near = did_you_mean(name, names)
            raise ConfigurationError(f"there is no option {name!r}; {near}there are {', '.join(names)}")
    return msgspec.structs.replace(base, **options)


def read_payload(source: PayloadSource, engine: EngineName = EngineName.WASMTIME) -> bytes:
    """Return the bytes of a payload. Raises ConfigurationError, in one line, for an unusable source."""
    native = engine.is_flat
    data = source if isinstance(source, bytes) else _read_source(source, native)
    if native and data.startswith(_WASM):
        raise ConfigurationError("the payload is a WebAssembly module; engine native runs flat x86-64 binaries")
    return data


def _read_source(source: str | Path, native: bool) -> bytes:
    names, read = (built_in.flat_names(), built_in.read_flat) if native else (built_in.names(), built_in.read)
    kind = "flat x86-64 binary" if native else ".wasm file"
    if isinstance(source, str) and source in names:
        return read(source)
    path = Path(source)
    if not str(source):  # an unset variable; as a path it would be the directory here
        raise ConfigurationError(_no_payload("", names, native))
    try:
        data = read_file(path, MODULE)
    except MissingFile:
        raise ConfigurationError(_no_payload(str(source), names, native)) from None
    if not data:
        raise ConfigurationError(f"{path} is empty; a payload is a {kind if native else 'signed .wasm file'}")
    if not native:
        refuse_text(path, data)
    return data


def refuse_text(path: Path, data: bytes) -> None:
    """Say what a text file is that was given as a module, and what would be right. Raises ConfigurationError."""
    if not data.startswith(_WASM) and _is_text(data):
        raise ConfigurationError(f"{path} is {_text_file(path, data)}")


def _text_file(path: Path, data: bytes) -> str:
    from enclave_sim.recording.format import BEGINNING  # noqa: PLC0415 - only a mistake needs it

    if data.startswith(BEGINNING):
        return "a recording, not a payload; enclave-sim replay repeats it, inspect shows it, events lists it"
    if path.suffix == ".jsonl":
        return f"neither a payload nor a recording, which begins with {BEGINNING.decode()}"
    advice = "; compile and sign it first (enclave-sim payload sign)" if path.suffix == ".wat" else ""
    return f"text, not a WebAssembly module{advice}"


def _no_payload(name: str, names: Sequence[str], native: bool) -> str:
    if not native and name in built_in.flat_names():
        return f"{name} is a flat x86-64 guest, which needs engine native (--engine native)"
    if native and name in built_in.names():
        return f"{name} is a WebAssembly module, which needs engine wasmtime (--engine wasmtime)"
    return f"no payload {name!r}: neither a file nor built in; {did_you_mean(name, names)}there are {', '.join(names)}"


def read_payloads(
    sources: PayloadSource | Sequence[PayloadSource], engine: EngineName = EngineName.WASMTIME, beside: bytes = b""
) -> tuple[bytes, ...]:
    """Read one or several payloads.

    Args:
        sources: One payload, or up to `MAX_PAYLOADS` of them; exactly one for the native engine.
        engine: The engine that will run them.
        beside: The packed trust anchors, which share the kernel's staging area with the payloads.

    Returns:
        The bytes of each payload.

    Raises:
        ConfigurationError: A payload cannot be read, there are too many, or they do not fit the staging area.
    """
    several = [sources] if isinstance(sources, str | Path | bytes) else list(sources)
    most = 1 if engine.is_flat else MAX_PAYLOADS
    if not 1 <= len(several) <= most:
        wanted = f"1 to {most}" if most > 1 else "1 with engine native"
        raise ConfigurationError(f"{len(several)} payloads; the kernel takes {wanted}")
    modules = tuple(read_payload(source, engine) for source in several)
    check_room(modules, beside)
    return modules


def check_room(modules: Iterable[bytes], beside: bytes = b"") -> None:
    """Raise ConfigurationError unless the modules and the packed trust anchors fit the staging area."""
    room = region("staging").size
    total = sum(-(-len(module) // 64) * 64 for module in (*modules, beside))
    if total > room:
        raise ConfigurationError(
            f"payloads of {total} bytes do not fit the staging area of {room} bytes; "
            'docs/payloads.md, "A large build", says how to make them smaller'
        )


def _is_text(data: bytes) -> bool:
    try:
        return "\0" not in data.decode("utf-8")
    except UnicodeDecodeError:
        return False
