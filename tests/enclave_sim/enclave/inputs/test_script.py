"""Input scripts are parsed as documented, and errors are reported in one line."""

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import NoneType
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from enclave_sim import ConfigurationError, Enclave
from enclave_sim.enclave.inputs.script import MAX_INPUTS, read_inputs
from enclave_sim.enclave.inputs.validation import fields_of
from enclave_sim.events import KINDS
from enclave_sim.inputs import (
    LATEST_NS,
    AfterEvent,
    AnyInput,
    ExternalInterrupt,
    GuestReplaced,
    MemoryFault,
    MemoryWrite,
    RegisterWrite,
    SensorValue,
    Tamper,
    UplinkReady,
    Value,
    kind_of,
)
from enclave_sim.recording.reader import read_header
from enclave_sim.specification import EngineName, Phase
from payloads import read, read_flat

TAMPER = '[[input]]\nkind = "tamper"\n'


@pytest.fixture
def script(tmp_path: Path) -> Any:
    """Reads a text as a script."""

    def read_text(text: str | bytes, engine: EngineName = EngineName.WASMTIME) -> tuple[AnyInput, ...]:
        path = tmp_path / "inputs.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_inputs(path, engine)

    return read_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('kind = "external_interrupt"', ExternalInterrupt(at_ns=7)),
        ('kind = "tamper"', Tamper(at_ns=7)),
        ('kind = "sensor_value"\nsensor = 1\nvalue = 0xF00', SensorValue(at_ns=7, sensor=1, value=0xF00)),
        ('kind = "uplink_ready"\nready = false', UplinkReady(at_ns=7, ready=False)),
        ('kind = "memory_fault"\naddress = 0x20_0000\nbits = 3', MemoryFault(at_ns=7, address=0x20_0000, bits=3)),
        (
            'kind = "guest_replaced"\npayload = 0\nguest = "beacon"',
            GuestReplaced(at_ns=7, payload=0, code=read("beacon")),
        ),
        ('kind = "memory_write"\naddress = 5\ndata = "00ff"', MemoryWrite(at_ns=7, address=5, data="00ff")),
        (
            'kind = "register_write"\nregister = "r15"\nvalue = 0xFFFF_FFFF_FFFF_FFFF',
            RegisterWrite(at_ns=7, register="r15", value=2**64 - 1),
        ),
    ],
)
def test_every_kind_of_input_comes_by_time_and_by_event(script: Any, text: str, expected: AnyInput) -> None:
    assert script(f"[[input]]\n{text}\nat_ns = 7") == (expected,)
    after = AfterEvent("phase_completed", {"phase": "MEM_MAP"}, 2)
    written = 'after = { event = "phase_completed", phase = "MEM_MAP", count = 2 }\ndelay_ns = 7'
    assert script(f"[[input]]\n{text}\n{written}") == (structs.replace(expected, after=after),)


@pytest.mark.parametrize(
    ("text", "at_ns"),
    [
        ("at_ns = 300_000", 300_000),
        ('at = "300 us"', 300_000),
        ('at = "300us"', 300_000),
        ('at = "1.5 ms"', 1_500_000),
        ('at = "0.000000001 s"', 1),
        ('at = "0.1 us"', 100),
        ('at = "1.000 ns"', 1),
        ('at = "2 s"', 2_000_000_000),
        (f"at_ns = {LATEST_NS - 1}", LATEST_NS - 1),
        (f'at = "{LATEST_NS - 1} ns"', LATEST_NS - 1),
    ],
)
def test_times_are_exact(script: Any, text: str, at_ns: int) -> None:
    assert script(f"{TAMPER}{text}") == (Tamper(at_ns=at_ns),)


def test_a_repeated_input_is_several(script: Any) -> None:
    assert script(f'{TAMPER}at = "1 us"\nevery_ns = 10\ntimes = 3') == tuple(
        Tamper(at_ns=1000 + 10 * n) for n in range(3)
    )
    after = AfterEvent("halted")
    waiting = script(f'{TAMPER}after = {{ event = "halted" }}\nevery = "1 ms"\ntimes = 2')
    assert waiting == (Tamper(at_ns=0, after=after), Tamper(at_ns=1_000_000, after=after))


