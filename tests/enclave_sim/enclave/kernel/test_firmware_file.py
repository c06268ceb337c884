"""A kernel of your own: what is accepted as one, and that everything that runs or judges an enclave takes it."""

import io
import json
from functools import cache
from pathlib import Path

import msgspec
import pytest
from elftools.elf.elffile import ELFFile
from hypothesis import given
from hypothesis import strategies as st

import firmware
from enclave_sim import Enclave, Template
from enclave_sim.cancellation import Cancellation
from enclave_sim.cli.exit_codes import ExitCode
from enclave_sim.enclave.kernel.firmware_file import REQUIRED_SYMBOLS, firmware_of, read_firmware
from enclave_sim.enclave.options import EnclaveOptions
from enclave_sim.errors import ConfigurationError
from enclave_sim.events import KernelStopped
from enclave_sim.guarantees import observe, zero_trace
from enclave_sim.inspector.session.sources import source_of
from enclave_sim.recording.format import RecordingError
from enclave_sim.time_travel import Session
from enclave_sim.time_travel.notebook import Walk
from enclave_sim.time_travel.replay import replay
from enclave_sim.time_travel.snapshot_file import load, save
from firmware import NOTE_SECTION, Firmware
from tests.enclave_sim.cli.command import assert_refused, command

HALT, RETURN = b"\xf4", b"\xc3"
IMAGE = firmware.built_in().image


@cache
def section(name: str) -> tuple[int, int]:
    """Return where a section is in the file: offset and size."""
    found = ELFFile(io.BytesIO(IMAGE)).get_section_by_name(name)
    return int(found["sh_offset"]), int(found["sh_size"])


def patched(function: str, code: bytes) -> Firmware:
    """Return a kernel with other code at the start of a function."""
    image = bytearray(IMAGE)
    for segment in ELFFile(io.BytesIO(IMAGE)).iter_segments():
        at = firmware.built_in().symbols[function] - segment["p_paddr"]
        if 0 <= at < segment["p_filesz"]:
            image[segment["p_offset"] + at : segment["p_offset"] + at + len(code)] = code
    assert image != IMAGE
    return firmware_of(bytes(image))


def described(change: str, to: str) -> bytes:
    """Return the image with another text, of the same length, in its note."""
    offset, size = section(NOTE_SECTION)
    note = IMAGE[offset : offset + size]
    assert len(change) == len(to)
    assert note.count(change.encode()) == 1
    return IMAGE[:offset] + note.replace(change.encode(), to.encode()) + IMAGE[offset + size :]


def test_the_built_in_image_describes_itself(tmp_path: Path) -> None:
    path = tmp_path / "mine.elf"
    path.write_bytes(IMAGE)
    found, known = read_firmware(path), firmware.built_in()
    assert found == known
    assert found.path == path
    assert msgspec.structs.replace(found.description, symbols=known.symbols) == known.description
    assert known.symbols.items() <= found.symbols.items()
    assert set(REQUIRED_SYMBOLS) <= known.symbols.keys()


