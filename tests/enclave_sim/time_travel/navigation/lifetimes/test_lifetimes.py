"""Lifetimes in small guests whose answers are known, and what is said about what is not followed."""

import pytest
from wasmtime import wat2wasm

from enclave_sim.errors import ConfigurationError
from enclave_sim.inputs import ExternalInterrupt, MemoryWrite, RegisterWrite
from enclave_sim.memory_map import region
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.navigation.lifetimes.answers import Kind, Lifetimes, Met
from enclave_sim.time_travel.navigation.provenance.places import Place
from enclave_sim.time_travel.position import Position
from machine.tpm.constants import Code
from machine.tpm.model import TpmModel

SECRET = bytes.fromhex("deadbeef123456789abcdef011223344")
START_NS = 1_417_000
"""A time in the boot, before the guest is entered."""


def flat(*instructions: str) -> Session:
    """A flat guest with the secret at [rbx + 64], which executes these instructions and ends."""
    heap = region("heap").base
    code = "48bb" + heap.to_bytes(8, "little").hex() + "".join(instructions) + "b803000000cd80"
    write = MemoryWrite(at_ns=START_NS, address=heap + 64, data=SECRET.hex())
    return Session(bytes.fromhex(code.replace(" ", "")), engine="native", inputs=[write])


def kinds(found: Lifetimes, space: str) -> list[tuple[int, int, Kind, int, int]]:
    """Start, size, kind, and first and last byte of the secret, of what was in a space, in order."""
    ones = [one for one in found.lifetimes if one.place.space == space]
    return [(one.place.start, one.place.size, one.kind, one.first, one.last) for one in ones]


