"""A strategy for configurations of an enclave."""

from typing import Any

from hypothesis import strategies as st

from enclave_sim.enclave.configuration import EnclaveConfiguration, configured
from enclave_sim.specification import Attestation

_MOST_CYCLES, _LONGEST_NS = 4, 3_000_000
_SLOWEST = 10
_INSTRUCTIONS_IN_A_SLICE = 1000
_WORD = (1 << 32) - 1


def configurations(**fixed: Any) -> st.SearchStrategy[EnclaveConfiguration]:
    """Draw configurations in which a good payload completes: 1 to 4 cycles, with sleeps of up to 3 ms.

    Drawn are cycles, lengths of sleeps and of time slices, the time of an instruction, sensors, the attestation policy,
    `post_quantum` and the number of earlier resets. They shrink to the shortest and simplest run.

    Args:
        **fixed: Options that all configurations have, such as `engine="native"` or `cycles=2`.

    Returns:
        A strategy, for `configuration` of `Enclave`.

    Raises:
        ConfigurationError: There is no such option, or a value is out of range.
    """
    base = configured(EnclaveConfiguration(), fixed)

    @st.composite
    def drawn(draw: st.DrawFn) -> EnclaveConfiguration:
        pace = fixed.get("ns_per_instruction") or draw(st.integers(1, _SLOWEST))
        options = {
            "cycles": st.integers(1, _MOST_CYCLES),
            "wake_ns": st.integers(1000, _LONGEST_NS),
            "quantum_ns": st.integers(_INSTRUCTIONS_IN_A_SLICE * pace, _LONGEST_NS + _INSTRUCTIONS_IN_A_SLICE * pace),
            "sensors": st.tuples(st.integers(0, _WORD), st.integers(0, _WORD)),
            "attestation": st.sampled_from(Attestation),
            "post_quantum": st.booleans(),
            "tpm_resets": st.integers(0, _WORD - 1),
        }
        chosen = {name: draw(values) for name, values in options.items() if name not in fixed}
        return configured(base, {"ns_per_instruction": pace, **chosen})

    return drawn()
