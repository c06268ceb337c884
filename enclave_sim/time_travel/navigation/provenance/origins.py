"""The last writes of some bytes before a position: one level of provenance."""

from collections.abc import Iterable
from typing import Any

from enclave_sim.time_travel.navigation.last_write import find_last_write
from enclave_sim.time_travel.navigation.provenance.answers import LISTED, End, Ending, Origin, Role, Source, Value
from enclave_sim.time_travel.navigation.provenance.content import content
from enclave_sim.time_travel.navigation.provenance.decoding import decoded
from enclave_sim.time_travel.navigation.provenance.devices import DeviceSources
from enclave_sim.time_travel.navigation.provenance.effects import Transfer, written
from enclave_sim.time_travel.navigation.provenance.guest.sources import GuestSources
from enclave_sim.time_travel.navigation.provenance.places import FLAGS, MEMORY, Place
from enclave_sim.time_travel.navigation.provenance.power_on import at_power_on
from enclave_sim.time_travel.navigation.provenance.steps import Step, Steps
from enclave_sim.time_travel.navigation.provenance.transfers import COMPUTED, Transfers
from enclave_sim.time_travel.navigation.provenance.uses import Uses
from enclave_sim.time_travel.navigation.provenance.write_log import WriteLog
from enclave_sim.time_travel.navigation.register_write import RegisterWrites
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.architecture.processor_state import GENERAL_REGISTERS

_NEAR = 64
"""Steps that are looked at one by one for memory, before the write log is asked."""
_DELIVERED = frozenset(["rsp", "rflags", "cs", "ss", "cr2"])
_GUEST = frozenset(["rax", "rcx", "rdi"])
_GUEST_STORE = "the guest"


