"""The figures of a report: the run's activities, their counts, and the evidence for its guarantees."""

from collections import Counter
from collections.abc import Iterable

from enclave_sim import events as enclave
from enclave_sim.events import name_of_kind
from enclave_sim.recording.exports.picture.lanes import Timeline
from enclave_sim.recording.exports.spans import MarkReader, of_an_enclave
from enclave_sim.recording.format import Digest, Header
from enclave_sim.recording.outcome.summary import Summary
from machine import events as machine
from machine.events import Event


class Scrubs:
    """The scrubs of one region."""

    def __init__(self) -> None:
        self.times = self.total_bytes = self.not_zero = 0
        """`not_zero` counts the scrubs after which the region was nonzero when read back."""


class Figures:
    """The figures of a recording, which is read once. Memory hardly grows with its length."""

    def __init__(self, header: Header, events: Iterable[Event]) -> None:
        self.header = header
        self.of_an_enclave = of_an_enclave(header)
        self.summary = Summary()
        self.timeline = Timeline()
        self.kinds: Counter[str] = Counter()
        self.interrupts: Counter[tuple[int, str]] = Counter()
        """Counts by vector and source."""
        self.host_calls: Counter[str] = Counter()
        self.scrubs: dict[str, Scrubs] = {}
        self.scrub_causes: Counter[str] = Counter()
        self.wakes: Counter[str] = Counter()
        self.latencies_ns: Counter[int] = Counter()
        """Counts of latencies of wakes with a deadline: from the deadline to the first instruction of the handler."""
        self.residue: enclave.ResidueScanned | None = None
        """None if the run did not end dormant."""
        self.virtual_ns = 0
        digest, reader = Digest(header), MarkReader()
        for event in events:
            digest.record(event)
            self._count(event)
            for mark in reader.read(event):
                self.timeline.take(mark)
        self.timeline.finish(self.virtual_ns)
        self.events = digest.events
        self.digest = digest.hexdigest()

    @property
    def outcome(self) -> str:
        """The cause of annihilation, `KERNEL_STOPPED`, or `LIMIT` if the recording ends before the enclave's end."""
        over = self.residue is not None or self.summary.kernel_stopped
        return self.summary.outcome or "LIMIT" if over else "LIMIT"

    def _count(self, event: Event) -> None:
        self.virtual_ns = event.at_ns
        self.kinds[name_of_kind(event)] += 1
        if not isinstance(event, enclave.PhaseCompleted) or self.summary.phases:
            self.summary.record(event)
        if isinstance(event, machine.InterruptRaised):
            self.interrupts[event.vector, event.source] += 1
        elif isinstance(event, enclave.HostCalled):
            self.host_calls[event.name] += 1
        elif isinstance(event, enclave.Scrubbed):
            region = self.scrubs.setdefault(event.region, Scrubs())
            region.times += 1
            region.total_bytes += event.size
            region.not_zero += not event.verified
            self.scrub_causes[event.cause] += 1
        elif isinstance(event, enclave.Woken):
            self.wakes[event.source] += 1
            if event.latency_ns is not None:
                self.latencies_ns[event.latency_ns] += 1
        elif isinstance(event, enclave.ResidueScanned):
            self.residue = event