def test_inputs_stand_in_the_order_of_the_script(script: Any) -> None:
    found = script(f"{TAMPER}at_ns = 9\n[[input]]\nkind = 'external_interrupt'\nat_ns = 3\n{TAMPER}at_ns = 9")
    assert found == (Tamper(at_ns=9), ExternalInterrupt(at_ns=3), Tamper(at_ns=9))


def test_an_empty_script_has_no_inputs(script: Any) -> None:
    assert script("# nothing yet\n") == ()


def test_a_guest_is_a_file_beside_the_script_or_built_in(script: Any, tmp_path: Path) -> None:
    (tmp_path / "guests").mkdir()
    (tmp_path / "guests" / "own.wasm").write_bytes(read("shredder"))
    text = '[[input]]\nkind = "guest_replaced"\nat_ns = 1\npayload = 0\nguest = '
    assert script(f'{text}"guests/own.wasm"')[0].code == read("shredder")
    assert script(f'{text}"{tmp_path}/guests/own.wasm"')[0].code == read("shredder")
    assert script(f'{text}"runner"', EngineName.NATIVE)[0].code == read_flat("runner")


GUEST = '[[input]]\nkind = "guest_replaced"\nat_ns = 1\npayload = 0\n'
AFTER = f"{TAMPER}after = "


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"\xff", "it is not UTF-8 text at byte 0"),
        ("[[input]", "is not TOML"),
        (f"{TAMPER}at_ns = {'9' * 5000}", "is not TOML"),
        ("a = 1", ": unknown key 'a'; a script has nothing but [[input]] tables"),
        ('[input]\nkind = "tamper"', ": input is not a list of tables; begin each with [[input]]"),
        ("input = [1]", ": input is not a list of tables"),
        (f"{TAMPER}at_ns = 1\n[[input]]\nat_ns = 1", ", input 2: there is no kind; it must be one of external_inter"),
        ('[[input]]\nkind = "nmi"', ", input 1: kind is 'nmi'; it must be one of external_interrupt, tamper, sens"),
        ("[[input]]\nkind = 3", ", input 1: kind is 3; it must be one of"),
        (f"{TAMPER}at_ns = 1\nvalue = 3", ", input 1 (tamper): unknown key 'value'; there are kind, at, at_ns, after"),
        (f"{TAMPER}at_ns = 1\ncode = 3", ", input 1 (tamper): unknown key 'code'"),
        (TAMPER, ", input 1 (tamper): it must have either at (or at_ns), or after"),
        (f"{TAMPER}delay_ns = 1", "it must have either at"),
        (f"{TAMPER}at_ns = 1\ndelay_ns = 1", "it must have either at"),
        (f'{AFTER}{{ event = "halted" }}\nat_ns = 1', "it must have either at"),
        (f'{TAMPER}at_ns = 1\nat = "1 ns"', "at and at_ns exclude each other"),
        (f"{TAMPER}at_ns = -1", f"at_ns is -1; it must be a whole number from 0 to {LATEST_NS - 1}"),
        (f"{TAMPER}at_ns = {LATEST_NS}", "it must be a whole number from 0 to"),
        (f"{TAMPER}at_ns = true", "at_ns is True; it must be a whole number"),
        (f"{TAMPER}at_ns = 1.0", "at_ns is 1.0; it must be a whole number"),
        (f"{TAMPER}at_ns = 0x{'f' * 5000}", "at_ns is a number of more than 64 bits; it must be"),
        (f"{TAMPER}at = 1", "at is 1; it must be a text with a number and a unit, as \"1.5 ms\""),
        (f'{TAMPER}at = "1 m"', "at: '1 m' is not a time such as"),
        (f'{TAMPER}at = "-1 ms"', "at: '-1 ms' is not a time such as"),
        (f'{TAMPER}at = "1.5 ns"', "at: '1.5 ns' is not a whole number of nanoseconds"),
        (f'{TAMPER}at = "9999999999 s"', "it must be below 4611686018427387904 ns"),
        (f"{TAMPER}at_ns = 1\ntimes = 2", "every (or every_ns) and times belong together"),
        (f"{TAMPER}at_ns = 1\nevery_ns = 2", "every (or every_ns) and times belong together"),
        (f"{TAMPER}at_ns = 1\nevery_ns = 0\ntimes = 2", "every is 0; repetitions are at least 1 ns apart"),
        (f"{TAMPER}at_ns = 1\nevery_ns = 1\ntimes = 0", "times is 0; it must be a whole number from 1"),
        (f"{TAMPER}at_ns = 1\nevery_ns = 1\ntimes = {MAX_INPUTS + 1}", "at most 100000 inputs, repetitions included"),
        (f"{TAMPER}at_ns = 1\nevery_ns = {LATEST_NS // 2}\ntimes = 4", "every and times: the last is too late"),
        (f"{AFTER}1", "after must be a table with an event"),
        (f"{AFTER}{{ count = 1 }}", "after must be a table with an event"),
        (f'{AFTER}{{ event = "phase" }}', "after: 'phase' is not a kind of event; there are mode_switched"),
        (f"{AFTER}{{ event = [] }}", "after: a list is not a kind of event"),
        (f'{AFTER}{{ event = "halted", ring = 3 }}', "after: halted has no field 'ring'; it has seq, at_ns, interr"),
        (f'{AFTER}{{ event = "cycle_began", cycle = "1" }}', "after: cycle is '1'; in cycle_began it is a whole"),
        (f'{AFTER}{{ event = "cycle_began", cycle = 1.0 }}', "after: cycle is 1.0; in cycle_began it is a whole"),
        (f'{AFTER}{{ event = "phase_completed", phase = "x" }}', "phase is 'x'; it must be one of PROT_ENTRY, MEM_MAP"),
        (f'{AFTER}{{ event = "halted", count = 0 }}', "after: count is 0; it must be a whole number from 1"),
        ('[[input]]\nkind = "sensor_value"\nat_ns = 1\nvalue = 1', "(sensor_value): there is no sensor; it must be a"),
        ('[[input]]\nkind = "sensor_value"\nat_ns = 1\nvalue = 1\nsensor = 2', "no sensor 2; there are 0 to 1"),
        ('[[input]]\nkind = "uplink_ready"\nat_ns = 1\nready = 1', "ready is 1; it must be true or false"),
        ('[[input]]\nkind = "memory_fault"\nat_ns = 1\naddress = -1\nbits = 1', "there is no RAM at -0x1"),
        ('[[input]]\nkind = "memory_fault"\nat_ns = 1\naddress = 1\nbits = true', "bits is True; it must be a whole"),
        ('[[input]]\nkind = "memory_write"\nat_ns = 1\naddress = 1\ndata = 5', "data is 5; it must be text"),
        ('[[input]]\nkind = "memory_write"\nat_ns = 1\naddress = 1\ndata = "5"', "data is '5'; it must be bytes"),
        ('[[input]]\nkind = "memory_write"\nat_ns = 1\naddress = 0x1000000\ndata = "5a"', "there is no RAM for 1"),
        ('[[input]]\nkind = "register_write"\nat_ns = 1\nregister = "cr3"\nvalue = 1', "register 'cr3' cannot be"),
        (f"{GUEST}guest = 1", "guest is 1; it must be a built-in name or the path of a file"),
        (f'{GUEST}guest = "nobody"', "guest is 'nobody': neither a file beside the script nor built in; there are"),
        (f'{GUEST}guest = "\\u0000"', "guest is '\\x00': neither a file"),
        (f'{GUEST}guest = "{"x" * 5000}"', "neither a file"),
        (f'{GUEST}guest = "."', "Is a directory"),
        (f'{GUEST}guest = "inputs.toml"', "inputs.toml is text, not a WebAssembly module"),
    ],
)  # fmt: skip
def test_a_mistake_is_reported_in_one_line_with_file_input_and_field(
    script: Any, text: str | bytes, message: str
) -> None:
    with pytest.raises(ConfigurationError) as error:
        script(text)
    assert message in str(error.value)
    assert "inputs.toml" in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1200