LOAD = "488b4340"  # mov rax, [rbx+64]
CASES = {
    "a copy": (LOAD, [(0, 8, Kind.COPY, 0, 7)]),
    "a part": ("8b4344", [(0, 4, Kind.COPY, 4, 7)]),  # mov eax, [rbx+68]
    "zeros of an extension are nothing": ("0fb64342", [(0, 1, Kind.COPY, 2, 2)]),  # movzx eax, byte [rbx+66]
    "signs of an extension": (
        "480fbe4342",  # movsx rax, byte [rbx+66]
        [(0, 1, Kind.COPY, 2, 2), (1, 7, Kind.DERIVED, 2, 2)],
    ),
    "a shift": (LOAD + "48c1e004", [(0, 8, Kind.COPY, 0, 7), (0, 8, Kind.DERIVED, 0, 7)]),
    "XOR": (LOAD + "4831d8", [(0, 8, Kind.COPY, 0, 7), (0, 8, Kind.DERIVED, 0, 7)]),
    "AND keeps a byte": (LOAD + "25ff000000", [(0, 1, Kind.COPY, 0, 0), (1, 7, Kind.COPY, 1, 7)]),
    "the other order": (
        LOAD + "480fc8",
        [(0, 8, Kind.COPY, 0, 7), *((n, 1, Kind.COPY, 7 - n, 7 - n) for n in range(8))],
    ),
    "multiplication makes no derivative": (LOAD + "480fafc3", [(0, 8, Kind.COPY, 0, 7)]),
    "but a sum that is the same bytes is a copy": (
        "31c0 48034340",  # xor eax, eax; add rax, [rbx+64]
        [(0, 8, Kind.COPY, 0, 7)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_an_instruction_makes_of_a_secret(name: str) -> None:
    code, expected = CASES[name]
    found = flat(code, "31c0").lifetimes("input")
    assert set(kinds(found, "rax")[: len(expected)]) == set(expected)


def test_a_lifetime_has_its_ends_and_their_authors() -> None:
    run = flat(LOAD, "90 90", "31c0")
    found = run.lifetimes("input")
    (one,) = (one for one in found.lifetimes if one.place.space == "rax")
    assert one.until is not None
    assert one.until.at_ns - one.since.at_ns == 3
    assert one.ended_by is not None
    assert (one.made_by.instruction, one.ended_by.instruction) == ("mov rax, qword ptr [rbx + 0x40]", "xor eax, eax")
    run.go_to(one.since)
    assert run.machine.cpu.registers.rax.to_bytes(8, "little") == SECRET[:8]
    (heap,) = (row for row in found.rows if row.where == "heap")
    assert heap.ended_by is not None
    assert heap.ended_by.by.startswith("scrub engine")


def test_computation_and_comparison_are_listed() -> None:
    found = flat(LOAD, "480fafc3", "483b4340").lifetimes("input")  # imul rax, rbx; cmp rax, [rbx+64]
    met = [one.by.instruction for one in found.meetings if one.met is Met.COMPUTED]
    assert met == ["imul rax, rbx", "cmp rax, qword ptr [rbx + 0x40]"]


def test_what_is_not_modelled_is_never_silent() -> None:
    found = flat("f30f6f4b40", "0fae8300010000").lifetimes("input")  # movdqu xmm1, [rbx+64]; fxsave [rbx+256]
    (one,) = found.not_modelled
    assert one.by.instruction == "fxsave [rbx + 0x100]"
    base = region("heap").base + 256
    image = [one for one in found.lifetimes if one.place.in_memory and one.kind is Kind.POSSIBLE]
    assert any(one.place.common(Place("memory", base + 176, 16)) for one in image)
    assert "not modelled" in str(found)


def test_a_secret_that_is_used_as_an_address_of_a_fault_is_in_cr2() -> None:
    found = flat(LOAD, "48c1e810 48c1e010", "488b00").lifetimes("input")  # not canonical: #GP, and CR2 is unchanged
    assert not kinds(found, "cr2")


def test_a_derivative_of_many_operations_counts_as_computed() -> None:
    found = flat(LOAD, "4831d8" * 40).lifetimes("input")  # xor rax, rbx
    assert any(one.met is Met.COMPUTED for one in found.meetings)
    last = max(one.until for one in found.lifetimes if one.place.space == "rax" and one.until is not None)
    assert last < found.end


# Marks


def test_a_register_and_an_answer_can_be_marked() -> None:
    run = Session("counter", cycles=1)
    run.run_to(symbol="host_call")
    found = run.lifetimes("rsi")
    assert found.marked == run.now
    assert found.secret == (1).to_bytes(8, "little")
    assert run.lifetimes("answer:1").name == "answer:1"


def test_a_register_that_an_input_writes_can_be_marked() -> None:
    run = Session("counter", cycles=1, inputs=[RegisterWrite(at_ns=1000, register="r15", value=77)])
    assert run.lifetimes("input:0", until=Position(1100)).secret[0] == 77


@pytest.mark.parametrize("number", [0, 1])
def test_a_key_of_the_tpm_stays_there(number: int) -> None:
    found = Session("beacon", post_quantum=bool(number)).lifetimes(f"key:{number}")
    assert (found.name, len(found.secret), found.marked) == (f"key:{number}", 40, Position(0))
    (row,) = found.rows
    assert (row.where, row.kind, row.since, row.until) == ("tpm", Kind.COPY, Position(0), None)
    assert not found.not_modelled


def test_a_tpm_that_answers_with_its_key_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 16 bytes of it in place of the name of the created key, which the firmware does not look at."""
    secret = Session("beacon").lifetimes("key").secret

    def execute(tpm: TpmModel, command: bytes, locality: int) -> bytes:
        answer = genuine(tpm, command, locality)
        created = int.from_bytes(command[6:10], "big") == Code.CREATE_PRIMARY and answer[6:10] == bytes(4)
        return answer[:-32] + secret[8:24] + answer[-16:] if created else answer

    genuine = TpmModel.execute
    monkeypatch.setattr(TpmModel, "execute", execute)
    found = Session("beacon").lifetimes("key")
    leaked = next(row for row in found.rows if row.where == "tpm_buffer")
    assert leaked.made_by.by.startswith("the TPM, at ")
    assert {place.size for place in leaked.places} == {16}
    assert leaked.until is not None


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("key:5", "there is no key 5 in this run; it has "),
        ("data:1", "there is no payload 1 in this run; it has 1"),
        ("data", "payload 0 has no data segment"),
        ("nonce:9", "there is no nonce 9 in this run; it has 1, counted from 0"),
        ("input:1", "there is no input 1 in this run; it has 1, counted from 0"),
        ("answer:99", "there is no answer 99 in this run; it has "),
        ("input", "input:0 is external_interrupt, which writes no memory and no register"),
        ("secret", "'secret' cannot be asked for"),
    ],
)
def test_a_secret_that_is_not_there_is_one_clear_error(what: str, message: str) -> None:
    run = Session("counter", cycles=1, inputs=[ExternalInterrupt(at_ns=1_380_000)])
    here = run.now
    with pytest.raises(ConfigurationError, match=message):
        run.lifetimes(what)
    assert run.now == here


def test_a_device_register_cannot_be_marked() -> None:
    with pytest.raises(ConfigurationError, match="not in RAM"):
        Session("counter").lifetimes(0xFEE0_0000, 4)


# Guests on the coprocessor


def module(code: str) -> Session:
    text = "".join(f"\\{byte:02x}" for byte in SECRET)
    source = f"""(module (import "aether" "emit_signal" (func $emit (param i32)))
      (memory 1) (data (i32.const 16) "{text}") (func (export "_start") (local i64 i32) {code}))"""
    return Session(sign(bytes(wat2wasm(source)), development_key()), cycles=1)


def test_values_on_the_stack_of_a_guest_are_listed() -> None:
    found = module("(call $emit (i32.load (i32.const 16)))").lifetimes("data")
    (row,) = (row for row in found.rows if row.where == "guest_values")
    assert row.made_by.instruction == "i32.load align=4"
    assert row.kind is Kind.COPY


def test_memory_that_a_guest_erases_itself_is_not_the_scrub_engines() -> None:
    code = """(i64.store (i32.const 64) (i64.load (i32.const 16))) (call $emit (i32.const 1))
              (i64.store (i32.const 64) (i64.const 0)) (call $emit (i32.const 2))"""
    found = module(code).lifetimes("data")
    rows = [row for row in found.rows if row.where == "heap" and "i64.store" in (row.made_by.instruction or "")]
    assert [row.ended_by.instruction for row in rows if row.ended_by is not None] == ["i64.store align=8"]


@pytest.mark.slow
def test_a_guest_that_computes_for_too_long_is_named() -> None:
    count = "(local.set 1 (i32.add (local.get 1) (i32.const 1)))"
    loop = f"(loop {count} (br_if 0 (i32.lt_u (local.get 1) (i32.const 90000))))"
    run = module(f"(i64.store (i32.const 64) (i64.load (i32.const 16))) {loop} (call $emit (i32.const 1))")
    found = run.lifetimes("data")
    assert any("more than 300,000 instructions" in one.by.by for one in found.not_modelled)
    base = region("heap").end - 65536 + 64
    assert any(one.place.common(Place("memory", base, 8)) for one in found.lifetimes if one.kind is Kind.COPY)
