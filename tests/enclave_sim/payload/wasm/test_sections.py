"""The section walk: it reads every framed module, keeps every byte, and names the first byte that is wrong."""

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st

import payloads
from enclave_sim.payload.errors import ComponentGiven, MalformedModule
from enclave_sim.payload.wasm.sections import (
    COMPONENT_HEADER,
    MODULE_HEADER,
    SECTION_NAMES,
    SectionId,
    assemble,
    custom_section,
    custom_sections,
    debug_bytes,
    decode_u32,
    encode_u32,
    sections,
)

MODULE = bytes(wasmtime.wat2wasm('(module (memory 1) (func $f (export "_start")))'))


@given(st.integers(0, 2**32 - 1))
def test_every_u32_survives_encoding_in_at_most_five_bytes(value: int) -> None:
    encoded = encode_u32(value)
    assert len(encoded) <= 5
    assert decode_u32(encoded, 0) == (value, len(encoded))


@pytest.mark.parametrize(
    ("value", "encoded"), [(0, "00"), (127, "7f"), (128, "8001"), (624485, "e58e26"), (2**32 - 1, "ffffffff0f")]
)
def test_u32_encodings_are_those_of_the_specification(value: int, encoded: str) -> None:
    assert encode_u32(value).hex() == encoded


@pytest.mark.parametrize("value", [-1, 2**32])
def test_a_number_outside_u32_has_no_encoding(value: int) -> None:
    with pytest.raises(ValueError, match="unsigned 32-bit"):
        encode_u32(value)


def test_a_padded_encoding_is_read_because_linkers_write_it() -> None:
    assert decode_u32(bytes.fromhex("8380808000"), 0) == (3, 5)


@pytest.mark.parametrize(
    ("encoded", "reason"),
    [("", "cut off"), ("80", "cut off"), ("ffffffff10", "32 bits"), ("808080808000", "longer than 5")],
)
def test_a_bad_u32_names_its_offset(encoded: str, reason: str) -> None:
    with pytest.raises(MalformedModule, match=reason) as caught:
        decode_u32(b"\xff" + bytes.fromhex(encoded), 1, section_start=1)
    assert (caught.value.offset, caught.value.section_start) == (1, 1)


def test_an_error_outside_sections_names_the_start_of_what_was_given() -> None:
    with pytest.raises(MalformedModule) as caught:
        decode_u32(b"", 0)
    assert (caught.value.offset, caught.value.section_start) == (0, 0)


def test_sections_have_the_ids_of_the_specification() -> None:
    in_order = "custom type import function table memory global export start element code data"
    assert dict(enumerate([*in_order.split(), "data count", "tag"])) == SECTION_NAMES


def test_debug_information_is_what_its_sections_take_in_the_file() -> None:
    debug = [custom_section(".debug_info", bytes(300)), custom_section(".debug_str", b"")]
    others = [custom_section(name, bytes(50)) for name in ("debug_info", "name", ".debug", "x.debug_info")]
    assert debug_bytes(MODULE + b"".join(others)) == 0
    assert debug_bytes(MODULE + b"".join([*debug, *others])) == sum(map(len, debug))


@pytest.mark.parametrize("name", payloads.names())
def test_a_module_is_the_sum_of_its_sections(name: str) -> None:
    module = payloads.read(name)
    found = list(sections(module))
    assert assemble(found) == module
    assert [section.offset for section in found] == [8, *(section.end for section in found[:-1])]


def test_standard_sections_have_no_name_and_custom_ones_do() -> None:
    module = MODULE + custom_section("note", b"text")
    last = list(sections(module))[-1]
    assert (last.id, last.name, last.payload) == (SectionId.CUSTOM, "note", b"text")
    assert [section.name for section in sections(module) if section.id != SectionId.CUSTOM] == [None] * 5


def test_custom_sections_are_found_by_name_in_file_order() -> None:
    module = assemble([custom_section("a", b"1"), custom_section("b", b""), custom_section("a", b"2")])
    assert [section.payload for section in custom_sections(module, "a")] == [b"1", b"2"]
    assert custom_sections(module, "c") == []


def test_an_added_custom_section_leaves_the_module_valid() -> None:
    wasmtime.Module.validate(wasmtime.Engine(), MODULE + custom_section("Grüße", bytes(300)))


@given(st.text(max_size=200), st.binary(max_size=300))
def test_custom_sections_survive_framing(name: str, payload: bytes) -> None:
    (section,) = sections(assemble([custom_section(name, payload)]))
    assert (section.name, section.payload) == (name, payload)


@pytest.mark.parametrize(
    ("module", "offset", "section_start", "reason"),
    [
        (b"", 0, 0, "a module starts with 0061736d01000000, this file with nothing"),
        (b"\0asm\2\0\0\0\0", 0, 0, "a module starts with 0061736d01000000, this file with 0061736d02000000"),
        (MODULE_HEADER[:7], 0, 0, "a module starts with 0061736d01000000, this file with 0061736d010000"),
        (MODULE_HEADER + b"\1", 9, 8, "a LEB128 integer is cut off by the end of the file"),
        (MODULE_HEADER + b"\1\5ab", 8, 8, "the section claims 5 bytes, the file ends 3 bytes earlier"),
        (MODULE_HEADER + b"\1\1", 8, 8, "the section claims 1 bytes, the file ends 1 bytes earlier"),
        (MODULE_HEADER + b"\1\x80\x80\x80\x80\x80", 9, 8, "a LEB128 integer is longer than 5 bytes"),
        (MODULE_HEADER + b"\0\0", 10, 8, "a LEB128 integer is cut off by the end of the file"),
        (MODULE_HEADER + b"\0\1\x80", 10, 8, "a LEB128 integer is cut off by the end of the file"),
        (MODULE_HEADER + b"\0\2\2a", 10, 8, "the name of a custom section runs past the section's end"),
        (MODULE_HEADER + b"\0\3\2a\xff", 12, 8, "the name of a custom section is not UTF-8"),
        (MODULE_HEADER + b"\1\0\0\2\2ab", 12, 10, "the name of a custom section runs past the section's end"),
        (MODULE_HEADER + b"\1\0\0\1\x80", 12, 10, "a LEB128 integer is cut off by the end of the file"),
        (MODULE_HEADER + b"\1\0\1\x80", 11, 10, "a LEB128 integer is cut off by the end of the file"),
    ],
)
def test_bad_framing_is_refused_where_it_lies(module: bytes, offset: int, section_start: int, reason: str) -> None:
    with pytest.raises(MalformedModule) as caught:
        list(sections(module))
    assert (caught.value.offset, caught.value.section_start) == (offset, section_start)
    assert str(caught.value) == f"not a well-formed WebAssembly module: at byte {offset}: {reason}"


@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_walked_whole_or_refused(tail: bytes) -> None:
    try:
        found = list(sections(MODULE_HEADER + tail))
    except MalformedModule:
        return
    assert assemble(found) == MODULE_HEADER + tail


@pytest.mark.parametrize("cut", range(8, len(MODULE)))
def test_a_truncated_module_is_refused_unless_cut_between_sections(cut: int) -> None:
    boundaries = {8, *(section.end for section in sections(MODULE))}
    if cut in boundaries:
        assert assemble(sections(MODULE[:cut])) == MODULE[:cut]
    else:
        with pytest.raises(MalformedModule):
            list(sections(MODULE[:cut]))


def test_a_component_is_named() -> None:
    with pytest.raises(ComponentGiven, match=r"^it is a WebAssembly component; a payload is a module, so build it for"):
        list(sections(COMPONENT_HEADER))
