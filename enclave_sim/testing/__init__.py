"""Testing enclaves: assertions, and the pytest plugin, which loads this package whenever pytest starts.

from enclave_sim.testing import assert_deterministic, assert_events

def test_counter():
    assert_deterministic("counter", runs=3, cycles=2)
"""

from typing import TYPE_CHECKING

from enclave_sim._lazy import lazily

if TYPE_CHECKING:
    from enclave_sim.testing.assertions import assert_attested as assert_attested
    from enclave_sim.testing.assertions import assert_deterministic as assert_deterministic
    from enclave_sim.testing.assertions import assert_events as assert_events
    from enclave_sim.testing.assertions import assert_isolated as assert_isolated
    from enclave_sim.testing.assertions import assert_jitter_free as assert_jitter_free
    from enclave_sim.testing.assertions import assert_noninterference as assert_noninterference
    from enclave_sim.testing.assertions import assert_same_recording as assert_same_recording
    from enclave_sim.testing.assertions import assert_short_lived as assert_short_lived
    from enclave_sim.testing.assertions import assert_zero_trace as assert_zero_trace

_HOMES = dict.fromkeys(
    (
        "assert_attested",
        "assert_deterministic",
        "assert_events",
        "assert_isolated",
        "assert_jitter_free",
        "assert_noninterference",
        "assert_same_recording",
        "assert_short_lived",
        "assert_zero_trace",
    ),
    "assertions",
)
__all__ = sorted(_HOMES)  # noqa: PLE0605 - the keys are strings
__getattr__ = lazily(__name__, _HOMES)
