"""The recorders of one run: its digest, its summary, its recording in memory, and the caller's own recorder."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from enclave_sim.errors import EnclaveError
from enclave_sim.inputs import AnyInput
from enclave_sim.recording.format import Digest, Header, Tee
from enclave_sim.recording.outcome.residue import Residue
from enclave_sim.recording.outcome.summary import RunResult, Summary
from machine.events import Event, Recorder
from machine.state import State, Stateful

if TYPE_CHECKING:
    from enclave_sim.recording.recording import Recording
    from enclave_sim.recording.writer import RecordingWriter


class Outlets(msgspec.Struct, frozen=True):
    """The outputs of a run's events, apart from the result; see the arguments of `Enclave`."""

    recorder: Recorder | None = None
    writer: "RecordingWriter | None" = None
    digest: Digest | None = None
    record: bool = True


class Recorders:
    """All receivers of the events of one run, except the schedule of its inputs.

    A writer among the outlets writes the header at once. The caller's recorder gets each event last.
    """

    def __init__(self, header: Header, outlets: Outlets) -> None:
        self.header = header
        self.recording = _recording(header) if outlets.record else None
        if outlets.writer is not None:
            outlets.writer.begin(header)
        self._digest = outlets.writer or outlets.digest or Digest(header)
        self.summary = Summary()
        several: list[Recorder | None] = [self._digest, self.summary, self.recording, outlets.recorder]
        self._all = [one for one in several if one is not None]
        self._stateful: list[Any] = [one for one in self._all if isinstance(one, Stateful)]

    def tee(self, last: Recorder) -> Tee:
        """Return a recorder that passes each event to all of these and then to `last`."""
        return Tee([*self._all, last])

    @property
    def states(self) -> tuple[State, ...]:
        """The state of each recorder that has one, in the order in which they receive events."""
        return tuple(one.save_state() for one in self._stateful)

    def save_states(self) -> tuple[State, ...]:
        """Return `states` for a snapshot. Raises EnclaveError while the recording is written to a file."""
        if not isinstance(self._digest, Digest):  # written events cannot be taken back
            raise EnclaveError("no snapshot can be taken of an enclave whose recording is being written to a file")
        return self.states

    def load_states(self, states: Sequence[State]) -> None:
        """Return to states that `save_states` returned."""
        for one, state in zip(self._stateful, states, strict=True):
            one.load_state(state)

    def begin(self, events_so_far: Sequence[Event]) -> None:
        """Restart the digest with the header and these events. Raises EnclaveError like `save_states`."""
        if not isinstance(self._digest, Digest):
            raise EnclaveError("an enclave whose recording is being written to a file cannot take another's place")
        self._digest.begin(self.header, events_so_far)

    def continue_run(self, events_so_far: Sequence[Event]) -> None:
        """Take over the events of another enclave's run. Raises EnclaveError like `begin`."""
        for event in events_so_far:
            self.summary.record(event)
        self.begin(events_so_far)
        if self.recording is not None:
            self.recording.events[:] = events_so_far

    def reschedule(self, inputs: tuple[AnyInput, ...]) -> None:
        """Continue as a run with other inputs. Needs a recording in memory; raises EnclaveError like `begin`."""
        assert self.recording is not None
        self.header = self.recording.header = msgspec.structs.replace(self.header, inputs=inputs)
        self.begin(self.recording.events)

    def stop_at(self, limit_ns: int) -> None:
        """Note that the run ends here, at this virtual time, unless more events come."""
        self._digest.stop_at(limit_ns)
        if self.recording is not None:
            self.recording.stop_at(limit_ns)

    def result(self, *, dormant: bool, residue: Residue, virtual_ns: int, serial: str) -> RunResult:
        """Return the result of the run so far, completed with data from the machine."""
        return self.summary.result(
            halted=dormant,
            residue=residue,
            virtual_ns=virtual_ns,
            events=self._digest.events,
            digest=self._digest.hexdigest(),
            firmware_sha256=self.header.firmware_sha256,
            payload_sha256=self.header.payload_sha256,
            serial=serial,
        )


def _recording(header: Header) -> "Recording":
    from enclave_sim.recording.recording import Recording  # noqa: PLC0415 - few commands need it

    return Recording(header)
