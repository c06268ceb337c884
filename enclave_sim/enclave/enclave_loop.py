"""The run of an enclave: runs the machine, taking each input when due, until something ends the run."""

from enclave_sim import events
from enclave_sim.enclave import due_inputs
from enclave_sim.enclave.devices.enclave_block import EnclaveBlock
from enclave_sim.enclave.inputs.environment import Environment
from enclave_sim.errors import KernelDied
from enclave_sim.recording.outcome.summary import Summary
from enclave_sim.specification import Phase
from machine.errors import UnicornStopped
from machine.machine import Machine, Outcome


class EnclaveLoop:
    """Runs the machine of one enclave. Virtual times are in ns since reset; None for no limit."""

    def __init__(
        self, machine: Machine, block: EnclaveBlock, environment: Environment, summary: Summary, *, own_kernel: bool
    ) -> None:
        self._machine = machine
        self._block = block
        self._environment = environment
        self._summary = summary
        self._own_kernel = own_kernel
        """The kernel is not the built-in one, so it may stop anywhere."""
        self.reached: set[Phase] = set()
        """The boot phases that have reached their target state."""
        self._awaited: Phase | None = None
        block.on_target_state_reached(self._target_state_reached)

    def run_to(self, phase: Phase) -> bool:
        """Run until a phase has reached its target state; see `Enclave.run_to`."""
        if phase in self.reached:
            return True
        self._awaited = phase
        while self._awaited is not None and not self._block.dormant:
            if self._continue(None) is not Outcome.STOPPED:
                break
        reached, self._awaited = self._awaited is None, None
        return reached

    def run(self, limit_ns: int | None) -> Outcome:
        """Run to the end or the limit; see `Enclave.run`. A kernel that may stop and does so is recorded."""
        try:
            while (outcome := self._continue(limit_ns)) is Outcome.STOPPED:
                pass
        except (KernelDied, UnicornStopped) as error:
            if not self._may_stop:
                raise
            self._kernel_stopped(str(error))
            return Outcome.HALTED
        if outcome is not Outcome.LIMIT:
            self.conclude()
        return outcome

    def conclude(self) -> bool:
        """Record that the kernel stopped for good, if it may. Return False if the run ended in another way."""
        stopped = self._may_stop and not self._block.dormant
        if stopped:
            self._kernel_stopped("triple fault" if self._machine.shut_down else "halted for good")
        return stopped

    def advance(self, limit_ns: int | None) -> Outcome:
        """Run until something stops the machine; see `Enclave.advance`."""
        outcome = self._run_with_inputs(limit_ns)
        self._check_alive(outcome)
        return outcome

    def step(self) -> bool:
        """Take a due input, or make the machine take one step; see `Enclave.step`."""
        return due_inputs.step(self._machine, self._environment)

    @property
    def between_steps(self) -> bool:
        """True if a step has just ended: the machine's, or one followed by a due input."""
        return due_inputs.between_steps(self._machine, self._environment)

    @property
    def input_is_due(self) -> bool:
        """True if the next input is due now."""
        return due_inputs.is_due(self._machine, self._environment)

    def load_reached(self, reached: frozenset[Phase]) -> None:
        """Return to a moment when these phases had reached their target state."""
        self.reached, self._awaited = set(reached), None

    def _continue(self, limit_ns: int | None) -> Outcome:
        outcome = self._run_with_inputs(limit_ns)
        if outcome is Outcome.LIMIT and self._block.dormant:  # only halting is left
            outcome = self._run_with_inputs(None)
        self._check_alive(outcome)
        return outcome

    def _run_with_inputs(self, limit_ns: int | None) -> Outcome:
        return due_inputs.run(self._machine, self._environment, limit_ns)

    def _check_alive(self, outcome: Outcome) -> None:
        ended = outcome in (Outcome.HALTED, Outcome.SHUTDOWN)
        if ended and not self._block.dormant and not self._may_stop:
            post, rip = self._machine.post_code.code, self._machine.cpu.rip
            raise KernelDied(f"the kernel stopped before annihilation: POST code {post:#x}, RIP {rip:#x}")

    @property
    def _may_stop(self) -> bool:
        """True if the kernel is not the built-in one, or an input has changed memory or registers."""
        return self._own_kernel or self._summary.memory_faults > 0

    def _kernel_stopped(self, reason: str) -> None:
        post, rip = self._machine.post_code.code, self._machine.cpu.rip
        self._machine.journal.emit(events.KernelStopped, reason, post, rip)

    def _target_state_reached(self, phase: Phase) -> None:
        self.reached.add(phase)
        if phase is self._awaited:
            self._awaited = None
            self._machine.request_stop()
