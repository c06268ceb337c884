"""The solution of lab `longmode`: descriptors, control registers and limits mended by manual and comments."""

import re
from functools import cache

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.enclave.kernel.firmware_file import firmware_of
from machine.events import InterruptRaised
from tests.labs.solutions.kernels import built_in_image, built_kernel
from tests.labs.solutions.solution import Files, Solution, Workplace, Wrong, answer, toml

CONTROL = (
    (r"(CR4_SET +)\S+", r"\g<1>0x00000620"),
    (r"(EFER_SET +)\S+", r"\g<1>0x00000900"),
)
SEGMENT = (
    (r"0x\w+( +/\* switch: )", r"0x00AF9B000000FFFF\1"),
    (r"switch_gdt_end - switch_gdt - \d+", "switch_gdt_end - switch_gdt - 1"),
)
LATER = (
    (r"(CR0_SET +)\S+", r"\g<1>0x80010023"),
    (r"\$PML4_\w+", "$PML4_ACTIVE"),
    (r"0x\w+( +/\* USER_CODE)", r"0x00AFFB000000FFFF\1"),
    (r"0x\w+( +/\* USER_DATA)", r"0x00CFF3000000FFFF\1"),
    (r"gdt_end - gdt - \d+", "gdt_end - gdt - 1"),
)
EVERYTHING = (*CONTROL, *SEGMENT, *LATER)


def mended(place: Workplace, *rules: tuple[str, str]) -> bytes:
    """Build the student's kernel with some of its constants mended."""
    text = place.start["boot.S"].decode()
    for pattern, right in rules:
        text, times = re.subn(pattern, right, text)
        assert times == 1, pattern
    return built_kernel({"src/boot.S": text.encode()})


@cache
def exception(image: bytes) -> tuple[int, int]:
    """Return vector and error code of the first exception."""
    enclave = Enclave("counter", firmware=firmware_of(image), attestation="off")
    enclave.run(1_000_000)
    assert enclave.recording is not None
    first = next(one for one in enclave.recording.of_kind(InterruptRaised) if one.source == "exception")
    assert first.error_code is not None
    return first.vector, first.error_code


def solve(place: Workplace) -> Files:
    first, second = exception(mended(place)), exception(mended(place, *CONTROL))
    answers = {
        name: {"vector": vector, "error_code": code} for name, (vector, code) in (("first", first), ("second", second))
    }
    return {"aether.elf": mended(place, *EVERYTHING), "answers.toml": toml(answers)}


def selector(place: Workplace) -> int:
    (found,) = re.findall(r"with CS (0x[0-9a-f]+)\.", place.page)
    return int(found, 16)


def edited(name: str, old: str, new: str, message: str) -> Wrong:
    """Make a kernel with another mistake than those that it had."""

    def change(files: Files, place: Workplace) -> Files:
        return {**files, "aether.elf": mended(place, *EVERYTHING, (old, new))}

    return Wrong(name, change, message)


SOLUTION = Solution(
    solve,
    (
        Wrong("the built-in kernel", lambda files, _: {**files, "aether.elf": built_in_image()}, "not your boot.S"),
        Wrong(
            "only the control registers",
            lambda files, place: {**files, "aether.elf": mended(place, *CONTROL)},
            "the far jump is refused",
        ),
        edited("no PAE", r"0x00000620", "0x00000600", "does not come to long mode"),
        edited("32-bit code", r"0x\w+( +/\* switch: )", r"0x00CF9B000000FFFF\1", "landed in 32-bit code"),
        edited("no write protection", "0x80010023", "0x80000023", "Phase PROT_ENTRY does not reach"),
        edited("ring 0 code for ring 3", r"0x\w+( +/\* USER_CODE)", r"0x00AF9B000000FFFF\1", "does not come to ring 3"),
        edited("no native errors", "0x80010023", "0x80010003", "CR0.NE is clear"),
        answer("the double fault", "first.vector", lambda _: 8, "That is the double fault"),
        answer("the index", "second.error_code", lambda place: selector(place) // 8, "That is the descriptor's index"),
        answer("the kernel's segment", "second.error_code", lambda _: 8, "The switch uses another descriptor"),
    ),
)
