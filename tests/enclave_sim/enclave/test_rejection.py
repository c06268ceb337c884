"""A payload that fails a check ends in annihilation, and the result says which check and why."""

from collections.abc import Callable

import pytest

import payloads
from enclave_sim import Enclave, events
from enclave_sim.enclave.engine.profile import GuestProfile
from enclave_sim.enclave.engine.wasmtime_engine import compile_ahead
from enclave_sim.memory_map import region
from enclave_sim.payload import artefact, signature
from enclave_sim.payload.keys import SigningKey, development_key
from enclave_sim.recording.outcome.summary import RunResult

BEACON = payloads.read("beacon")
PROFILE = GuestProfile(region("heap").size)


def rejected(module: bytes, **options: object) -> RunResult:
    enclave = Enclave(module, **options)  # type: ignore[arg-type]
    result = enclave.run()
    assert result.outcome == "PAYLOAD_REJECTED"
    assert [step.step for step in result.annihilation] == ["A1", "A2", "A3", "A4", "A5", "A6", "A7"]
    assert (result.residue_bytes, result.halted, result.signals) == (0, True, ())
    assert [phase.state for phase in result.phases] == ["Architecture Locked", "Memory Sanitized", None]
    assert "\n" not in result.detail
    return result


def signed(text: str, imports: bool = True) -> bytes:
    from wasmtime import wat2wasm

    own = '(import "aether" "emit_signal" (func $emit (param i32)))' if imports else ""
    return signature.sign(bytes(wat2wasm(f"(module {own} {text})")), development_key())


@pytest.mark.parametrize(
    ("module", "check"),
    [
        (b"\0asm\1\0\0", "NOT_WASM"),
        (b"\x7fELF" + bytes(100), "NOT_WASM"),
        (signature.strip(BEACON), "UNSIGNED"),
        (BEACON[:200], "MALFORMED_SIGNATURE"),
        (BEACON[:-1], "NOT_WASM"),
        (BEACON + BEACON[8:], "MALFORMED_SIGNATURE"),
        (BEACON[:-5] + bytes([BEACON[-5] ^ 1]) + BEACON[-4:], "BAD_ED25519"),
        (signature.sign(BEACON, SigningKey.generate("stranger", development=False)), "UNKNOWN_KEY"),
    ],
    ids="short ELF unsigned cut shorter appended spoiled stranger".split(),
)
def test_a_bad_signature_is_named(module: bytes, check: str) -> None:
    assert rejected(module).detail.startswith(check)


def test_development_keys_are_refused_in_production() -> None:
    assert rejected(BEACON, production=True).detail.startswith("DEVELOPMENT_KEY")


def test_production_takes_payloads_under_its_own_anchor() -> None:
    key = SigningKey.generate("plant", development=False)
    module = signature.sign(BEACON, key)
    assert Enclave(module, production=True, trust_anchors=[key.anchor()]).run().outcome == "COMPLETED"


def test_without_trust_anchors_nothing_is_trusted() -> None:
    assert rejected(BEACON, trust_anchors=[]).detail.startswith("UNKNOWN_KEY")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('(import "env" "abort" (func)) (func (export "_start"))', "env.abort"),
        ('(import "aether" "get_state" (func (result i32))) (func (export "_start"))', "aether.get_state"),
        ('(import "aether" "get_status" (func (result i64))) (func (export "_start"))', "i64"),
        ('(func (export "start"))', "_start"),
        ('(func (export "_start") (param i32))', "_start"),
        ('(memory 65) (func (export "_start"))', "65 pages"),
        ('(memory 1) (data "passive") (func (export "_start"))', "bulk-memory"),
        ('(func (export "_start") (drop (v128.const i64x2 0 0)))', "simd"),
        ('(func $f) (start $f) (func (export "_start"))', "start section"),
    ],
)
def test_a_guest_outside_the_contract_is_refused_in_wasm_init_by_name(text: str, named: str) -> None:
    result = rejected(signed(text, imports=False))
    assert result.detail.startswith("PROFILE")
    assert named in result.detail


def test_a_feature_opted_in_is_allowed_and_recorded() -> None:
    text = """(memory 1) (data $d "\\07") (func (export "_start")
      (memory.init $d (i32.const 8) (i32.const 0) (i32.const 1)) (call $emit (i32.load8_u (i32.const 8))))"""
    enclave = Enclave(signed(text), features=frozenset(["bulk-memory"]))
    assert enclave.run().signals == (7,)
    assert enclave.header.configuration["features"] == ["bulk-memory"]


def test_what_compilers_emit_by_default_needs_no_feature() -> None:
    text = """(memory 1) (func (export "_start") (memory.fill (i32.const 0) (i32.const 7) (i32.const 9))
      (memory.copy (i32.const 100) (i32.const 1) (i32.const 8)) (call $emit (i32.load (i32.const 104))))"""
    assert Enclave(signed(text)).run().signals == (0x07070707,)


def ahead(module: bytes, change: Callable[[bytes, bytes], tuple[bytes, bytes]] = lambda f, c: (f, c)) -> bytes:
    plain = signature.strip(module)
    fingerprint, code = change(*compile_ahead(plain, PROFILE))
    return artefact.attach(plain, fingerprint, code, development_key())


def test_an_artefact_boots_without_compiling() -> None:
    enclave = Enclave(ahead(payloads.read("digest")))
    result = enclave.run()
    plain = Enclave("digest").run()
    assert result.signals == plain.signals
    assert enclave.recording is not None
    assert [event.ahead_of_time for event in enclave.recording.of_kind(events.PayloadCompiled)] == [True]


@pytest.mark.parametrize("at", [0.3, 0.6, 0.9, 0.999])
def test_a_patched_artefact_is_never_executed(at: float) -> None:
    module = bytearray(ahead(payloads.read("digest")))
    module[int(len(module) * at)] ^= 0x10
    assert rejected(bytes(module)).detail.startswith(("BAD_ED25519", "NOT_WASM", "MALFORMED"))


def test_an_artefact_of_another_engine_is_never_executed() -> None:
    module = ahead(BEACON, lambda _, code: (bytes(32), code))
    assert rejected(module).detail.startswith("ARTEFACT_FOREIGN")


def test_an_artefact_whose_code_belongs_to_another_module_is_never_executed() -> None:
    """The signer's mistake, or a stolen section: the module is signed again, so that only the binding can detect it."""
    from enclave_sim.payload.wasm.sections import custom_sections

    (section,) = custom_sections(ahead(payloads.read("shredder")), "aether.aot")
    mixed = signature.sign(signature.strip(BEACON) + section.raw, development_key())
    assert rejected(mixed).detail.startswith("ARTEFACT_MISMATCH")


def test_code_that_is_not_code_is_refused_before_it_runs() -> None:
    module = ahead(BEACON, lambda fingerprint, _: (fingerprint, b"\x7fELF" + bytes(4096)))
    assert rejected(module).detail.startswith("ARTEFACT_FOREIGN")
