"""The flat payloads: built from their sources, linked for their address in the kernel, documented by their sources."""

from pathlib import Path

import pytest
from capstone import CS_ARCH_X86, CS_MODE_64, Cs

import payloads
from enclave_sim.memory_map import region
from enclave_sim.payload.errors import PayloadError
from enclave_sim.specification import HostFunction
from payloads import build

NAMES = ("forger", "quitter", "runner", "smuggler", "stray", "surveyor", "usurper", "vandal")
SOURCES = {path.stem: path for path in build.flat_sources()}


def test_these_are_the_flat_payloads() -> None:
    assert payloads.flat_names() == NAMES
    assert tuple(SOURCES) == NAMES
    assert not set(NAMES) & set(payloads.names())


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_binary_is_what_its_source_builds(name: str) -> None:
    pytest.importorskip("ziglang")
    assert payloads.read_flat(name) == build.assemble(SOURCES[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_source_says_what_to_expect(name: str) -> None:
    text = payloads.source(name)
    assert text.startswith(f"/* {name}: ")
    assert "Expected: " in text


def test_a_name_which_is_not_a_flat_payload_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(LookupError, match="no payload is called 'beacon'; there are forger, quitter"):
        payloads.read_flat("beacon")


def test_the_linker_and_the_sources_know_the_kernels_memory_map() -> None:
    header = (build.SOURCES / "flat.h").read_text().splitlines()
    numbers = {words[1]: int(words[2], 0) for words in map(str.split, header) if words[:1] == ["#define"]}
    heap = region("heap")
    assert (numbers.pop("HEAP"), numbers.pop("HEAP_SIZE")) == (heap.base, heap.size)
    assert numbers == {function.name: function.value for function in HostFunction}
    assert f".flat {region('staging').base:#x} :" in (build.SOURCES / "flat.ld").read_text()


def test_the_binary_is_entered_at_its_first_byte() -> None:
    first = next(Cs(CS_ARCH_X86, CS_MODE_64).disasm(payloads.read_flat("quitter"), region("staging").base))
    assert (first.mnemonic, first.op_str) == ("mov", "edi, 1")


def test_a_mistake_in_a_source_is_reported_in_the_tools_words(tmp_path: Path) -> None:
    pytest.importorskip("ziglang")
    (tmp_path / "flat.ld").write_text((build.SOURCES / "flat.ld").read_text())
    wrong = tmp_path / "wrong.S"
    wrong.write_text("        nonsense %rax\n")
    with pytest.raises(PayloadError, match=r"wrong\.S: .*nonsense"):
        build.assemble(wrong)
