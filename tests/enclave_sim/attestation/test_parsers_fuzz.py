"""Any input to attestation is read, or refused with the documented error. `parsers.PARSERS` has every parser; a test
fails if a new one is missing there.
"""

import contextlib
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import enclave_sim.attestation
import enclave_sim.attestation.service
import machine.tpm
from enclave_sim.enclave.attester import expected_measurements, tpm_events
from enclave_sim.payload import anchor_list
from machine.devices.tpm_crb import BUFFER, BUFFER_BYTES, TpmCrb
from machine.processor.clock import Clock
from machine.processor.step_hook import NEVER, HookState
from machine.state import Stateful
from machine.tpm.backend import TpmUnavailable
from machine.tpm.model import TpmModel
from tests.enclave_sim.attestation.parsers import PARSERS, Parser, Refused
from tests.machine.tpm import commands as tpm

_READS = re.compile(r"parse|decode|unpack|load|read|from_json|public_of|key_name|public_pem")
_PACKAGES = (enclave_sim.attestation, enclave_sim.attestation.service, machine.tpm)
EACH = pytest.mark.parametrize("parser", PARSERS.values(), ids=PARSERS)


def tried(parser: Parser, data: bytes) -> bool:
    """Return True if it was read; any error but the documented ones fails the test."""
    with contextlib.suppress(Refused, *parser.errors):
        parser.read(data)
        return True
    return False


# Finding the parsers.


def modules() -> Iterator[ModuleType]:
    yield from (anchor_list, tpm_events, expected_measurements)
    for package in _PACKAGES:
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            yield importlib.import_module(found.name)


def readers(module: ModuleType) -> Iterator[str]:
    """Public functions and class methods of a module that read bytes, judging by name and first parameter."""
    found = [(name, each) for name, each in vars(module).items() if getattr(each, "__module__", "") == module.__name__]
    for name, each in found:
        inside = vars(each).items() if inspect.isclass(each) else ()
        methods = [(f"{name}.{inner}", method.__func__) for inner, method in inside if isinstance(method, classmethod)]
        for called, function in (*methods, (name, each)):
            last = called.rpartition(".")[2]
            if inspect.isfunction(function) and _READS.match(last):
                first = next(iter(name for name in inspect.signature(function).parameters if name != "cls"), "")
                if function.__annotations__.get(first) is bytes:
                    yield f"{module.__name__}.{called}"


def test_every_parser_that_can_be_told_by_its_name_is_in_the_table() -> None:
    assert {name for module in modules() for name in readers(module)} == {name for name in PARSERS if ":" not in name}


# Each of them.


@EACH
def test_what_is_genuine_is_read(parser: Parser) -> None:
    for data in parser.genuine():
        assert tried(parser, data), data


@EACH
def test_what_is_cut_short_is_refused_but_where_a_part_is_a_whole(parser: Parser) -> None:
    for data in parser.genuine():
        step = 1 if len(data) < 600 else 23
        for size in (*range(0, len(data), step), len(data) - 1):
            assert tried(parser, data[:size]) == parser.cut(data, size), size
            tried(parser, parser.shape(data[:size]))


@EACH
@given(data=st.data())
@settings(max_examples=80)
def test_random_bytes_are_read_or_refused(parser: Parser, data: st.DataObject) -> None:
    content = data.draw(st.binary(max_size=120))
    tried(parser, content)
    tried(parser, parser.shape(content))


@EACH
@pytest.mark.parametrize("piece", [b"[", b'{"a":', b"\x81", b"\xa1", b"\xff", b"\0"])
def test_what_is_nested_without_end_is_refused(parser: Parser, piece: bytes) -> None:
    assert not tried(parser, piece * 60_000)
    assert not tried(parser, b"[" + piece * 60_000)


NUMBERS = st.sampled_from(
    [b"\0", b"\xff", b"\0\0", b"\xff\xff", b"\x7f\xff", bytes(4), b"\xff" * 4, b"\x80\0\0\0", b"-", b"9" * 12]
)


