"""The options of the commands that run an enclave, each declared once, so that all commands agree."""

from collections.abc import Callable, Iterable
from functools import reduce, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from enclave_sim.cli.command import MACHINE, OUTPUT, POLICY, option
from enclave_sim.cli.options.types import FILE, NUMBER, TEXT, TIME, Choice
from enclave_sim.enclave.configuration import EnclaveConfiguration
from enclave_sim.specification import Attestation, EngineName, Verification
from enclave_sim.times import short

if TYPE_CHECKING:
    from enclave_sim.attestation import ReferenceValues
    from enclave_sim.inputs import AnyInput

RECORDINGS = "Recordings"
_DEFAULTS = EnclaveConfiguration()

cycles = option("--cycles", type=NUMBER, metavar="N", default=1, help="Number of cycles to run.", heading=MACHINE)
wake_ns = option(
    "--wake-ns",
    type=TIME,
    metavar="TIME",
    default=short(_DEFAULTS.wake_ns),
    help="Time to sleep between two cycles.",
    heading=MACHINE,
)
quantum_ns = option(
    "--quantum-ns",
    type=TIME,
    metavar="TIME",
    default=short(_DEFAULTS.quantum_ns),
    help="Time slice of the guest before the timer interrupts it.",
    heading=MACHINE,
)
arena_bytes = option(
    "--arena-bytes",
    type=NUMBER,
    metavar="BYTES",
    help="Size of the host arena. Default: its whole region.",
    heading=MACHINE,
)
sensor0 = option("--sensor0", type=NUMBER, metavar="WORD", default=0, help="Value of sensor 0.", heading=MACHINE)
sensor1 = option("--sensor1", type=NUMBER, metavar="WORD", default=0, help="Value of sensor 1.", heading=MACHINE)
inputs = option(
    "--inputs",
    type=FILE,
    metavar="FILE",
    help="Script of inputs (TOML): interrupts, tampering, sensor values and more (docs/inputs.md).",
    heading=MACHINE,
)
engine = option(
    "--engine",
    type=Choice(EngineName),
    default=EngineName.WASMTIME.value,
    help="wasmtime runs signed modules; so does resident, the interpreter in the kernel; native runs one flat x86-64 "
    "binary, which the kernel measures.",
    heading=POLICY,
)
verify = option(
    "--verify",
    type=Choice(Verification),
    default=_DEFAULTS.verify.value,
    help="Who verifies signatures: host, the hypervisor's side, or firmware, the kernel in ring 0.",
    heading=POLICY,
)
production = option("--production", is_flag=True, help="Refuse payloads signed with a development key.", heading=POLICY)
trust_anchor = option(
    "--trust-anchor",
    type=FILE,
    metavar="FILE",
    multiple=True,
    help="Trust anchor (NAME.anchor.json) to accept in addition to the development anchor; may be repeated.",
    heading=POLICY,
)
attestation = option(
    "--attestation",
    type=Choice(Attestation),
    default=_DEFAULTS.attestation.value,
    help="off: nothing is measured; record: a cycle also runs if its evidence is refused; "
    "require: it runs only if accepted.",
    heading=POLICY,
)
post_quantum = option(
    "--post-quantum", is_flag=True, help="Accept evidence only if it also has an ML-DSA-65 signature.", heading=POLICY
)
reference = option(
    "--reference",
    type=FILE,
    metavar="FILE",
    multiple=True,
    help="Reference values for the built-in verifier, instead of those of this run; may be repeated.",
    heading=POLICY,
)
payload = option(
    "--payload",
    metavar="FILE",
    shell_complete=FILE.shell_complete,
    multiple=True,
    help="Payload, kernel or module that the recording does not embed; may be repeated.",
    heading=RECORDINGS,
)
trace_memory = option(
    "--trace-memory",
    metavar="REGION",
    help="Record who writes to this region of the memory map, such as heap, as events memory_written.",
    heading=OUTPUT,
)
feature = option(
    "--feature",
    type=TEXT,
    metavar="NAME",
    multiple=True,
    help="WebAssembly feature to allow beyond the profile; may be repeated.",
    heading=POLICY,
)


def configured(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return a command that gets the declared options of an enclave as one argument, `configuration`."""

    @wraps(command)
    def with_options(**given: Any) -> Any:
        fields = {name: given.pop(name) for name in EnclaveConfiguration.__struct_fields__ if name in given}
        if "sensor0" in given:
            fields["sensors"] = given.pop("sensor0"), given.pop("sensor1")
        if "feature" in given:
            fields["features"] = frozenset(given.pop("feature"))
        return command(configuration=EnclaveConfiguration(**fields), **given)

    return with_options


def read_given_inputs(path: Path | None, engine: EngineName) -> "tuple[AnyInput, ...]":
    """Return the inputs of the script that `--inputs` names, none without it. Raises EnclaveError if it is invalid."""
    if path is None:
        return ()
    from enclave_sim.enclave.inputs.script import read_inputs  # noqa: PLC0415

    return read_inputs(path, engine)


def read_references(paths: Iterable[Path]) -> "ReferenceValues | None":
    """Return the merged reference values of these files, None if there are none.

    Raises EnclaveError for an invalid file.
    """
    from enclave_sim.attestation import ReferenceValues  # noqa: PLC0415

    values = [ReferenceValues.load(path) for path in paths]
    return reduce(ReferenceValues.merge, values) if values else None
