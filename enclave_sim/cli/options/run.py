"""The options of the commands that run an enclave: each declared once, so that they agree in words and meaning."""

from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from enclave_sim.cli.options import host_limit, kernel
from enclave_sim.cli.options.common import number
from enclave_sim.errors import ConfigurationError
from enclave_sim.specification import Attestation, EngineName

if TYPE_CHECKING:
    from enclave_sim.attestation import ReferenceValues
    from enclave_sim.enclave.kernel.bare_kernel import KernelOptions

TIME, POLICY, KERNEL = "Machine and time", "Trust and profile", "Your own kernel"
"""The panels of the help in which these options are listed."""

Cycles = Annotated[int, typer.Option(parser=number, metavar="N", help="Number of cycles to run.", rich_help_panel=TIME)]
WakeNs = Annotated[
    int, typer.Option(parser=number, metavar="NS", help="Time to sleep between two cycles.", rich_help_panel=TIME)
]
QuantumNs = Annotated[
    int,
    typer.Option(
        parser=number,
        metavar="NS",
        help="Time that the guest computes before the timer interrupts it.",
        rich_help_panel=TIME,
    ),
]
ArenaBytes = Annotated[
    int | None,
    typer.Option(
        parser=number,
        metavar="BYTES",
        help="Size of the host arena. Default: all of its region.",
        rich_help_panel=TIME,
    ),
]
Sensor0 = Annotated[int, typer.Option(parser=number, metavar="WORD", help="Value of sensor 0.", rich_help_panel=TIME)]
Sensor1 = Annotated[int, typer.Option(parser=number, metavar="WORD", help="Value of sensor 1.", rich_help_panel=TIME)]
Inputs = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Script of inputs (TOML): interrupts, tampering, sensor values and more (docs/inputs.md).",
        rich_help_panel=TIME,
    ),
]


def _host_seconds(text: str) -> float:
    try:
        return host_limit.seconds(text)
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from None


HostLimit = Annotated[
    float | None,
    typer.Option(parser=_host_seconds, metavar="TIME", help=host_limit.HELP, rich_help_panel=TIME),
]
NsPerInstruction = Annotated[
    int, typer.Option(parser=number, metavar="NS", help="Time that one instruction takes.", rich_help_panel=TIME)
]
Portable = Annotated[
    bool,
    typer.Option("--portable", help="Use no native code on this host: slower, same digest.", rich_help_panel=TIME),
]
Engine = Annotated[
    EngineName,
    typer.Option(
        help="wasmtime runs signed modules; native runs one flat x86-64 binary, which the kernel measures.",
        rich_help_panel=POLICY,
    ),
]
Production = Annotated[
    bool, typer.Option("--production", help="Refuse payloads signed with a development key.", rich_help_panel=POLICY)
]
Anchors = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Trust anchor (NAME.anchor.json) to accept besides the development anchor; may be repeated.",
        rich_help_panel=POLICY,
    ),
]
AttestationPolicy = Annotated[
    Attestation,
    typer.Option(
        help="off: nothing is measured; record: a cycle also runs if its evidence is refused; "
        "require: it runs only if accepted.",
        rich_help_panel=POLICY,
    ),
]
PostQuantum = Annotated[
    bool,
    typer.Option("--post-quantum", help="Accept quotes only with an ML-DSA-65 signature, too.", rich_help_panel=POLICY),
]
References = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Reference values for the built-in verifier, instead of those of this run; may be repeated.",
        rich_help_panel=POLICY,
    ),
]
Features = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME",
        help="WebAssembly feature to allow beyond the profile; may be repeated.",
        rich_help_panel=POLICY,
    ),
]

Append = Annotated[str, typer.Option(metavar="TEXT", help="Command line for the kernel.", rich_help_panel=KERNEL)]
Modules = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE[,TEXT]",
        help="File to load with the kernel, and its command line; may be repeated.",
        rich_help_panel=KERNEL,
    ),
]
RamSize = Annotated[
    str, typer.Option(metavar="SIZE", help="Size of memory: 64M, 1G or a number of bytes.", rich_help_panel=KERNEL)
]
FwCfg = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=FILE",
        help="File for the kernel to read through fw_cfg; may be repeated.",
        rich_help_panel=KERNEL,
    ),
]


def kernel_options(append: str, modules: list[str] | None, ram: str, fw_cfg: list[str] | None) -> "KernelOptions":
    """Return these options for a `BareKernel`. Raises ConfigurationError for an invalid text or an unreadable file."""
    from enclave_sim.enclave.kernel.bare_kernel import KernelOptions  # noqa: PLC0415 - it loads the machine

    return KernelOptions(
        command_line=append,
        modules=tuple(map(kernel.module, modules or ())),
        ram_bytes=kernel.size(ram),
        files=dict(map(kernel.named_file, fw_cfg or ())),
    )


def read_references(paths: Iterable[Path]) -> "ReferenceValues | None":
    """Return the merged reference values of these files; None without any. Raises EnclaveError for another file."""
    from enclave_sim.attestation import ReferenceValues  # noqa: PLC0415

    values = [ReferenceValues.load(path) for path in paths]
    return reduce(ReferenceValues.merge, values) if values else None
