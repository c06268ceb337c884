"""Modules that AetherHost must refuse: not WebAssembly, not of the profile, or outside the guest contract."""

from dataclasses import dataclass

from hypothesis import strategies as st

from enclave_sim.strategies.module_defects import DEFECTS
from enclave_sim.strategies.wasm.guests import WasmGuest, wasm_guests


@dataclass(frozen=True, slots=True)
class DefectiveModule:
    """A module with one thing wrong."""

    defect: str
    """What is wrong: a name out of `DEFECTS`."""
    module: bytes
    """The module, not signed."""


def _make(defect: str, guest: WasmGuest, number: int) -> DefectiveModule:
    return DefectiveModule(defect, DEFECTS[defect](guest.source, number))


def malformed_modules() -> st.SearchStrategy[DefectiveModule]:
    """Good guests made bad by one defect each. All are refused: `PAYLOAD_REJECTED` once they are signed."""
    return st.builds(_make, st.sampled_from(list(DEFECTS)), wasm_guests(max_size=4), st.integers(0, 0xFFFF))