@st.composite
def mutated(draw: st.DrawFn, parser: Parser) -> bytes:
    """Genuine input with some places overwritten, removed, doubled, or taken from another input."""
    content = draw(st.sampled_from(parser.genuine()))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, min(len(content), draw(st.sampled_from([16, 80, 10_000]))))))
        size = draw(st.integers(0, 8))
        piece = draw(st.one_of(NUMBERS, st.binary(max_size=4), st.just(content[at : at + size])))
        match draw(st.sampled_from(["overwrite", "take out", "put in", "other"])):
            case "overwrite":
                content = content[:at] + piece + content[at + len(piece) :]
            case "take out":
                content = content[:at] + content[at + size :]
            case "put in":
                content = content[:at] + piece + content[at:]
            case "other":
                content = content[:at] + draw(st.sampled_from(parser.genuine()))[at:]
    return draw(st.sampled_from([content, parser.shape(content)]))


@EACH
@given(data=st.data())
@settings(max_examples=200)
def test_what_was_genuine_and_was_changed_is_read_or_refused(parser: Parser, data: st.DataObject) -> None:
    tried(parser, data.draw(mutated(parser)))


# The CRB.


class Moody(Stateful):
    """A TPM that sometimes gives no response, or one that the buffer cannot hold."""

    STATE = ("_answers",)

    def __init__(self) -> None:
        self._answers = 0

    def power_on(self) -> None:
        if self._answers == 3:
            raise TpmUnavailable("it is gone")

    def execute(self, command: bytes, locality: int) -> bytes:  # noqa: ARG002 - the contract's shape
        self._answers += 1
        if self._answers == 2:
            raise TpmUnavailable("it is gone")
        return command * self._answers


REGISTERS = st.sampled_from([0x00, 0x08, 0x0C, 0x30, 0x34, 0x40, 0x44, 0x48, 0x4C, 0x58, 0x5C, 0x60, 0x64, 0x68, 0x80])
COMMANDS = st.sampled_from([tpm.startup(), tpm.create_primary(), tpm.extend(8), tpm.quote(), tpm.flush()])
ACCESSES = st.one_of(
    st.tuples(st.just("write"), REGISTERS, st.sampled_from([1, 2, 4, 8]), st.integers(0, 3)),
    st.tuples(
        st.sampled_from(["read", "write"]),
        st.one_of(REGISTERS, st.integers(0, 0xFF8)),
        st.sampled_from([1, 2, 4, 8]),
        st.integers(0, 2**64 - 1),
    ),
    st.tuples(st.just("command"), st.just(0), st.just(0), COMMANDS.map(lambda sent: int.from_bytes(sent, "little"))),
    st.tuples(st.just("reset"), st.just(0), st.just(0), st.just(0)),
)


@given(accesses=st.lists(ACCESSES, max_size=40), moody=st.booleans())
@settings(max_examples=300)
def test_the_crb_takes_any_access_in_any_order(accesses: list[tuple[str, int, int, int]], moody: bool) -> None:
    crb = TpmCrb(Clock(HookState(deadline=NEVER)), Moody() if moody else TpmModel(bytes(32)))
    for kind, offset, size, value in accesses:
        if kind == "read":
            assert 0 <= crb.read(offset, size) < 1 << 8 * size
        elif kind == "write":
            crb.write(offset, size, value & (1 << 8 * size) - 1)
        elif kind == "reset":
            crb.reset()
        else:
            for at, word in ((0x08, 1), (0x40, 1), *pieces(value), (0x4C, 1)):
                crb.write(at, 8 if at >= BUFFER else 4, word)
        state = crb.save_state() if not moody else None
        if state is not None:
            assert len(state["_buffer"]) == BUFFER_BYTES


def pieces(value: int) -> Iterator[tuple[int, int]]:
    """A command, eight bytes at a time."""
    for index in range((value.bit_length() + 63) // 64):
        yield BUFFER + 8 * index, value >> 64 * index & 0xFFFF_FFFF_FFFF_FFFF
