"""The secret in guests on the coprocessor: in linear memory, on the stack, and in locals and globals.

A stay is one step. What was made in it exists from its end on, or, if it was gone then, from its beginning to its end.
"""

import re
from typing import Any

from enclave_sim.enclave.devices import mailbox
from enclave_sim.enclave.enclave import Enclave
from enclave_sim.events import GuestDestroyed, GuestInstantiated, HostCalled, PayloadVerified
from enclave_sim.memory_map import region
from enclave_sim.time_travel.navigation.lifetimes.answers import Maker, Met
from enclave_sim.time_travel.navigation.lifetimes.flow import matches
from enclave_sim.time_travel.navigation.lifetimes.taint import MOST_LEVELS, Held, Label, Taint, derived
from enclave_sim.time_travel.navigation.provenance.answers import Role
from enclave_sim.time_travel.navigation.provenance.guest.items import Item
from enclave_sim.time_travel.navigation.provenance.guest.replay import Replay
from enclave_sim.time_travel.navigation.provenance.guest.sources import GuestSources, Instance
from enclave_sim.time_travel.navigation.provenance.places import MEMORY
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.timeline.timeline import Timeline
from machine.events import Event

HOST = "AetherHost"
"""The space of the modules that AetherHost has read: payload number << 32 | offset in the payload."""
PAYLOAD_BITS = 32
_HEADER_BYTES = 8
_COPIED = re.compile(
    r"(local|global)\.(set|tee)|select|\w+\.(store\w*|reinterpret_\w+|wrap_i64)|memory\.(copy|fill)|data .*"
)
_BITS = re.compile(r"\w+\.(xor|and|or|shl|shr_[su]|rotl|rotr|extend\w*)")
_ALONE = re.compile(r"\w+\.(shl|shr_[su]|rotl|rotr)")
_LOAD = re.compile(r"\w+\.load\w*")


