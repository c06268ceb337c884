"""Uses of a value after a position: provenance forwards."""

from collections.abc import Iterator
from typing import Any

from enclave_sim.time_travel.navigation.last_write import place as named
from enclave_sim.time_travel.navigation.provenance.answers import Ending, Happened, Role, Use
from enclave_sim.time_travel.navigation.provenance.decoding import decoded
from enclave_sim.time_travel.navigation.provenance.effects import Input, cut, length
from enclave_sim.time_travel.navigation.provenance.places import Place
from enclave_sim.time_travel.navigation.provenance.steps import Step, Steps
from enclave_sim.time_travel.navigation.provenance.transfers import Transfers
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.bus.writer import Writer

_STRIDE = 256


class Uses:
    """Finds what a timeline does with a value. The timeline moves."""

    def __init__(self, timeline: Timeline[Any], steps: Steps, transfers: Transfers) -> None:
        self._timeline = timeline
        self._steps = steps
        self._transfers = transfers

    def of(self, place: Place, start: Position, within: int, most: int) -> Iterator[Use]:
        """Yield the uses of a value, in order, up to the step that overwrites the last of it.

        Args:
            place: The bytes.
            start: The position from which on to look.
            within: The number of steps to look at, at most; for memory, those that do not access it do not count.
            most: The number of uses, at most.

        Yields:
            The uses; the last one is a limit, if neither the value nor the run ends.
        """
        rest, count = [place], 0
        for step in self._after(place, start, within):
            uses, rest = self._step(step, rest)
            for use in uses:
                count += 1
                if count > most:
                    yield self._limit(use.position, f"only the first {most} uses are listed")
                    return
                yield use
            if not rest:
                return
        if self._timeline.now != self._timeline.end:
            yield self._limit(self._timeline.now, f"not looked further than {within} steps")

    def _limit(self, position: Position, text: str) -> Use:
        return Use(Happened.LIMIT, position, f"{text}; ask again there to go on", None, None, ())

    def _after(self, place: Place, start: Position, within: int) -> Iterator[Step]:
        """Yield the steps after a position; of those that only access memory elsewhere, none if memory is asked for."""
        timeline, count, goal = self._timeline, 0, start
        while count < within:
            timeline.go_to(goal)
            if place.in_memory and not self._run_to_access(place):
                return
            if not place.in_memory:
                for _ in range(_STRIDE):
                    if not timeline.step():
                        break
            reached = timeline.now
            if reached == goal:
                return
            steps = [step for step in self._steps.before(reached, _STRIDE) if step.before >= goal]
            for step in reversed(steps):
                count += 1
                yield step
                if count == within:
                    timeline.go_to(step.after)
                    return
            goal = reached

    def _run_to_access(self, place: Place) -> bool:
        """Run to the position after the next access to some memory. Return False at the end of the run."""
        timeline, machine = self._timeline, self._timeline.machine
        met = False

        def accessed(_writes: bool, _address: int, _size: int) -> None:
            nonlocal met
            met = True
            timeline.interrupt()

        def written(_by: Writer, _base: int, _size: int) -> None:
            accessed(True, 0, 0)

        where = range(place.start, place.end)
        removals = machine.cpu.watch_memory(where, accessed), machine.ram.watch(where, written)
        try:
            while not met:
                before = timeline.now
                timeline.run()
                if timeline.now == before:
                    return False
        finally:
            for remove in removals:
                remove()
        return True

    def _step(self, step: Step, wanted: list[Place]) -> tuple[list[Use], list[Place]]:
        """Return the uses of some bytes in a step, and the bytes that are left."""
        timeline = self._timeline
        timeline.go_to(step.before)
        uses: list[Use] = []
        rest = list(wanted)
        for transfer in self._transfers.of(step):
            made: dict[Role, dict[Place, None]] = {}
            for effect in transfer.effects:
                sources = [one for one in effect.inputs if _overlaps(one, rest)]
                if not sources:  # most often, and the scrub engine writes a megabyte
                    continue
                size = length(effect.target)
                for index in range(size):
                    for source in sources:
                        for role, what in source.narrowed(index, index + 1, size):
                            if isinstance(what, Place) and any(what.common(one) for one in rest):
                                made.setdefault(role, {})[cut(effect.target, index, index + 1)[0]] = None
            for role, places in made.items():
                uses.append(
                    Use(Happened.USED, step.after, transfer.by, transfer.instruction, role, _joined(list(places)))
                )
            gone = []
            for effect in transfer.effects:
                for target in effect.target:
                    gone += [common for one in rest if (common := one.common(target)) is not None]
                    rest = [left for one in rest for left in one.without(target)]
            if gone:
                uses.append(
                    Use(Happened.OVERWRITTEN, step.after, transfer.by, transfer.instruction, None, _joined(gone))
                )
        if not uses and step.executed and self._reads(step, wanted):
            found = decoded(step.code, step.rip, step.long)
            text = None if found is None else found.text
            uses.append(Use(Happened.USED, step.after, named(timeline, step.rip), text, None, ()))
        return uses, rest

    def _reads(self, step: Step, wanted: list[Place]) -> bool:
        """Report whether an instruction reads some bytes, of which it makes nothing that has a place."""
        if any(access.common(one) for access in step.reads for one in wanted):
            return True
        found = decoded(step.code, step.rip, step.long)
        return found is not None and any(one.common(place) for one in found.reads for place in wanted)


def _overlaps(source: Input, wanted: list[Place]) -> bool:
    """Report whether a source has some of the wanted bytes."""
    if isinstance(source.what, Ending):
        return False
    return any(piece.common(one) for piece in source.what for one in wanted)


def _joined(places: list[Place]) -> tuple[Place, ...]:
    """Join adjacent bytes."""
    found: list[Place] = []
    for place in sorted(places):
        last = found[-1] if found else None
        if last is not None and last.space == place.space and last.end >= place.start:
            found[-1] = Place(last.space, last.start, max(last.end, place.end) - last.start)
        else:
            found.append(place)
    return tuple(found)
