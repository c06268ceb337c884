"""Boot once, run often: an enclave whose runs all start where its boot ended.

from enclave_sim import Template

template = Template("counter", cycles=3)
for inputs in schedules:
    result = template.start(inputs=inputs).run()

Every run is what a freshly booted enclave with the same inputs would have done: same events, same digest. Only the
time that booting takes on the host is saved.
"""

from collections.abc import Callable, Iterable
from typing import Any

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.errors import ConfigurationError
from enclave_sim.inputs import AnyInput, GuestReplaced
from enclave_sim.specification import Phase


class Template:
    """An enclave in which `phase` has reached its target state.

    The arguments are those of `Enclave`, without `inputs`; `prepare` is called with the enclave before it boots.

    Raises ConfigurationError if it never does: a payload that is refused has no later phases.
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
        """Virtual time at which every run starts."""

    def start(self, guest: bytes | None = None, *, inputs: Iterable[AnyInput] = ()) -> Enclave:
        """Start again, with another guest in the place of the first payload if one is given.

        There is one enclave: what the last run left in it is gone. Raises ConfigurationError for an input that
        comes too early, PayloadRejected for a guest outside profile or contract; both leave it at the start.
        """
        scheduled = list(inputs)
        if guest is not None:
            scheduled.insert(0, GuestReplaced(at_ns=self.at_ns, payload=0, code=guest))
        self._enclave.restart(self._snapshot, scheduled)
        return self._enclave
