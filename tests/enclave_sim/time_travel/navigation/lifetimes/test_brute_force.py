"""Lifetimes against a scan of all state after every instruction."""

from typing import Any

import pytest
from wasmtime import wat2wasm

from enclave_sim.inputs import MemoryWrite
from enclave_sim.memory_map import region
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.navigation.lifetimes.answers import Kind
from enclave_sim.time_travel.navigation.lifetimes.lifetimes import follow
from enclave_sim.time_travel.navigation.lifetimes.marks import Secret, marked, named_secret
from enclave_sim.time_travel.navigation.lifetimes.taint import Taint
from enclave_sim.time_travel.navigation.provenance.places import MEMORY, Place
from enclave_sim.time_travel.position import Position
from tests.enclave_sim.time_travel.navigation.lifetimes.scan import Copies, Scan
from tests.sampling import explored, sampled

SECRET = bytes.fromhex("deadbeef123456789abcdef011223344")
_TEXT = "".join(f"\\{byte:02x}" for byte in SECRET)
_GUEST = f"""(module
  (import "aether" "get_status" (func $get_status (result i32)))
  (import "aether" "emit_signal" (func $emit_signal (param i32)))
  (memory 1) (data (i32.const 16) "{_TEXT}")
  (func (export "_start") (local i64)
    (call $emit_signal (i32.load (i32.const 16)))
    (local.set 0 (i64.load (i32.const 20)))
    (i64.store (i32.const 64) (i64.xor (i64.const -1) (i64.load (i32.const 16))))
    (memory.copy (i32.const 100) (i32.const 18) (i32.const 9))
    (drop (call $get_status))
    (i64.store (i32.const 200) (local.get 0))
    (memory.fill (i32.const 100) (i32.const 0) (i32.const 6))
    (i32.store (i32.const 300) (i32.load (i32.const 24)))
    (call $emit_signal (i32.add (i32.const 0) (i32.load (i32.const 24))))
    (i32.store (i32.const 300) (i32.const 0))))"""


def module() -> bytes:
    return sign(bytes(wat2wasm(_GUEST)), development_key())


def session(name: str, what: str) -> Session:
    if what == "nonce":
        return Session("counter", cycles=2, engine=name)  # its bytes are always the same
    if name == "native":
        write = MemoryWrite(at_ns=1_417_000, address=region("heap").base + 64, data=SECRET.hex())
        return Session(_native(), engine="native", inputs=[write])
    return Session(module(), cycles=1 if what == "memory" else 2, engine=name)


def _native() -> bytes:
    """Reads the secret from the heap, moves it through registers of all kinds, and writes it elsewhere."""
    heap = region("heap").base
    code = b"\x48\xbb" + heap.to_bytes(8, "little")  # mov rbx, heap
    for text in (
        "0f6f4340 0f7f4350"  # movq mm0, [rbx+64]; movq [rbx+80], mm0
        "0f77"  # emms
        "f30f6f4b40 660f6fd1 660fd7c2"  # movdqu xmm1, [rbx+64]; movdqa xmm2, xmm1; pmovmskb eax, xmm2
        "f30f7f93 80000000"  # movdqu [rbx+128], xmm2
        "488b4340 480fc8 488983 00010000"  # mov rax, [rbx+64]; bswap rax; mov [rbx+256], rax
        "50 5a"  # push rax; pop rdx
        "488d7340 488dbb 00020000 b910000000 f3a4"  # lea rsi, [rbx+64]; lea rdi, [rbx+512]; mov ecx, 16; rep movsb
        "488b4348 488703 4887c1"  # mov rax, [rbx+72]; xchg [rbx], rax; xchg rcx, rax
        "660fefd2"  # pxor xmm2, xmm2
        "b801000000 8b7b44 cd80"  # mov eax, 1; mov edi, [rbx+68]; int 80h
        "31c0 488983 00010000"  # xor eax, eax; mov [rbx+256], rax
        "b803000000 cd80",  # mov eax, 3; int 80h
    ):
        code += bytes.fromhex(text)
    return code


class Watched:
    """A run in single steps, with a scan after each."""

    def __init__(self, run: Session, secret: Secret, until: Position | None) -> None:
        self.steps = 0
        self.missing: list[Any] = []
        self.wrong: list[Any] = []
        self.seen: list[tuple[Position, Copies]] = []
        run.go_to(secret.position)
        scan = Scan(run.subject, secret.content)
        marked = {(one.space, byte) for one in secret.places for byte in range(one.start, one.end)}
        others = scan.copies() - marked

        def look(taint: Taint) -> None:
            self.steps += 1
            labelled = {(space, byte) for space, found in taint.spaces.items() for byte in found}
            copies = scan.copies() - others
            if not copies <= labelled:
                self.missing.append((run.now, sorted(copies - labelled)))
            if not self.seen or self.seen[-1][1] != copies:
                self.seen.append((run.now, copies))
            for space, found in taint.spaces.items():
                for byte, held in found.items():
                    value = scan.value(space, byte) if held.label.kind is Kind.COPY else None
                    if value not in (None, secret.content[held.label.first]):
                        self.wrong.append((run.now, space, byte, held))

        self.found = follow(run._timeline, secret, until, quickly=False, at_step=look)

    def check(self) -> None:
        assert self.missing[:3] == []
        assert self.wrong[:3] == []
        assert len(self.seen) >= 3
        for position, copies in self.seen:
            reported = {
                (one.place.space, byte)
                for one in self.found.at(position)
                for byte in range(one.place.start, one.place.end)
            }
            assert copies <= reported, position


def secret_of(run: Session, what: str) -> Secret:
    if what != "memory":
        return named_secret(run._timeline, what)
    run.run_to(event="host_returned")
    run.back()  # before the guest is resumed: no register has a copy, nor has a local
    base = region("heap").end - 65536 + 16
    return marked(run._timeline, what, (Place(MEMORY, base, len(SECRET)),))


RESIDENT = "resident", "data"
CASES = [("wasmtime", "data"), ("wasmtime", "nonce"), ("wasmtime", "memory"), RESIDENT, ("native", "input")]
"""The data of a module exist before the boot: a complete run is 100,000 steps."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "what", "length_ns"),
    [("wasmtime", "nonce", 1_600), ("wasmtime", "memory", 1_500), ("native", "input", 2_000)],
)
def test_every_copy_that_a_scan_finds_is_reported(engine: str, what: str, length_ns: int) -> None:
    run = session(engine, what)
    secret = secret_of(run, what)
    watched = Watched(run, secret, Position(secret.position.at_ns + length_ns))
    watched.check()
    assert watched.steps > 200


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "what"), explored(CASES, ("wasmtime", "memory"), ("native", "input")))
def test_every_copy_in_a_complete_run_is_reported(engine: str, what: str) -> None:
    run = session(engine, what)
    watched = Watched(run, secret_of(run, what), None)
    watched.check()
    assert watched.steps > (50_000 if what == "data" else 2_000)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "what"),
    [
        *sampled([case for case in CASES if case != RESIDENT], ("wasmtime", "memory"), ("native", "input")),
        pytest.param(*RESIDENT, marks=[pytest.mark.slow, pytest.mark.long]),
    ],
)
def test_a_run_at_its_own_speed_gives_the_same_answer_as_single_steps(engine: str, what: str) -> None:
    run = session(engine, what)
    secret = secret_of(run, what)
    quick, slow = (follow(run._timeline, secret, quickly=quickly) for quickly in (True, False))
    assert quick.lifetimes == slow.lifetimes
    assert quick.meetings == slow.meetings
    assert quick.end == slow.end
