"""Values of guests as places of provenance, and what they were made from."""

import re
from dataclasses import dataclass
from typing import Any

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import GuestDestroyed, GuestInstantiated, GuestTrapped, HostCalled, HostReturned
from enclave_sim.memory_map import region
from enclave_sim.payload.wasm.places import function_text, offset_text
from enclave_sim.time_travel.navigation.provenance.answers import LISTED, End, Ending, Origin, Role, Source, Value
from enclave_sim.time_travel.navigation.provenance.guest.items import Item, Piece
from enclave_sim.time_travel.navigation.provenance.guest.program import UnsupportedError, program_of
from enclave_sim.time_travel.navigation.provenance.guest.replay import MOST, Replay, TooLongError
from enclave_sim.time_travel.navigation.provenance.places import MEMORY, Place
from enclave_sim.time_travel.navigation.provenance.steps import Steps
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline

_SPACE = re.compile(r"value (\d+) made by the guest of event (\d+)")
_NEAR = 4096
_UNSEEN = Ending(
    End.LIMIT, "a guest ran since that is not repeated here; only its stores of other bytes are looked for"
)


@dataclass(slots=True)
class Instance:
    """A guest, from its instantiation on."""

    made: GuestInstantiated
    module: bytes
    calls: list[HostCalled]
    """Its host calls in the complete run, as far as it is known."""
    returned: list[HostReturned]
    destroyed: GuestDestroyed | None
    replay: Replay