class Origins:
    """Finds the last writes of bytes in a timeline, which moves."""

    def __init__(self, timeline: Timeline[Any], registers: RegisterWrites) -> None:
        self._timeline = timeline
        self._registers = registers
        self._steps = Steps(timeline)
        self._log = WriteLog(timeline)
        self._guests = GuestSources(timeline, self._steps)
        self._transfers = Transfers(timeline, self._guests)
        self.uses = Uses(timeline, self._steps, self._transfers)
        self._devices = DeviceSources(timeline, self._log.last)

    def value(self, place: Place, position: Position) -> Value:
        """Return what a place holds at a position, without its origins."""
        self._timeline.go_to(position)
        return self._value(place)

    def of(self, value: Value, within: int) -> Value:
        """Return a value with its origins.

        Args:
            value: The value.
            within: The number of steps to go back at most for a register.

        Returns:
            The same value; with a limit if something was not found within these steps.
        """
        if self._guests.is_value(value.place):
            return self._guests.of(value)
        if not value.place.in_memory:
            return self._register(value, within)
        if value.place.start >= self._timeline.machine.ram.size:
            return self._device(value)
        return self._memory(value)

    # Registers

    def _register(self, value: Value, within: int) -> Value:
        found: list[Origin] = []
        rest, goal, count = [value.place], value.position, 0
        for step in self._steps.before(value.position, within):
            count, goal = count + 1, step.before
            if _may_write(step, rest):
                made, rest = self._made(step, rest)
                found += made
                if not rest:
                    break
        limit = None
        if rest and goal == Position(0):
            found += [origin for place in rest for origin in self._power_on(place)]
        elif rest:
            made, limit = self._changed_before(goal, rest, count)
            found += made
        return _with(value, found, limit)

    def _changed_before(self, goal: Position, rest: list[Place], count: int) -> tuple[list[Origin], Ending | None]:
        """Find the last change of a register before the steps that were looked at."""
        name = rest[0].space
        how = f"ask within {4 * max(count, 1)} to look further"
        if name not in GENERAL_REGISTERS:
            return [], Ending(End.LIMIT, f"nothing wrote {name} in the last {count} steps; {how}")
        self._timeline.go_to(goal)
        write = self._registers.last(name, lambda: True)
        found: list[Origin] = []
        left = list(rest)
        if write is None:
            found = [origin for place in rest for origin in self._power_on(place)]
            left = []
        else:
            for step in self._steps.before(write.position, 1):
                found, left = self._made(step, rest)
        unseen = f"writes of an equal value were looked for only in the last {count} steps; {how}"
        if left:
            unseen = f"the rest of {name} was not written in the last {count} steps; {how}"
        return found, Ending(End.LIMIT, unseen)

    # Memory

    def _memory(self, value: Value) -> Value:
        found: list[Origin] = []
        rest, goal = [value.place], value.position
        for step in self._steps.before(value.position, _NEAR):
            goal = step.before
            if step.in_guest:
                goal = step.after
                break
            if _may_write(step, rest):
                made, rest = self._made(step, rest)
                found += made
                if not rest:
                    break
        limit: Ending | None = None
        waiting = [(place, goal) for place in rest]
        while waiting:
            place, until = waiting.pop()
            made, left, until = self._one_write(place, until)
            limit = limit or self._guests.unseen
            found += made
            waiting += [(one, until) for one in left]
        return _with(value, [self._checked(one, value) for one in found], limit)

    def _one_write(self, place: Place, goal: Position) -> tuple[list[Origin], list[Place], Position]:
        """Find the last write to some bytes before a position.

        Returns:
            The origins found, the bytes that this write did not write, and the position before which to look for them.
        """
        at_ns = self._log.last(place, goal)
        stored = self._guests.store(place, goal, at_ns)
        if stored is not None:
            return [stored], list(place.without(stored.place)), goal
        if at_ns is None:
            return self._power_on(place), [], goal
        timeline = self._timeline
        timeline.go_to_time(at_ns + 1)
        for step in self._steps.before(min(timeline.now, goal), _NEAR):
            if _may_write(step, [place]):
                made, left = self._made(step, [place])
                if made:
                    return made, left, step.before
        text = f"a write at {at_ns} ns was not found again"
        return [Origin(place, None, "an unknown writer", None, (), Ending(End.NOT_MODELLED, text))], [], goal

    def _checked(self, origin: Origin, value: Value) -> Origin:
        """Return an origin in memory; or another one, if the bytes were changed after it by something unobserved."""
        place, timeline = origin.place, self._timeline
        if origin.by.startswith(_GUEST_STORE):
            return origin
        timeline.go_to(origin.position or Position(0))
        first = place.start - value.place.start
        content = value.content[first : first + place.size]
        if timeline.machine.ram.equals(place.start, content):
            return origin
        timeline.go_to(value.position)
        write = find_last_write(timeline, place.start, place.size)
        if write is None:
            return origin
        by_guest = write.by.startswith(_GUEST_STORE)
        ending = Ending(End.NOT_MODELLED, COMPUTED) if by_guest else Ending(End.PROCESSOR, write.by)
        return Origin(place, write.position, write.by, None, (), ending)

    # Devices

    def _device(self, value: Value) -> Value:
        answer = self._devices.of(value.place, value.position)
        if answer is None:
            return _with(value, self._one_write(value.place, value.position)[0], None)
        sources: list[Source] = []
        position, instruction, by = value.position, None, answer.by
        if answer.command is not None:
            made, _, _ = self._one_write(answer.command, value.position)
            commanded = made[0]
            position, instruction = commanded.position or value.position, commanded.instruction
            by = f"{answer.by}, at {commanded.by}"
            if answer.data is not None and commanded.sources:
                before = next((one.value.position for one in commanded.sources if one.value is not None), position)
                sources.append(Source(Role.DATA, self.value(answer.data, before)))
            sources += [Source(Role.ADDRESS, one.value, one.ending) for one in commanded.sources]
        return _with(value, [Origin(value.place, position, by, instruction, tuple(sources), answer.ending)], None)

    # One step

    def _made(self, step: Step, wanted: Iterable[Place]) -> tuple[list[Origin], list[Place]]:
        """Return the origins of bytes that a step wrote, and the bytes that it did not write."""
        self._timeline.go_to(step.before)
        transfers = self._transfers.of(step)
        found: list[Origin] = []
        rest = list(wanted)
        for index in reversed(range(len(transfers))):
            made, rest = written(transfers[index].effects, rest)
            for one in made:
                sources = self._before(transfers[:index], one.sources)
                found.append(self._origin(step, transfers[index], one.place, sources))
        for place in list(rest):
            unclaimed = self._unclaimed(step, place)
            if unclaimed is not None:
                found.append(unclaimed)
                rest.remove(place)
        return found, rest

    def _before(
        self, earlier: list[Transfer], sources: Iterable[tuple[Role, Place | Ending]]
    ) -> list[tuple[Role, Place | Ending]]:
        """Return the sources at the beginning of a step, of sources between two of its transfers."""
        found: list[tuple[Role, Place | Ending]] = []
        for role, what in sources:
            rest = [] if isinstance(what, Ending) else [what]
            for transfer in reversed(earlier):
                made, rest = written(transfer.effects, rest)
                found += [(role, inner) for one in made for _, inner in one.sources]
            found += [(role, what)] if isinstance(what, Ending) else [(role, one) for one in rest]
        return found

    def _origin(
        self, step: Step, transfer: Transfer, place: Place, sources: Iterable[tuple[Role, Place | Ending]]
    ) -> Origin:
        made = tuple(
            Source(role, None, what) if isinstance(what, Ending) else Source(role, self._value(what))
            for role, what in dict.fromkeys(sources)
        )
        return Origin(place, step.after, transfer.by, transfer.instruction, made, transfer.ending)

    def _unclaimed(self, step: Step, place: Place) -> Origin | None:
        """Return an origin for a write that the step made although none of its transfers claims it; or None."""
        wrote = place.space in step.changed or any(store.place.common(place) for store in step.stores)
        if not wrote or (not place.in_memory and not self._differs(step, place)):
            return None
        found = decoded(step.code, step.rip, step.long)
        text = found.text if found is not None else "a step"
        ending = Ending(End.NOT_MODELLED, f"{text} wrote it, which is not one of its known effects")
        return Origin(place, step.after, text, None if found is None else found.text, (), ending)

    def _differs(self, step: Step, place: Place) -> bool:
        timeline = self._timeline
        before = self._value(place).content
        timeline.go_to(step.after)
        after = self._value(place).content
        timeline.go_to(step.before)
        return before != after

    def _value(self, place: Place) -> Value:
        if self._guests.is_value(place):
            return self._guests.value(place)
        return Value(place, self._timeline.now, content(self._timeline.machine, place), (), LISTED)

    def _power_on(self, place: Place) -> list[Origin]:
        return [Origin(part, None, "power-on", None, (), ending) for part, ending in at_power_on(self._timeline, place)]


def _may_write(step: Step, wanted: Iterable[Place]) -> bool:
    """Report whether a step may have written any of some bytes."""
    found = None
    for place in wanted:
        if place.space == MEMORY:
            if any(store.place.common(place) for store in step.stores):
                return True
            continue
        if place.space in step.changed or (step.delivered and place.space in _DELIVERED):
            return True
        if step.in_guest:
            if step.executed and place.space in _GUEST:
                return True
        elif step.executed:
            found = found or decoded(step.code, step.rip, step.long)
            if found is None or any(one.common(place) for one in found.writes):
                return True
        elif step.seen != step.seen_after and (place.space in GENERAL_REGISTERS or place.space == FLAGS):
            return True  # perhaps an input
    return False


def _with(value: Value, origins: Iterable[Origin], limit: Ending | None) -> Value:
    ordered = sorted(origins, key=_place)
    return Value(value.place, value.position, value.content, tuple(ordered), limit)


def _place(origin: Origin) -> Place:
    return origin.place