@pytest.mark.parametrize("text", ["a" + ".a" * 3000 + " = 1", "a = " + "[" * 5000])
def test_deep_nesting_is_refused(script: Any, text: str) -> None:
    with pytest.raises(ConfigurationError):
        script(text)
    with pytest.raises(ConfigurationError):
        script(f"{TAMPER}{text.replace('a', 'after')}")


@settings(max_examples=300)
@given(st.text() | st.binary())
def test_no_text_is_met_with_anything_but_its_error(text: str | bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "x.toml")
        path.write_bytes(text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text)
        try:
            found, told = read_inputs(path), str(path)
        except ConfigurationError as error:
            found, told = (), str(error)
        assert found == ()
        assert str(path) in told


def test_a_missing_file_and_a_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*none.toml: No such file"):
        read_inputs(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match=r"cannot read .*: Is a directory"):
        read_inputs(tmp_path)


# Schedules of all kinds


def written(inputs: Iterable[AnyInput], draw: Any, directory: Path) -> str:
    """A script of these inputs."""
    lines: list[str] = []
    for number, one in enumerate(inputs):
        lines += ["[[input]]", f'kind = "{kind_of(one)}"']
        name = "at"
        if one.after is not None:
            name = "delay"
            pairs: dict[str, Any] = {"event": one.after.event, "count": one.after.count} | one.after.fields
            lines.append(f"after = {{ {', '.join(f'{key} = {toml(value)}' for key, value in pairs.items())} }}")
        lines.append(draw(st.sampled_from([f"{name}_ns = {one.at_ns}", f'{name} = "{in_ms(one.at_ns)} ms"'])))
        for field in structs.fields(one):
            value = getattr(one, field.name)
            if isinstance(value, bytes):
                (directory / f"{number}.wasm").write_bytes(value)
                lines.append(f'guest = "{number}.wasm"')
            elif field.name not in ("at_ns", "after"):
                lines.append(f"{field.name} = {toml(value)}")
    return "\n".join(lines)


