"""Modules that AetherHost must refuse: not WebAssembly, outside the profile, or violating the guest contract."""

from dataclasses import dataclass

from hypothesis import strategies as st

from enclave_sim.strategies.module_defects import DEFECTS
from enclave_sim.strategies.wasm.guests import WasmGuest, wasm_guests


@dataclass(frozen=True, slots=True)
class DefectiveModule:
    """A module with one defect."""

    defect: str
    """The defect: a key of `enclave_sim.strategies.module_defects.DEFECTS`."""
    module: bytes
    """The module in the binary format, unsigned."""


def _make(defect: str, guest: WasmGuest, number: int) -> DefectiveModule:
    return DefectiveModule(defect, DEFECTS[defect](guest.source, number))


def malformed_modules() -> st.SearchStrategy[DefectiveModule]:
    """Draw valid guests, each with one defect added.

    Returns:
        A strategy for modules. A run with one of them, signed, ends with `PAYLOAD_REJECTED`.
    """
    return st.builds(_make, st.sampled_from(list(DEFECTS)), wasm_guests(max_size=4), st.integers(0, 0xFFFF))
