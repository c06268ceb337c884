"""Loading the enclave's kernel with its payloads and trust anchors into the RAM of a machine."""

from collections.abc import Sequence

from enclave_sim.enclave.attester.expected_measurements import Measured
from enclave_sim.enclave.configuration import EnclaveConfiguration
from machine.boot import loader
from machine.machine import Machine


def load_kernel(
    machine: Machine, configuration: EnclaveConfiguration, payloads: Sequence[bytes], anchors: bytes | None
) -> tuple[loader.Loaded, Measured]:
    """Load the kernel. Return the locations of everything loaded, and the values that the kernel will measure.

    Args:
        machine: The machine, not started yet.
        configuration: Gives the kernel's command line.
        payloads: The payloads, one Multiboot module each.
        anchors: The packed trust anchors, the last module; None for a flat guest, which is not signed.

    Returns:
        The loader's result, and the measured values.
    """
    modules = [loader.Module(payload, f"payload{number}") for number, payload in enumerate(payloads)]
    command_line = configuration.command_line(payloads)
    loaded = loader.load(
        machine,
        configuration.kernel.image,
        command_line,
        modules if anchors is None else [*modules, loader.Module(anchors, "anchors")],
        unallocated_sections=False,  # debug information in RAM would be residue
    )
    information = machine.ram.read(*loaded.information)
    return loaded, Measured(configuration.kernel, information, command_line, anchors, tuple(payloads))