def toml(value: Value) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def in_ms(time_ns: int) -> str:
    return f"{time_ns // 10**6}.{time_ns % 10**6:06}"


WORDS = {"phase": st.sampled_from([phase.name for phase in Phase])}
TEXT = st.text(st.characters(codec="utf-8"))
VALUES: dict[Any, st.SearchStrategy[Value]] = {
    int: st.integers(-(1 << 63), (1 << 64) - 1),
    str: TEXT,
    bool: st.booleans(),
}


@st.composite
def conditions(draw: st.DrawFn) -> AfterEvent:
    """Any event there is."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    known = fields_of(KINDS[kind])
    chosen = draw(st.sets(st.sampled_from(sorted(known)), max_size=3))
    fields: dict[str, Value] = {}
    for name in sorted(chosen):
        types = [part for part in get_args(known[name]) if part is not NoneType]
        kind_of_value = types[0] if len(types) == 1 else known[name]  # int | None is int
        values: Any = WORDS.get(name, VALUES.get(kind_of_value))
        fields[name] = draw(st.from_type(kind_of_value) if values is None else values)
    return AfterEvent(kind, fields, draw(st.integers(1, 1 << 40)))


WHEN: dict[str, st.SearchStrategy[Any]] = {"at_ns": st.integers(0, LATEST_NS - 1), "after": st.none() | conditions()}
ANY_INPUT: st.SearchStrategy[AnyInput] = st.one_of(
    st.builds(ExternalInterrupt, **WHEN),
    st.builds(Tamper, **WHEN),
    st.builds(SensorValue, sensor=st.integers(0, 1), value=st.integers(0, (1 << 32) - 1), **WHEN),
    st.builds(UplinkReady, ready=st.booleans(), **WHEN),
    st.builds(MemoryFault, address=st.integers(0, (16 << 20) - 1), bits=st.integers(1, 255), **WHEN),
    st.builds(
        GuestReplaced, payload=st.integers(0, 7), code=st.binary(max_size=9).map(lambda tail: b"\0asm" + tail), **WHEN
    ),
)


@settings(max_examples=200)
@given(st.lists(ANY_INPUT, max_size=4), st.data())
def test_what_is_written_as_a_script_is_read_back(inputs: list[AnyInput], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "inputs.toml")
        path.write_text(written(inputs, data.draw, path.parent), "utf-8", newline="\n")
        found = read_inputs(path)
        assert found == tuple(inputs)
        enclave = Enclave(inputs=found)
        assert enclave.recording is not None
        enclave.recording.save(path.with_suffix(".jsonl"))
        assert read_header(path.with_suffix(".jsonl")) == enclave.header
