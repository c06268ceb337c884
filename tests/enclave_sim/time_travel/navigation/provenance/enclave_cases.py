"""Values in runs of enclaves, with the first writer and all ends of their trees, labelled by hand."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import firmware
from enclave_sim.inputs import AnyInput, ExternalInterrupt, MemoryFault, MemoryWrite, RegisterWrite, UplinkReady
from enclave_sim.memory_map import region
from enclave_sim.time_travel import Session

FLAT = bytes.fromhex("b801000000 bf2a000000 cd80 b803000000 cd80")
"""mov eax, 1; mov edi, 42; int 80h: emits 42. mov eax, 3; int 80h: returns."""
SYMBOLS = firmware.built_in().symbols
PATCHED = SYMBOLS["status"]


class Case(NamedTuple):
    """A run, the place in it, a value there, and what is to be found."""

    name: str
    run: Callable[[], Session]
    go: Callable[[Session], object]
    ask: str | tuple[int, int] | Callable[[Session], tuple[int, int]]
    first: str
    """How the description of the first writer begins."""
    endings: set[str]
    depth: int = 40
    some: bool = False
    """There are more ends, of values that other bits of the word came from."""


@cache
def beacon() -> Session:
    return Session("beacon", cycles=1)


@cache
def counter() -> Session:
    return Session("counter", cycles=2)


@cache
def resident() -> Session:
    return Session("counter", cycles=1, engine="resident")


@cache
def native() -> Session:
    return Session(FLAT, engine="native")


@cache
def attested() -> Session:
    return Session("beacon", cycles=1, attestation="record")


@cache
def disturbed() -> Session:
    inputs: list[AnyInput] = [
        UplinkReady(at_ns=1_000, ready=False),
        MemoryWrite(at_ns=1_385_963, address=0x25_0000, data="0102"),
        MemoryFault(at_ns=1_385_973, address=0x25_0001, bits=3),
        RegisterWrite(at_ns=1_385_983, register="r12", value=0x77),
        ExternalInterrupt(at_ns=1_385_943),
    ]
    return Session("beacon", inputs=inputs)


def _at(**goal: object) -> Callable[[Session], object]:
    def go(session: Session) -> object:
        session.reverse_to(at_ns=0) if session.now.at_ns else None
        return session.run_to(**goal)  # type: ignore[arg-type]

    return go


def _before_the_end_of_the_guest(session: Session) -> object:
    _at(event="guest_destroyed")(session)
    return session.back()


def _after_the_answer(session: Session) -> object:
    """Go to where the kernel has copied the header of the TPM's answer to a quote."""
    _at(event="quoted")(session)
    return session.run_to(symbol="copy_out")


def _destination(session: Session) -> tuple[int, int]:
    """Go to the end of a copy, and return where its first bytes are."""
    to = session.machine.cpu.registers.rdi
    session.step_out()
    return to, 8


def _digest(session: Session) -> tuple[int, int]:
    return session.machine.cpu.registers.rdx, 8


HEAP_END = region("heap").end
STACK = region("call_stack").end
IMAGE_ENDS = {"constant: 0", "device: scrub engine"}

CASES = (
    Case("a scrubbed heap", beacon, _at(event="annihilation_began"), (HEAP_END - 8, 8), "scrub engine, at scrub",
         IMAGE_ENDS),
    Case("a scrubbed stack", beacon, _at(event="annihilation_began"), (region("call_stack").base + 0x100, 8),
         "scrub engine, at scrub", IMAGE_ENDS),
    Case("a staged payload", beacon, _at(event="annihilation_began"), (region("staging").base + 4, 4), "move+",
         {"payload: payload 0, byte 0x4"}),
    Case("code of the kernel", beacon, _at(symbol="host_call"), (SYMBOLS["host_call"], 1), "power-on",
         {"boot image: segment 0 at 0x100000, byte {host_call}"}),
    Case("a register at power-on", beacon, _at(at_ns=1), "rbx", "power-on", {"power-on: rbx as the loader left it"}),
    Case("memory that nothing has written", beacon, _at(at_ns=900), (0x25_0000, 4), "power-on", {"power-on: zero"}),
    Case("the argument of a flat guest's host call", native, _at(symbol="host_call"), "esi", "host_call_entry+",
         {"constant: 0x2a"}),
    Case("the code of a flat guest", native, _at(symbol="host_call"), (region("staging").base, 1), "move+",
         {"payload: payload 0, byte 0x0"}),
    Case("a return address in ring 3", native, _at(symbol="host_call_entry"), (STACK - 40, 8),
         "interrupt delivery of vector 0x80", {"return address: 0x40000c"}),
    Case("the user's stack pointer in a frame", native, _at(symbol="host_call_entry"), (STACK - 16, 8),
         "interrupt delivery of vector 0x80", {f"constant: {region('guest_stack').end:#x}", "constant: 0"}),
    Case("the stack pointer of a handler", native, _at(symbol="host_call_entry"), "rsp",
         "interrupt delivery of vector 0x80", {f"constant: {STACK:#x}"}),
    Case("a register cleared after a host call", native, _at(symbol="leave_guest"), "rbx", "host_call_entry+",
         {"constant: 0"}),
    Case("a signal of the resident VMM", resident, _at(symbol="host_call"), "esi", "host_call_entry+",
         IMAGE_ENDS | {"constant: 0x39", "payload: payload 0, byte 0xde7"}),
    Case("an input that writes memory", disturbed, _at(symbol="host_call"), (0x25_0000, 1), "an input",
         {"input: memory_write at 1385963 ns"}),
    Case("a memory fault", disturbed, _at(symbol="host_call"), (0x25_0001, 1), "an input",
         {"input: memory_fault at 1385973 ns"}),
    Case("an input that writes a register", disturbed, _at(at_ns=1_385_988), "r12", "an input",
         {"input: register_write at 1385983 ns"}),
    Case("whether the uplink is ready", disturbed, _at(symbol="enter_guest"), (PATCHED + 1, 1), "exec_loop+",
         {"input: the uplink, since 1000 ns", "constant: 0x80"}, some=True),
    Case("an answer of the TPM", attested, _after_the_answer, _destination, "copy_out+",
         {"TPM: the answer to QUOTE, byte 0x0"}),
    Case("a digest of the hash engine", attested, _at(symbol="measure"), _digest, "digest+",
         {"boot image: segment 0 at 0x100000, byte 0x0"}, some=True),
    Case("a signal of a compiled guest", counter, _at(symbol="host_call"), "esi", "host_call_entry+",
         IMAGE_ENDS | {"constant: 0x1"}),
    Case("a store of a compiled guest", counter, _before_the_end_of_the_guest, (HEAP_END - 0x8000, 4),
         "the guest: _start (function 1) at +0xb", IMAGE_ENDS | {"constant: 0x1"}),
)  # fmt: skip
