"""The life of an enclave as a Hypothesis state machine: rules in any order, with invariants checked after each.

from enclave_sim.strategies import life_cycle

TestLife = life_cycle("counter", cycles=3).TestCase
"""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from enclave_sim.enclave.enclave import EnclaveSnapshot
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.guarantees import Scenario, isolated, zero_trace
from enclave_sim.guarantees.observation import Observer
from enclave_sim.inputs import SensorValue, UplinkReady
from enclave_sim.specification import Cause, Phase, Status, Step

_PHASE_STATUS = (Status.ARCH_LOCKED, Status.MEM_SANITIZED, Status.PAYLOAD_VERIFIED, Status.ACTIVE)
_LONGEST_STEP_NS = 2_000_000
_LIMIT_NS = 1_000_000_000


class LifeCycle(RuleBasedStateMachine):
    """Boots an enclave, disturbs it, restores snapshots, and checks it against the specification.

    `life_cycle` makes a subclass with the `scenario` to run.
    """

    scenario: Scenario

    def __init__(self) -> None:
        super().__init__()
        self.observer = Observer()
        self.enclave = self.scenario.enclave(self.observer)
        self.observer.attach(self.enclave)
        self.saved: EnclaveSnapshot | None = None
        self.now_ns = 0
        self.cause: Cause | None = None

    # Rules

    @rule(phase=st.sampled_from(Phase))
    def run_to(self, phase: Phase) -> None:
        """Run until a phase has reached its target state.

        Args:
            phase: The phase.
        """
        reached = self.enclave.run_to(phase)
        assert reached or self.enclave.dormant, f"{phase.name} is neither reached nor made impossible"

    @rule(duration_ns=st.integers(1, _LONGEST_STEP_NS))
    def run_for(self, duration_ns: int) -> None:
        """Run for some time.

        Args:
            duration_ns: The virtual time in nanoseconds, at least 1.
        """
        self.enclave.run(self.enclave.machine.clock.now_ns + duration_ns)

    @rule()
    def interrupt(self) -> None:
        """Raise the external interrupt."""
        self.enclave.interrupt()

    @rule()
    def tamper(self) -> None:
        """Pull the tamper line."""
        self.enclave.tamper()

    @rule(sensor=st.integers(0, 1), value=st.integers(0, 2**32 - 1))
    def change_sensor(self, sensor: int, value: int) -> None:
        """Change the value of a sensor.

        Args:
            sensor: The number of the sensor, 0 or 1.
            value: Its new value, of 32 bits.
        """
        self.enclave.take(SensorValue(at_ns=self.enclave.machine.clock.now_ns, sensor=sensor, value=value))

    @rule(ready=st.booleans())
    def change_uplink(self, ready: bool) -> None:
        """Make the uplink ready, or not.

        Args:
            ready: True if it becomes ready.
        """
        self.enclave.take(UplinkReady(at_ns=self.enclave.machine.clock.now_ns, ready=ready))

    @rule()
    def save(self) -> None:
        """Take a snapshot."""
        self.saved = self.enclave.snapshot()

    @precondition(lambda self: self.saved is not None)
    @rule()
    def go_back(self) -> None:
        """Return to the snapshot."""
        assert self.saved is not None
        self.enclave.restore(self.saved)
        self.now_ns, self.cause = self.saved.machine.at_ns, self.enclave.block.cause

    # Invariants

    @invariant()
    def time_goes_on(self) -> None:
        """Check that virtual time never runs backwards."""
        assert self.enclave.machine.clock.now_ns >= self.now_ns
        self.now_ns = self.enclave.machine.clock.now_ns

    @invariant()
    def the_first_cause_stands(self) -> None:
        """Check that annihilation keeps its first cause."""
        cause = self.enclave.block.cause
        assert self.cause is None or cause is self.cause
        self.cause = cause

    @invariant()
    def status_follows_the_phases(self) -> None:
        """Check that a phase's bit is set only if all earlier ones are, and none in DORMANT."""
        status = Status(self.enclave.block.status)
        reached = [bool(status & bit) for bit in _PHASE_STATUS]
        assert reached == sorted(reached, reverse=True), f"status {status!r}"
        assert not (self.enclave.dormant and status), f"dormant, with status {status!r}"
        assert Status.COMPROMISED not in status

    @invariant()
    def annihilation_goes_step_by_step(self) -> None:
        """Check that steps A1 to A7 come in order, and that the last one is DORMANT."""
        steps = self.enclave.block.steps
        assert steps == list(Step)[: len(steps)]
        assert self.enclave.dormant == (steps == list(Step))

    @invariant()
    def nothing_is_left(self) -> None:
        """Check that in DORMANT all of RAM is zero or the measured image."""
        if self.enclave.dormant:
            assert self.enclave.scan_residue().ranges == ()

    def teardown(self) -> None:
        """Run the enclave to its end, and check `zero_trace` and `isolated`."""
        run = self.observer.run(self.enclave, self.scenario)
        assert run.result.outcome != "KERNEL_FAULT", run.result.detail
        zero_trace([run]).check()
        isolated([run]).check()


def life_cycle(payload: Any = "counter", **options: Any) -> type[LifeCycle]:
    """Make a state machine for one payload. Its `TestCase` is a test.

    Args:
        payload: As for `Enclave`.
        **options: Those of `EnclaveOptions.of`.

    Returns:
        The class.

    Raises:
        ConfigurationError: An option is not possible.
    """
    made = Scenario(payload, EnclaveOptions.of(**options), (), _LIMIT_NS)
    return type("EnclaveLifeCycle", (LifeCycle,), {"scenario": made})
