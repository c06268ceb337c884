"""The reference pages of the Python API: a directive of autodoc for each public name, in the order of `__all__`."""

import inspect
from collections.abc import Iterator
from importlib import import_module

PACKAGES = (
    "enclave_sim",
    "enclave_sim.time_travel",
    "enclave_sim.guarantees",
    "enclave_sim.recording",
    "enclave_sim.testing",
    "enclave_sim.strategies",
    "enclave_sim.attestation",
    "enclave_sim.enclave",
    "machine.machine",
)
"""The packages whose `__all__` is public, in the order of their pages."""
EXPORTED = {"machine.machine": ("Machine",)}
"""The public names of a module that has no `__all__`."""

ERRORS = {
    "enclave_sim.errors": ("KernelDied", "HostLimitReached"),
    "enclave_sim.time_travel.position": ("NoSuchPosition",),
    "enclave_sim.time_travel.link": ("LinkError",),
    "enclave_sim.time_travel.snapshot_file": ("SnapshotError",),
    "enclave_sim.time_travel.notebook.document": ("NotebookError",),
    "enclave_sim.payload.errors": ("PayloadError", "MalformedModule", "KeyFileError", "PayloadRejected"),
    "enclave_sim.attestation.service.errors": ("RequestRefused", "VerifierUnavailable"),
    "enclave_sim.enclave.attester.contract": ("NoChallenge",),
    "enclave_sim.files.reading": ("MissingFile",),
    "enclave_sim.cancellation": ("Cancelled",),
    "machine.errors": ("MachineError", "EmulatorFault"),
    "machine.tpm.backend": ("TpmUnavailable",),
}
"""Errors that callers meet and no package exports, by the module that defines them."""


def pages() -> Iterator[tuple[str, str]]:
    """Yield the name and the text, in reStructuredText, of each page. A name exported twice is described once."""
    described: dict[int, str] = {}
    for package in PACKAGES:
        module = import_module(package)
        lines = [f"``{package}``", "=" * (len(package) + 4), "", inspect.getdoc(module) or "", ""]
        for name in EXPORTED.get(package) or module.__all__:
            public = getattr(module, name)
            if isinstance(public, str | int):
                lines += [f".. py:data:: {package}.{name}", f"   :value: {public!r}", ""]
            elif id(public) in described:
                lines += [f"``{name}`` is :py:obj:`{described[id(public)]}`.", ""]
            else:
                described[id(public)] = f"{package}.{name}"
                lines += _directive(f"{package}.{name}", public)
        yield package, "\n".join(lines)
    lines = [
        "Errors",
        "======",
        "",
        "Errors that are not in the packages above, with the modules that define them.",
        "",
    ]
    for home, names in ERRORS.items():
        for name in names:
            lines += _directive(f"{home}.{name}", getattr(import_module(home), name))
    yield "errors", "\n".join(lines)


def _directive(name: str, public: object) -> list[str]:
    if not isinstance(public, type):
        return [f".. autofunction:: {name}", ""]
    kind = "autoexception" if issubclass(public, BaseException) else "autoclass"
    return [f".. {kind}:: {name}", "   :members:", "   :show-inheritance:", ""]
