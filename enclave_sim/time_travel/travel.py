"""A run that can be executed in both directions, and asked what led to its state."""

from collections.abc import Callable, Collection, Sequence
from functools import cached_property

from enclave_sim.errors import ConfigurationError
from enclave_sim.time_travel.movement import Movement
from enclave_sim.time_travel.navigation.breakpoints import Condition
from enclave_sim.time_travel.navigation.call_table import CallTable, FunctionCall
from enclave_sim.time_travel.navigation.last_write import Write, find_last_write
from enclave_sim.time_travel.navigation.lifetimes.answers import Lifetimes
from enclave_sim.time_travel.navigation.lifetimes.lifetimes import follow
from enclave_sim.time_travel.navigation.lifetimes.marks import Secret, is_named, marked, named_secret
from enclave_sim.time_travel.navigation.lifetimes.picture import picture
from enclave_sim.time_travel.navigation.provenance.answers import Role, Use, Value
from enclave_sim.time_travel.navigation.provenance.places import Place
from enclave_sim.time_travel.navigation.provenance.provenance import Provenance
from enclave_sim.time_travel.navigation.provenance.questions import asked
from enclave_sim.time_travel.navigation.register_write import RegisterWrites
from enclave_sim.time_travel.navigation.wasm.steps import WasmSteps
from enclave_sim.time_travel.position import Position
from enclave_sim.time_travel.target import S
from machine.events import Event, Recorder