def without_note() -> bytes:
    return IMAGE.replace(NOTE_SECTION.encode(), b".note.nobody", 1)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (b"", "not an ELF file"),
        (b"\x7fELF\2\1\1", "cut short"),
        (IMAGE[: len(IMAGE) // 2], "cut short"),
        (without_note(), f"it has no note {NOTE_SECTION}"),
        (described('"version":', '"version" '), "is damaged"),
        (described('"layout":', '"layoux":'), "is damaged"),
        (described("Aether", "Aethex"), "not one of an enclave's kernel"),
        (
            described('"RAM_SIZE":16777216', '"RAM_SIZE":16777217'),
            "RAM_SIZE at 0x1000001; this program needs 0x1000000",
        ),
        (described('"RAM_SIZE"', '"RAM_SIZ_"'), "its layout lacks RAM_SIZE"),
        (described('"STATUS_ACTIVE"', '"ZTATUS_ACTIVE"'), "its layout lacks STATUS_ACTIVE"),
        (described('"version":"0.2.0"', '"version":"0.\\n0"'), "its version is not a line"),
    ],
)
def test_what_is_no_kernel_of_this_program_is_refused_in_one_line(tmp_path: Path, image: bytes, said: str) -> None:
    path = tmp_path / "mine.elf"
    path.write_bytes(image)
    with pytest.raises(ConfigurationError) as error:
        read_firmware(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert command("run", "beacon", "--firmware", path).code == ExitCode.USAGE


def test_an_image_without_its_symbols_is_refused() -> None:
    stripped = IMAGE.replace(b"\0wake_reason\0", b"\0wake_reasom\0")
    with pytest.raises(ValueError, match="no symbol 'wake_reason'"):
        firmware_of(stripped)


@given(st.lists(st.tuples(st.integers(0, len(IMAGE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_any_damaged_image_is_a_kernel_or_one_error(changes: list[tuple[int, int]]) -> None:
    image = bytearray(IMAGE)
    for at, value in changes:
        image[at] = value
    try:
        assert firmware_of(bytes(image)).image == image
    except ValueError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - most images raise none


def test_a_kernel_that_stops_is_an_outcome_and_has_erased_nothing() -> None:
    run = observe("beacon", firmware=patched("annihilate", HALT))
    (stopped,) = [event for event in run.events if isinstance(event, KernelStopped)]
    assert (run.result.outcome, stopped.reason) == ("KERNEL_STOPPED", "halted for good")
    found = zero_trace([run]).findings
    assert [one.what for one in found][-1] == "the kernel stopped before annihilation, so nothing was erased"


def test_a_kernel_that_faults_at_once_is_an_outcome() -> None:
    result = Enclave("beacon", firmware=patched("_start", b"\x0f\x0b")).run()
    assert (result.outcome, result.phases) == ("KERNEL_STOPPED", ())


def test_residue_of_a_kernel_that_does_not_erase_is_found() -> None:
    run = observe("beacon", firmware=patched("cap_tpm", RETURN))
    assert zero_trace([run]).holds
    genuine = observe("beacon")
    assert run.result.firmware_sha256 != genuine.result.firmware_sha256
    assert run.result.digest != genuine.result.digest


def test_its_recording_is_replayed_with_it_alone(tmp_path: Path) -> None:
    mine, path = patched("cap_tpm", RETURN), tmp_path / "run.jsonl"
    image = tmp_path / "mine.elf"
    image.write_bytes(mine.image)
    assert command("run", "beacon", "--firmware", image, "--record", path, "-q").code == 0
    assert json.loads(path.read_text().splitlines()[0])["firmware_sha256"] == mine.sha256
    assert replay(path, kernel=mine).equal
    with pytest.raises(RecordingError, match=f"made with firmware {mine.sha256}; this program has .*--firmware"):
        replay(path)
    with pytest.raises(RecordingError, match="the one given is"):
        replay(path, kernel=patched("cap_tpm", HALT))
    assert command("replay", path, "--firmware", image).code == 0
    assert command("replay", path).code == ExitCode.USAGE
    source = source_of((str(path),), EnclaveOptions.of(firmware=mine))
    assert source.open(Cancellation()).run.subject.program.symbols == mine.symbols
    with pytest.raises(RecordingError, match="--firmware"):
        source_of((str(path),)).open(Cancellation())


def test_questions_about_its_run_are_asked_of_it_alone(tmp_path: Path) -> None:
    mine, path, walked = patched("cap_tpm", RETURN), tmp_path / "run.jsonl", tmp_path / "walk.md"
    image = tmp_path / "mine.elf"
    image.write_bytes(mine.image)
    assert command("run", "beacon", "--firmware", image, "--record", path, "-q").code == 0
    walk = Walk(Session("beacon", firmware=mine))
    walk.ask("run_to event=dormant")
    walked.write_text(walk.notebook.markdown(), encoding="utf-8")
    for asked in (("interrupts", path), ("notebook", walked)):
        assert_refused(command(*asked), "--firmware takes another one")
        assert command(*asked, "--firmware", image).code == 0
    symbol = ("provenance", "--of", "cap_tpm", "--json")
    code = [json.loads(command(*symbol, *given).output)["value"]["content"] for given in ((), ("--firmware", image))]
    assert code[0] != code[1] == RETURN.hex()


def test_its_snapshot_file_has_it(tmp_path: Path) -> None:
    enclave = Enclave("counter", firmware=patched("cap_tpm", RETURN))
    enclave.advance(400_000)
    save(enclave, tmp_path / "early.snap")
    assert load(tmp_path / "early.snap").run().digest == enclave.run().digest


def test_templates_sessions_and_reference_values_take_it() -> None:
    mine = patched("cap_tpm", RETURN)
    assert Template("beacon", firmware=mine).start().run().firmware_sha256 == mine.sha256
    session = Session("beacon", firmware=mine)
    session.run_to(symbol="cap_tpm")
    assert session.enclave.machine.ram.read(mine.symbols["cap_tpm"], 1) == RETURN
    values = [Enclave("beacon", firmware=one).reference_values().firmware for one in (None, mine)]
    assert not values[0] & values[1]


def test_one_that_is_equal_is_the_same() -> None:
    again = msgspec.structs.replace(firmware.built_in(), path=Path("elsewhere"))
    assert again == firmware.built_in()
    assert hash(again) == hash(firmware.built_in())
    assert again != patched("cap_tpm", RETURN)
    assert again != "firmware"
    assert Enclave("beacon", firmware=again).run().digest == Enclave("beacon").run().digest
