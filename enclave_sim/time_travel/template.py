"""Boot once, run often: an enclave whose runs all start after its boot.

from enclave_sim import Template

template = Template("counter", cycles=3)
for inputs in schedules:
    result = template.start(inputs=inputs).run()

Every run equals that of a freshly booted enclave with the same inputs: the same events, the same digest. It only saves
the host time for booting.
"""

from collections.abc import Callable, Iterable
from typing import Any

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.errors import ConfigurationError
from enclave_sim.following import followers
from enclave_sim.inputs import AnyInput, GuestReplaced
from enclave_sim.specification import Phase


class Template:
    """An enclave that was booted once, from which many runs start.

        template = Template("counter", cycles=3)
        first = template.start().run()
        second = template.start(inputs=[ExternalInterrupt(at_ns=template.at_ns + 5_000)]).run()

    There is one enclave: `start` returns it to the snapshot taken after the boot, and discards the state of an earlier
    run. Keep the result or the recording, not the enclave. For one run, use `Enclave`; to step a run in both
    directions, `Session`.

    Args:
        payload: As for `Enclave`.
        phase: The boot phase that must have reached its target state when a run starts.
        prepare: Called with the enclave before it boots, to attach recorders or devices.
        **options: The other arguments of `Enclave`, except `inputs`.

    Raises:
        ConfigurationError: An option is not possible, or `phase` never reaches its target state: a payload that is
            refused has no later phases.
    """

    def __init__(
        self,
        payload: Any = "beacon",
        *,
        phase: Phase = Phase.EXEC_LOOP,
        prepare: Callable[[Enclave], None] | None = None,
        **options: Any,
    ) -> None:
        self._enclave = Enclave(payload, **options)
        if prepare is not None:
            prepare(self._enclave)
        if not self._enclave.run_to(phase):
            cause = self._enclave.block.cause
            why = f"; it ended by {cause.name}" if cause is not None else ""
            raise ConfigurationError(f"{phase.name} does not reach its target state{why}")
        self._snapshot = self._enclave.snapshot()
        self.at_ns = self._snapshot.machine.at_ns
        """Virtual time at which every run starts, in nanoseconds."""

    def start(self, guest: bytes | None = None, *, inputs: Iterable[AnyInput] = ()) -> Enclave:
        """Return the enclave, restored to the end of its boot.

        Args:
            guest: A WebAssembly module to run instead of the first payload.
            inputs: The inputs of this run, none before `at_ns`.

        Returns:
            The enclave, which is the same object each time.

        Raises:
            ConfigurationError: An input comes too early. The enclave is left at the start.
            PayloadRejected: The guest violates the profile or the contract. The enclave is left at the start.
        """
        scheduled = list(inputs)
        if guest is not None:
            scheduled.insert(0, GuestReplaced(at_ns=self.at_ns, payload=0, code=guest))
        self._enclave.restart(self._snapshot, scheduled)
        for follow in followers:
            follow(self._enclave)
        return self._enclave
