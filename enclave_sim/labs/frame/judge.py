"""The judge of lab `frame`: it runs the guest, and reads the frames from RAM when they have been pushed."""

from collections.abc import Iterator, Mapping

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.labs.answers import Answers
from enclave_sim.labs.case import Case
from enclave_sim.labs.check import RIGHT, Check, compare
from enclave_sim.labs.frame.guest import CODE, IOPL, STACK, WORD, Guest, guest_of
from enclave_sim.labs.lab import ANSWERS, Judged
from enclave_sim.specification import Attestation, EngineName
from machine.events import Event, InterruptDelivered, InterruptRaised

_START = b"""\
# Your prediction. Numbers may be written as 1000 or 0x3e8.
[return]
# rip =
# rsp =

[state]
# cs =
# ss =
# rflags =

[entry]
# rsp =
words = []

[fault]
# rip =
# cr2 =
# error_code =
"""
_PARTS = ("return", "state", "entry", "fault")
_PAGE_FAULT, _HOST_CALL = 14, 0x80
_IF, _RING = 0x200, 3
_LIMIT_NS = 100_000_000


class Frames:
    """A recorder that keeps the words at the top of the stack at each delivery, lowest address first."""

    def __init__(self) -> None:
        self.enclave: Enclave | None = None
        self.delivered: dict[int, tuple[int, list[int]]] = {}
        """RSP and six words, by vector: of the first delivery."""
        self.raised: dict[int, InterruptRaised] = {}

    def record(self, event: Event) -> None:
        """Take an event."""
        if isinstance(event, InterruptRaised):
            self.raised.setdefault(event.vector, event)
        elif isinstance(event, InterruptDelivered) and event.vector not in self.delivered:
            assert self.enclave is not None
            data = self.enclave.machine.ram.read(event.stack, 6 * WORD)
            words = [int.from_bytes(data[at : at + WORD], "little") for at in range(0, len(data), WORD)]
            self.delivered[event.vector] = event.stack, words


def values(case: Case) -> dict[str, str]:
    """Return the words of the text."""
    guest = guest_of(case)
    return {"code": hex(CODE), "stack": hex(STACK), "listing": guest.listing(), "directory": "lab-frame"}


def start(case: Case) -> dict[str, bytes]:
    """Return the starting point."""
    return {ANSWERS: _START, "guest.bin": guest_of(case).code}


def judge(case: Case, files: Mapping[str, bytes]) -> Judged:
    """Judge the answers."""
    answers = Answers(files)
    if problem := answers.unreadable(_PARTS):
        return Judged(problem)
    guest, frames = guest_of(case), Frames()
    enclave = Enclave(guest.code, engine=EngineName.NATIVE, attestation=Attestation.OFF, recorder=frames)
    frames.enclave = enclave
    result = enclave.run(_LIMIT_NS)
    rsp, (rip, cs, rflags, guest_rsp, ss, _) = frames.delivered[_HOST_CALL]
    checks = {
        "return": tuple(_return(answers, guest, rip, guest_rsp)),
        "state": tuple(_state(answers, guest, cs, ss, rflags)),
        "entry": tuple(_entry(answers, rsp, [rip, cs, rflags, guest_rsp, ss])),
        "fault": tuple(_fault(answers, guest, frames)),
    }
    return Judged(checks, (result.digest,))


def _return(answers: Answers, guest: Guest, rip: int, rsp: int) -> Iterator[Check]:
    mistakes = {
        guest.address_of("int"): "A software interrupt is no fault: it returns to the instruction after it.",
        guest.address_of("int") - CODE: "That is an offset in the file. RIP is a linear address.",
    }
    address = compare("return.rip", answers.get("return", "rip"), rip, mistakes, "This is not the return address.")
    mistakes = {
        STACK: "The guest has pushed something since it started.",
        STACK + guest.pushes * WORD + guest.room: "The stack grows downwards.",
        rsp + guest.room: "LEA has moved RSP, too.",
        rsp - WORD: "POPFQ has taken from the stack what PUSHFQ put there.",
        STACK - guest.pushes - guest.room: "A push takes eight bytes in 64-bit mode, also if its operand has one.",
    }
    top = compare("return.rsp", answers.get("return", "rsp"), rsp, mistakes, "This is not the guest's RSP at INT 80h.")
    yield from [one for one in (address, top) if not one.right] or (RIGHT,)


def _state(answers: Answers, guest: Guest, cs: int, ss: int, rflags: int) -> Iterator[Check]:
    ring_0 = "Its two low bits are the ring from which the guest came."
    for name, right, other in (("cs", cs, ss), ("ss", ss, cs)):
        mistakes = {right & ~_RING: ring_0, other: "You took CS for SS."}
        given = answers.get("state", name)
        yield compare(f"state.{name}", given, right, mistakes, "This is not the guest's selector.")
    mistakes = {
        rflags | IOPL: "POPF in ring 3 does not change IOPL, and raises no exception.",
        rflags & ~_IF: "The interrupt gate clears IF, but only after RFLAGS has been pushed.",
        rflags & ~2: "Bit 1 of RFLAGS is always set.",
        rflags & ~(_IF | 2): "Bit 1 of RFLAGS is always set, and interrupts are enabled while a guest runs.",
    }
    mistakes[_IF | 2] = "That is RFLAGS before POPFQ."
    mistakes.setdefault(
        guest.flags, "That is the mask of OR alone. Which bits were set before, and which may ring 3 set?"
    )
    otherwise = (
        "This is not the RFLAGS pushed: set bits of the mask that POPF in ring 3 may change, and those set before."
    )
    yield compare("state.rflags", answers.get("state", "rflags"), rflags, mistakes, otherwise)


def _entry(answers: Answers, rsp: int, words: list[int]) -> Iterator[Check]:
    mistakes = {
        rsp + 5 * WORD: "That is RSP0 of the TSS. Five words have been pushed since.",
        rsp + 2 * WORD: "SS and RSP are pushed, too: in 64-bit mode always.",
        rsp - WORD: "INT 80h has no error code.",
        words[3]: "That is the guest's stack. The handler's comes from the TSS.",
    }
    yield compare("entry.rsp", answers.get("entry", "rsp"), rsp, mistakes, "This is not RSP in the handler.")
    given = answers.get("entry", "words")
    backwards = isinstance(given, list) and given == words[::-1]
    order = "These are the words in the order of pushing: the last one pushed has the lowest address."
    otherwise = order if backwards else "These are not the five words from the lowest address upwards."
    yield compare("entry.words", given, words, {}, otherwise)


def _fault(answers: Answers, guest: Guest, frames: Frames) -> Iterator[Check]:
    _, (error_code, rip, *_) = frames.delivered[_PAGE_FAULT]
    length = len(guest.instructions[-1].code)
    mistakes = {rip + length: "A fault returns to the instruction itself, so that it can be repeated."}
    yield compare("fault.rip", answers.get("fault", "rip"), rip, mistakes, "This is not the return address.")
    address = frames.raised[_PAGE_FAULT].address
    assert address is not None
    mistakes = {rip: "That is the instruction. CR2 has the address that it accessed."}
    yield compare("fault.cr2", answers.get("fault", "cr2"), address, mistakes, "This is not the address accessed.")
    mistakes = {
        error_code ^ 4: "Bit 2 says in which ring the access was made.",
        error_code ^ 2: "Bit 1 says whether it was a write.",
        error_code ^ 1: "Bit 0 says whether the page is present: a page of ring 0 is.",
    }
    yield compare(
        "fault.error_code", answers.get("fault", "error_code"), error_code, mistakes, "This is another fault."
    )