class GuestSources:
    """Finds what values of guests were made from. The timeline moves."""

    def __init__(self, timeline: Timeline[Any], steps: Steps) -> None:
        self._timeline = timeline
        self._steps = steps
        self._instances: dict[int, Instance] = {}
        self.unseen: Ending | None = None
        """After `store`: a limit, if there is a guest whose stores of equal bytes it cannot see."""
        self._future = timeline.futures

    # Questions

    def argument(self, goal: Position) -> tuple[Place | None, Ending | None]:
        """Return the value that is the argument of the host call that ends the stay at a position.

        Returns:
            Its place; None for a call without one; and an end, if it cannot be found.
        """
        instance = self._instance(goal)
        if instance is None:
            return None, Ending(End.NOT_MODELLED, "a guest that was not found")
        calls = sum(one.at_ns <= goal.at_ns for one in instance.calls)
        refused = self._run(instance, calls) or self._differs(instance, goal)
        if refused is not None:
            return None, refused
        arguments = instance.replay.arguments
        item = arguments[calls - 1] if 0 < calls <= len(arguments) else None
        return (None if item is None else self._place(instance, Piece(item, 0, 4))), None

    def store(self, place: Place, goal: Position, since_ns: int | None) -> Origin | None:
        """Return the last store of a guest to some bytes of the heap before a position.

        Args:
            place: Bytes of physical memory.
            goal: The position.
            since_ns: The time (ns) of the last other write, if any.

        Returns:
            The store, of the first byte and those after it that it wrote too; None if no guest has written it since.
        """
        heap, self.unseen = region("heap"), None
        if self._timeline.machine.coprocessor is None or not heap.base <= place.start < place.end <= heap.end:
            return None
        instance = self._instance(goal)
        if instance is None or (since_ns is not None and instance.made.at_ns <= since_ns):
            return None
        calls = sum(one.at_ns <= goal.at_ns for one in instance.calls)
        waits = calls > sum(one.at_ns < goal.at_ns for one in instance.returned)
        if not waits and not self._is_over(instance, goal):
            self.unseen = _UNSEEN  # it was preempted: how far it has come is known only to the host
            return None
        refused = self._run(instance, calls if waits else None) or self._differs(instance, goal)
        first = place.start - (heap.end - instance.made.memory_bytes)
        self.unseen = _UNSEEN if refused is not None else None
        if refused is not None or first < 0:
            return None
        piece = instance.replay.memory.written.get(first)
        if piece is None:
            return None
        size = 1
        while size < place.size and instance.replay.memory.written.get(first + size) == Piece(
            piece.item, piece.first + size, 1
        ):
            size += 1
        return self._origin(instance, place.part(0, size), Piece(piece.item, piece.first, size))

    def repeated(
        self, made: GuestInstantiated, goal: Position, calls: int | None
    ) -> tuple[Instance | None, Ending | None]:
        """Repeat the run of a guest.

        Args:
            made: The guest.
            goal: The position at the end of a stay.
            calls: The number of host calls that it has made there; None if it has returned or trapped.

        Returns:
            The guest; None if it cannot be repeated; and an end that says why, or that its run is another one.
        """
        instance = self._made(made)
        if instance is None:
            return None, Ending(End.NOT_MODELLED, "a guest that cannot be repeated")
        return instance, self._run(instance, calls) or self._differs(instance, goal)

    def of(self, value: Value) -> Value:
        """Return a value of a guest with its origin."""
        instance, piece = self._known(value.place)
        return Value(value.place, value.position, value.content, (self._origin(instance, value.place, piece),))

    def value(self, place: Place) -> Value:
        """Return the value of a guest at a place of its own, without origins, at the end of the stay that made it."""
        here = self._timeline.now
        instance, piece = self._known(place)
        made = self._value(instance, piece, instance.replay.items[piece.item].stay)
        self._timeline.go_to(here)
        return made

    @staticmethod
    def is_value(place: Place) -> bool:
        """Report whether a place is a value of a guest."""
        return _SPACE.fullmatch(place.space) is not None

    # Instances

    def _instance(self, goal: Position) -> Instance | None:
        """Return the last guest that was made before a position."""
        events = self._timeline.monitor.events
        made = next(
            (one for one in reversed(events) if isinstance(one, GuestInstantiated) and one.at_ns <= goal.at_ns), None
        )
        return None if made is None else self._made(made)

    def _known(self, place: Place) -> tuple[Instance, Piece]:
        """Return the guest and the item of a place."""
        found = _SPACE.fullmatch(place.space)
        assert found is not None
        item, seq = int(found[1]), int(found[2])
        events = self._timeline.monitor.events
        made = events[seq] if seq < len(events) else None
        instance = self._made(made) if isinstance(made, GuestInstantiated) else None
        if instance is not None and item >= len(instance.replay.items):
            self._run(instance, None)
        if instance is None or item >= len(instance.replay.items):
            raise ConfigurationError(f"there is no {place.space} in this run")
        return instance, Piece(item, place.start, place.size)

    def _made(self, made: GuestInstantiated) -> Instance | None:
        """Return the guest that an event has made."""
        timeline = self._timeline
        if self._future != timeline.futures:
            self._instances, self._future = {}, timeline.futures
        if not isinstance(timeline.subject, Enclave):
            return None
        if made.seq not in self._instances:
            timeline.go_to_event(made.seq)
            module = timeline.subject.guest_module(made.payload)
            if module is None:
                return None
            try:
                replay = Replay(program_of(module), made.memory_bytes)
            except (UnsupportedError, RecursionError):
                return None
            self._instances[made.seq] = Instance(made, module, [], [], None, replay)
        found = self._instances[made.seq]
        self._update(found)
        return found

    def _update(self, instance: Instance) -> None:
        """Look for its host calls among the known events."""
        following = []
        for one in self._timeline.monitor.events[instance.made.seq + 1 :]:
            if isinstance(one, GuestInstantiated):
                break
            following.append(one)
        instance.calls = [one for one in following if isinstance(one, HostCalled)]
        instance.returned = [one for one in following if isinstance(one, HostReturned)]
        instance.destroyed = next((one for one in following if isinstance(one, GuestDestroyed)), None)

    def _run(self, instance: Instance, calls: int | None) -> Ending | None:
        """Repeat its run up to a host call; again from its start if it is further. Return why not, if it cannot."""
        replay = instance.replay
        made = len(replay.arguments)
        if (calls is not None and made > calls) or (calls is not None and replay.over and made >= calls):
            instance.replay = replay = Replay(program_of(instance.module), instance.made.memory_bytes)
        try:
            replay.run([one.result for one in instance.returned], calls)
        except TooLongError:
            return Ending(End.LIMIT, f"a guest that computes for more than {MOST:,} instructions is not looked into")
        except UnsupportedError as error:
            return Ending(End.NOT_MODELLED, f"a guest with the instruction {error}")
        return None

    def _is_over(self, instance: Instance, goal: Position) -> bool:
        """Report whether a guest has returned or trapped before a position."""
        for event in reversed(self._timeline.monitor.events):
            if event.seq == instance.made.seq:
                break
            if isinstance(event, GuestTrapped) and event.at_ns <= goal.at_ns:
                return True
        if instance.destroyed is None:
            return False
        last = self._position(instance, len(instance.calls))
        return last <= goal

    def _differs(self, instance: Instance, goal: Position) -> Ending | None:
        """Return an end if the repeated run is not the guest's, because something else has changed its memory."""
        replay = instance.replay
        made = [0 if item is None else replay.items[item].value for item in replay.arguments]
        called = [one.argument for one in instance.calls[: len(made)]]
        self._timeline.go_to(goal)
        base = region("heap").end - instance.made.memory_bytes
        if made == called and self._timeline.machine.ram.equals(base, bytes(replay.memory.content)):
            return None
        return Ending(End.NOT_MODELLED, "a guest whose memory was changed from outside")

    # Answers

    def _place(self, instance: Instance, piece: Piece) -> Place:
        return Place(f"value {piece.item} made by the guest of event {instance.made.seq}", piece.first, piece.size)

    def _position(self, instance: Instance, stay: int) -> Position:
        """Return the position after a stay, by the number of host calls answered before it."""
        timeline = self._timeline
        if stay < len(instance.calls):
            timeline.go_to_event(instance.calls[stay].seq)
            return timeline.now
        if instance.destroyed is not None:
            timeline.go_to_event(instance.destroyed.seq)
            for step in self._steps.before(timeline.now, _NEAR):
                if step.in_guest:
                    return step.after
        return timeline.now

    def _origin(self, instance: Instance, place: Place, piece: Piece) -> Origin:
        item = instance.replay.items[piece.item]
        position = self._position(instance, item.stay)
        by = f"the guest: {self.named(instance.module, item.offset)}"
        if item.data is not None:
            at = item.data + piece.first
            text = f"payload {instance.made.payload}, {item.text}, byte {at:#x} of the module"
            return Origin(place, position, by, item.text, (), Ending(End.PAYLOAD, text))
        if item.answer is not None:
            return Origin(place, position, by, item.text, (self._answer(instance, item.answer, piece),))
        sources = [
            Source(role, self._value(instance, inner, item.stay))
            for role, inner in dict.fromkeys(_narrowed(item, piece))
        ]
        if not item.sources:
            constant = Ending(End.CONSTANT, f"{item.value:#x}")
            sources = [Source(Role.DATA, None, constant)]
        return Origin(place, position, by, item.text, tuple(sources))

    def named(self, module: bytes, offset: int) -> str:
        """Return the function and the offset in it of an instruction, given its offset in the module."""
        functions = program_of(module).functions
        for function in functions.values():
            if function.code and function.code[0].offset <= offset <= function.code[-1].offset:
                return f"{function_text(module, function.index)} {offset_text(module, function.index, offset)}"
        return f"module byte {offset:#x}"

    def _value(self, instance: Instance, piece: Piece, stay: int) -> Value:
        if piece.item < 0:
            base = region("heap").end - instance.made.memory_bytes
            self._timeline.go_to_event(instance.made.seq)
            place = Place(MEMORY, base + piece.first, piece.size)
            content = self._timeline.machine.ram.read(place.start, place.size)
            return Value(place, self._timeline.now, content, (), LISTED)
        item = instance.replay.items[piece.item]
        content = item.value.to_bytes(max(item.size, 1), "little")[piece.first : piece.first + piece.size]
        return Value(self._place(instance, piece), self._position(instance, stay), content, (), LISTED)

    def _answer(self, instance: Instance, number: int, piece: Piece) -> Source:
        """Return RAX at the position at which the guest was resumed with the answer to a host call."""
        timeline = self._timeline
        timeline.go_to_event(instance.returned[number].seq)
        step = next(self._steps.before(timeline.now, 1))
        timeline.go_to(step.before)
        content = timeline.machine.cpu.registers.rax.to_bytes(8, "little")[piece.first : piece.first + piece.size]
        return Source(Role.DATA, Value(Place("rax", piece.first, piece.size), step.before, content, (), LISTED))


def _narrowed(item: Item, piece: Piece) -> list[tuple[Role, Piece]]:
    """Return the sources of some bytes of an item: of a copy, only the same bytes."""
    if item.spread:
        return list(item.sources)
    found: list[tuple[Role, Piece]] = []
    at = 0
    for role, source in item.sources:
        if role is not Role.DATA:
            found.append((role, source))
            continue
        begin, end = max(piece.first - at, 0), min(piece.first + piece.size - at, source.size)
        if begin < end:
            found.append((role, Piece(source.item, source.first + begin, end - begin)))
        at += source.size
    return found