class Travel(Movement[S]):
    """One run that can be executed in both directions. `Session` is that of an enclave.

        run = Travel(lambda recorder: BareKernel(name, image, ram_bytes=16 << 20, recorder=recorder))
        run.run_to(event="mode_switched")
        run.back()

    It begins at position 0 ns. Its motions are those of `Movement`; its questions leave it where it is, and raise
    Cancelled once the token was cancelled.

    Args:
        make: Makes the subject to run; called once, with the recorder that it must use.
        recorded: The events that the run must have, those of a recording; None for any. Any motion raises
            RecordingError where the run differs.
    """

    def __init__(self, make: Callable[[Recorder], S], recorded: Sequence[Event] | None = None) -> None:
        super().__init__(make, recorded)
        self._call_table = CallTable(self._timeline, self._visits)
        self._register_writes = RegisterWrites(self._timeline, self._visits)
        self._provenance = Provenance(self._timeline, self._register_writes)

    @cached_property
    def wasm(self) -> WasmSteps:
        """The motions by WebAssembly instructions, and the guest's state, with the engine `resident`.

        Raises:
            ConfigurationError: The machine itself executes no WebAssembly in this run.
        """
        return WasmSteps(self._timeline, self._visits)

    def last_write(self, base: int, size: int = 1) -> Write | None:
        """Find the last write to a range of physical memory before the current position. The run does not move.

        Args:
            base: The physical address of the first byte.
            size: The number of bytes.

        Returns:
            The write; None if the range has not been written since power-on.

        Raises:
            ConfigurationError: The range is not in RAM.
        """
        return find_last_write(self._timeline, base, size)

    def calls(self, function: str | int) -> list[FunctionCall]:
        """Return the calls of a function before the current position. The run does not move.

        Args:
            function: A symbol of the kernel, or a linear address.

        Returns:
            The calls, in the order in which they began. Arguments are named if the kernel has debugging information.

        Raises:
            ConfigurationError: The kernel has no such symbol.
        """
        if isinstance(function, int):
            return self._call_table.of(function, None)
        signature = self.program.functions.signature(function)
        return self._call_table.of(self._search.address_of(None, function), signature)

    def last_register_write(self, name: str, when: Condition | None = None) -> Write | None:
        """Find the last change of a general register before the current position. The run does not move.

        Args:
            name: `rax` to `r15`.
            when: Called with this object after each change; it returns whether the change counts.

        Returns:
            The write; None if the register has not changed since power-on. A write of the same value is no change.

        Raises:
            ConfigurationError: There is no such register.
        """
        return self._register_writes.last(name, lambda: when is None or when(self))

    def where_from(
        self,
        what: str | int | Place | Value,
        size: int = 1,
        *,
        linear: bool = False,
        depth: int = 8,
        within: int = 2000,
        follow: Collection[Role] = (Role.DATA,),
    ) -> Value:
        """Find where a value came from: who wrote it, from which sources, and so on. The run does not move.

        Args:
            what: A register or a part of one (`rax`, `al`, `xmm0`, `rflags`), the address of the first byte in physical
                memory, a place, or a value from an earlier answer, at whose position the search goes on.
            size: The number of bytes in memory.
            linear: The address is a linear one, mapped as it is here.
            depth: The number of writes to follow, one after the other.
            within: The number of steps to look back for the last write of a register, before only its changes count.
            follow: The roles of sources that are followed. Others are listed.

        Returns:
            The value with its tree: each origin has the position after the write, and its sources. Ends are constants,
            inputs, payloads, answers of the TPM, the boot image and others of `End`. An instruction that is not
            modelled, and anything not looked for, is an end too.

        Raises:
            ConfigurationError: There is no such register, or the range is not in RAM or not mapped.
        """
        place, position = self._asked(what, size, linear=linear)
        return self._provenance.of(place, position, depth=depth, within=within, follow=follow)

    def where_to(
        self,
        what: str | int | Place | Value,
        size: int = 1,
        *,
        linear: bool = False,
        within: int = 2000,
        most: int = 32,
    ) -> list[Use]:
        """Find what becomes of a value: the steps that use it, until it is overwritten. The run does not move.

        Args:
            what: As for `where_from`.
            size: The number of bytes in memory.
            linear: The address is a linear one, mapped as it is here.
            within: The number of steps to look at, at most; for memory only those that access it count.
            most: The number of uses to return, at most.

        Returns:
            The uses in order, each with the position after the step and the bytes made from the value. The last one
            overwrites the rest of the value, or is a limit, unless the run ends. Guests that the host executes are not
            looked into.

        Raises:
            ConfigurationError: There is no such register, or the range is not in RAM or not mapped.
        """
        place, position = self._asked(what, size, linear=linear)
        return self._provenance.uses(place, position, within=within, most=most)

    def lifetimes(
        self,
        what: str | int | Place | Value | Secret,
        size: int = 1,
        *,
        linear: bool = False,
        until: Position | None = None,
    ) -> Lifetimes:
        """Find every place that holds a copy or a derivative of a secret, from when to when. The run does not move.

        Args:
            what: The secret: `data:0` for the data segments of the first payload, `nonce:0` for the first nonce of the
                verifier, `key:0` for the secret of the key of the first quote, `input:0` for what the first input
                writes, `answer:0` for the answer to the first host call; or bytes at the current position, as for
                `where_from`.
            size: The number of bytes in memory.
            linear: The address is a linear one, mapped as it is here.
            until: The position to which to follow it; None for the end of the run.

        Returns:
            The lifetimes: each with its place, its writer and who ended it.

        Raises:
            ConfigurationError: The run has no such secret, or only after `until`, or there is no such place.
        """
        here = self.now
        try:
            secret = self._secret(what, size, linear=linear)
            if until is not None and until < secret.position:
                raise ConfigurationError(f"the secret is there from {secret.position} on, which is after {until}")
            return follow(self._timeline, secret, until)
        finally:
            self._timeline.go_to(here)

    def picture_of(self, found: Lifetimes) -> str:
        """Draw lifetimes of this run: places over time, below its phases, cycles and rings.

        Args:
            found: The lifetimes.

        Returns:
            An SVG picture without external references.
        """
        return picture(found, self._timeline.monitor.events, self.program, self.machine.ram.size)

    def _secret(self, what: str | int | Place | Value | Secret, size: int, *, linear: bool) -> Secret:
        if isinstance(what, Secret):
            return what
        if isinstance(what, str) and is_named(what):
            return named_secret(self._timeline, what)
        place, position = self._asked(what, size, linear=linear)
        self._timeline.go_to(position)
        return marked(self._timeline, str(place), (place,))

    def _asked(self, what: str | int | Place | Value, size: int, *, linear: bool) -> tuple[Place, Position]:
        if isinstance(what, Value):
            return what.place, what.position
        return asked(self.machine, what, size, linear=linear), self.now
