"""Runs that are executed in both directions, as commands are asked for them: payloads, or a kernel image."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from enclave_sim.cli.options import kernel
from enclave_sim.errors import ConfigurationError

if TYPE_CHECKING:
    from enclave_sim.enclave.kernel.bare_kernel import KernelOptions
    from enclave_sim.time_travel.travel import Travel


def image_among(names: list[str]) -> str | None:
    """Return the kernel image among names of payloads and images, or None. Raises ConfigurationError if not alone."""
    from enclave_sim.enclave.kernel.bare_kernel import is_kernel_image  # noqa: PLC0415 - only some commands need it

    found = next((name for name in names if is_kernel_image(Path(name))), None)
    if found is not None and len(names) > 1:
        raise ConfigurationError(f"{found} is a kernel image, which runs alone")
    return found


def kernel_run(path: str, options: "KernelOptions", serial: str | None) -> "Travel[Any]":
    """Return the run of a kernel image. Raises ConfigurationError if it cannot be loaded."""
    from enclave_sim.cli.runs.boot_serial import recorded  # noqa: PLC0415 - unicorn and wasmtime take 100 ms
    from enclave_sim.time_travel.travel import Travel  # noqa: PLC0415

    if serial is not None:
        options = msgspec.structs.replace(options, typed=recorded(serial))
    image = kernel.read_file(path)
    return Travel(lambda recorder: options.kernel(path, image, recorder=recorder))