class Guests:
    """Follows a secret through guests. The timeline is where it was after each call.

    Args:
        timeline: The timeline.
        sources: Repeats the runs of guests.
        taint: The labels.
        secret: The secret.
    """

    def __init__(self, timeline: Timeline[Any], sources: GuestSources, taint: Taint, secret: bytes) -> None:
        self._timeline = timeline
        self._sources = sources
        self._taint = taint
        self._secret = secret
        self._made: GuestInstantiated | None = None
        self._labels: list[list[Label | None]] = []
        """The labels of the bytes of each item that was looked at."""
        self._answers: dict[int, list[Label | None]] = {}
        self._replay: Replay | None = None
        self._memory = b""
        self._written: dict[int, tuple[Label | None, Maker]] = {}
        """The writes of a stay so far, by address in linear memory."""

    def begin(self) -> None:
        """Find the guest that is there already, and what it has of the secret in its linear memory."""
        timeline = self._timeline
        for event in reversed(timeline.events):
            if isinstance(event, GuestDestroyed):
                return
            if isinstance(event, GuestInstantiated):
                self._made = event
                break
        if self._made is None or not self._sees_memory:
            return
        now = timeline.now
        instance, refused = self._sources.repeated(self._made, now, self._calls(self._made))
        timeline.go_to(now)
        if instance is None or refused is not None:
            return
        self._replay = instance.replay
        self._labels = [[None] * item.size for item in instance.replay.items]
        base = self._base
        for address, piece in instance.replay.memory.written.items():
            self._labels[piece.item][piece.first] = self._taint.label(MEMORY, base + address)

    def _calls(self, made: GuestInstantiated) -> int:
        events = self._timeline.monitor.events[made.seq : self._timeline.seen]
        return sum(isinstance(one, HostCalled) for one in events)

    # Events

    def noticed(self, event: Event, by: Maker) -> None:
        """Follow what AetherHost does at an event that has just happened."""
        if isinstance(event, PayloadVerified):
            self._verified(event, by)
        elif isinstance(event, GuestInstantiated):
            self._made, self._labels, self._answers, self._replay = event, [], {}, None
        elif isinstance(event, GuestDestroyed):
            self._end_values(Maker(HOST, "destroys the guest"))
            self._made = None

    def _verified(self, event: PayloadVerified, by: Maker) -> None:
        device = next((one for one in self._timeline.machine.bus.devices if isinstance(one, mailbox.Mailbox)), None)
        if device is None:
            return
        base, size = device.read(mailbox.ARGUMENT_0, 4), device.read(mailbox.ARGUMENT_1, 4)
        maker = Maker(f"{HOST}, at {by.by}", by.instruction)
        for address in range(base, base + size):
            label = self._taint.label(MEMORY, address)
            if label is not None:
                self._taint.put(HOST, event.payload << PAYLOAD_BITS | address - base, label, self._timeline.now, maker)

    @property
    def _concerned(self) -> bool:
        """True if the current guest may see the secret."""
        made = self._made
        if made is None:
            return False
        module = self._taint.spaces.get(HOST, {})
        return any(one >> PAYLOAD_BITS == made.payload for one in module) or bool(self._labels) or self._sees_memory

    @property
    def _sees_memory(self) -> bool:
        heap = region("heap")
        return any(heap.base <= one < heap.end for one in self._taint.memory)

    # Stays

    @property
    def is_concerned(self) -> bool:
        """True if a stay that begins now may use the secret."""
        return self._made is not None and (self._concerned or bool(self._taint.spaces.get("rax")))

    def before(self) -> None:
        """Note what the guest is resumed with, and its memory."""
        self._memory = b""
        if self._made is None or not self.is_concerned:
            return
        calls = self._calls(self._made)
        if calls and calls - 1 not in self._answers:
            self._answers[calls - 1] = [self._taint.label("rax", byte) for byte in range(4)]
        self._memory = self._timeline.machine.ram.read(self._base, self._made.memory_bytes)

    def after(self, before: Position, *, departed: bool, called: bool) -> None:
        """Follow what the guest has done in a stay.

        Args:
            before: The position before it.
            departed: It has made a host call, returned or trapped; False if it was preempted.
            called: It has made a host call.
        """
        made, timeline = self._made, self._timeline
        if made is None or not self._memory:
            return
        now = timeline.now
        calls = self._calls(made)
        instance, refused = self._sources.repeated(made, now, calls if called or not departed else None)
        timeline.go_to(now)
        if instance is None or (refused is not None and departed):
            text = "a guest" if refused is None else refused.text
            self._unknown(now, Maker(f"the guest: {text}"))
            return
        if not departed:
            self._unknown(now, Maker("the guest: a stay that was preempted"))
            return
        if instance.replay is not self._replay:
            self._replay, self._labels = instance.replay, []
        self._follow(instance, before, now)

    def _follow(self, instance: Instance, before: Position, now: Position) -> None:
        """Follow the instructions of a stay. AetherHost initialises the memory in the first one."""
        begun = len(self._labels)
        items = instance.replay.items
        for number in range(begun, len(items)):
            item = items[number]
            labels = self._labels_of(instance, number)
            if item.address is not None:
                self._write(item, labels, self._maker(instance, item), before, now)
        base = self._base
        for address, (label, maker) in self._written.items():
            self._taint.put(MEMORY, base + address, label, now, maker)
        self._written.clear()
        self._values(instance, begun, before, now)

    def _write(self, item: Item, labels: list[Label | None], by: Maker, before: Position, now: Position) -> None:
        """Note what an item writes to linear memory. Of several writes in a stay the last one counts after it."""
        assert item.address is not None
        for index in range(item.filled * len(labels)):
            address, label = item.address + index, labels[index % len(labels)]
            gone, maker = self._written.get(address, (None, by))
            if gone is not None and gone != label:
                self._taint.passed(MEMORY, self._base + address, Held(gone, before, maker), now, by)
            self._written[address] = label, by

    def _maker(self, instance: Instance, item: Item) -> Maker:
        if item.data is not None:
            return Maker(f"{HOST}: {item.text}")
        return Maker(f"the guest: {self._sources.named(instance.module, item.offset)}", item.text)

    @property
    def _base(self) -> int:
        """The physical address of the linear memory."""
        assert self._made is not None
        return region("heap").end - self._made.memory_bytes

    def _values(self, instance: Instance, begun: int, before: Position, now: Position) -> None:
        """Note the values of the operand stack, locals and globals that hold the secret."""
        live = instance.replay.live
        arguments = instance.replay.arguments
        if arguments and arguments[-1] is not None:
            live |= {arguments[-1]}
        gone = Maker("the guest: no longer on its stack or in a local")
        for number, labels in enumerate(self._labels):
            item = instance.replay.items[number]
            if item.address is not None or not any(labels):
                continue
            space = self._space(number)
            maker = self._maker(instance, item)
            for byte, label in enumerate(labels):
                if label is None:
                    continue
                if number in live:
                    if begun <= number:
                        self._taint.put(space, byte, label, before, maker)
                elif number >= begun:
                    self._taint.passed(space, byte, Held(label, before, maker), now, gone)
                else:
                    self._taint.put(space, byte, None, now, gone)

    def _end_values(self, by: Maker) -> None:
        for space in [one for one in self._taint.spaces if one.startswith("value ")]:
            for byte in list(self._taint.spaces[space]):
                self._taint.put(space, byte, None, self._timeline.now, by)

    def _space(self, number: int) -> str:
        assert self._made is not None
        return f"value {number} made by the guest of event {self._made.seq}"

    # Labels

    def _labels_of(self, instance: Instance, number: int) -> list[Label | None]:
        """Return the labels of an item, and keep them. Items must be asked for in order."""
        while len(self._labels) <= number:
            self._labels.append(self._made_of(instance, instance.replay.items[len(self._labels)]))
        return self._labels[number]

    def _made_of(self, instance: Instance, item: Item) -> list[Label | None]:
        if item.data is not None:
            return self._module(instance, item)
        if item.answer is not None:
            return list(self._answers.get(item.answer, [None] * 4))
        data = [source for role, source in item.sources if role is Role.DATA]
        labels = [self._piece(one.item, one.first, one.size) for one in data]
        others = any(
            any(self._piece(one.item, one.first, one.size)) for role, one in item.sources if role is not Role.DATA
        )
        maker = self._maker(instance, item)
        if others:
            self._taint.meet(Met.COMPUTED, maker, self._timeline.now)
        if not any(any(one) for one in labels):
            return [None] * item.size
        name = item.text.split()[0] if not item.text.startswith("data ") else item.text
        flat = [label for one in labels for label in one]
        if _LOAD.fullmatch(name):
            return self._loaded(flat, item, signed=name.endswith("_s"))
        if _COPIED.fullmatch(name):
            return flat[: item.size] + [None] * (item.size - len(flat))
        found = [label for label in (labels[0] if _ALONE.fullmatch(name) else flat) if label is not None]
        if _BITS.fullmatch(name) and found and max(one.level for one in found) < MOST_LEVELS:
            return self._of_bits(name, labels, item)
        self._taint.meet(Met.COMPUTED, maker, self._timeline.now)
        return matches(self._secret, item.value.to_bytes(max(item.size, 1), "little"))

    def _of_bits(self, name: str, labels: list[list[Label | None]], item: Item) -> list[Label | None]:
        if name.endswith("extend_i32_u"):
            return [*labels[0][:4], *[None] * (item.size - 4)]
        if _ALONE.fullmatch(name) or "extend" in name:
            label = derived([one for one in labels[0] if one is not None])
            return [label] * item.size
        made: list[Label | None] = []
        for byte in range(item.size):
            found = [one[byte] for one in labels if byte < len(one)]
            known = [one for one in found if one is not None]
            made.append(derived(known) if known else None)
        return made

    def _loaded(self, flat: list[Label | None], item: Item, *, signed: bool) -> list[Label | None]:
        rest = item.size - len(flat)
        sign = derived([flat[-1]]) if signed and rest and flat[-1] is not None else None
        return [*flat, *[sign] * rest]

    def _piece(self, item: int, first: int, size: int) -> list[Label | None]:
        if item < 0:  # linear memory that the guest has not written
            return [self._taint.label(MEMORY, self._base + first + byte) for byte in range(size)]
        return self._labels[item][first : first + size]

    def _module(self, instance: Instance, item: Item) -> list[Label | None]:
        """Return the labels of bytes of the module, which AetherHost has read without the signature."""
        known = self._taint.spaces.get(HOST, {})
        assert item.data is not None
        shift = self._shift(instance) + (instance.made.payload << PAYLOAD_BITS) + item.data
        found = [known.get(shift + byte) for byte in range(item.size)]
        return [None if one is None else one.label for one in found]

    def _shift(self, instance: Instance) -> int:
        """Return the number of bytes of the signature, which comes after the module's header."""
        subject = self._timeline.subject
        assert isinstance(subject, Enclave)
        return len(subject.payloads[instance.made.payload]) - len(instance.module)

    def _unknown(self, now: Position, by: Maker) -> None:
        """Label what a guest has changed in a stay that is not looked into."""
        made = self._made
        assert made is not None
        base = self._base
        content = self._timeline.machine.ram.read(base, made.memory_bytes)
        self._taint.meet(Met.NOT_MODELLED, by, now)
        everything = Label(0, len(self._secret) - 1, 1, True)
        copies = matches(self._secret, content)
        for index, (old, new) in enumerate(zip(self._memory, content, strict=True)):
            if old != new:
                self._taint.put(MEMORY, base + index, copies[index] or everything, now, by)
