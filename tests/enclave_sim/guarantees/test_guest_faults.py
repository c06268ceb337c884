"""Whatever a flat guest executes that it may not, it meets the processor's exception, and the enclave leaves nothing.

Ring 3 has no instruction that tells where the kernel is, and none that CPUID does not offer.
"""

from pathlib import Path

import pytest

from enclave_sim.guarantees import Run, isolated, observe, zero_trace
from machine.events import InterruptRaised
from machine.exceptions import GP, UD
from payloads import build

NAMES = {GP: "#GP general protection", UD: "#UD invalid opcode"}


@pytest.fixture
def watched(tmp_path: Path) -> "Watched":
    return Watched(tmp_path)


class Watched:
    """Assembles a flat guest and watches its life."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for name in ("flat.h", "flat.ld"):
            (directory / name).write_text((build.SOURCES / name).read_text())

    def __call__(self, body: str) -> Run:
        """The guest emits 1 and executes `body`."""
        source = self._directory / "guest.S"
        source.write_text(f'#include "flat.h"\n emit $1\n {body}\n aether RETURNED\n')
        run = observe(build.assemble(source), engine="native")
        isolated([run]).check()
        zero_trace([run]).check()
        assert run.result.clean
        return run


def fault_of(run: Run) -> tuple[int, int | None, int | None]:
    """Vector, error code and CR2 of the exception that ended the guest."""
    (raised,) = [e for e in run.events if isinstance(e, InterruptRaised) and e.ring == 3 and e.source != "software"]
    assert (run.result.outcome, run.result.detail) == ("GUEST_FAULT", NAMES[raised.vector])
    assert run.result.signals == (1,)
    return raised.vector, raised.error_code, raised.address


@pytest.mark.parametrize(
    "body", ["sgdt HEAP", "sidt HEAP", "sldt HEAP", "sldt %eax", "str HEAP", "str %eax", "smsw HEAP", "smsw %eax"]
)
def test_where_the_kernel_is_is_not_ring_3s_to_know(watched: Watched, body: str) -> None:
    assert fault_of(watched(body))[:2] == (GP, 0)


NOT_OFFERED = {
    "XBEGIN": "c7 f8 00 00 00 00",
    "XABORT": "c6 f8 01",
    "XEND": "0f 01 d5",
    "XTEST": "0f 01 d6",
    "UMONITOR": "f3 0f ae f0",
    "UMWAIT": "f2 0f ae f1",
    "TPAUSE": "66 0f ae f1",
    "INCSSPD": "f3 0f ae e8",
    "XSAVE": "0f ae 24 25 00 00 c0 00",
    "XGETBV": "0f 01 d0",
    "VPXOR": "c5 f9 ef c0",
    "VPROTB": "8f e8 78 c0 c0 01",
    "EVEX VPXORD": "62 f1 7d 48 ef c0",
    "RDRAND": "0f c7 f0",
    "VMCALL": "0f 01 c1",
}
"""Encodings by the name of what they would be."""


@pytest.mark.parametrize("name", NOT_OFFERED)
def test_what_cpuid_does_not_offer_is_undefined(watched: Watched, name: str) -> None:
    body = ".byte " + ", ".join(f"0x{byte}" for byte in NOT_OFFERED[name].split())
    assert fault_of(watched(body))[0] == UD


@pytest.mark.parametrize(("long", "other"), [("%eax", "%edx"), ("%edx", "%eax")])
@pytest.mark.parametrize(
    ("value", "length"), [(0x8000_0000, 16), (0x7FFF_FFFF, 16), (0x8000_0001, 16), (0xFFFF_FFFF, 1), (0xFFFF_FFF0, 16)]
)
def test_the_length_of_a_string_saturates(watched: Watched, long: str, other: str, value: int, length: int) -> None:
    """PCMPESTRI takes the magnitude of a length, 16 at most (SDM volume 2, 4.1.3).

    All bytes are equal. Equal each, negated, finds the first that one string has and the other, of 16 bytes, has not.
    """
    compare = f"movl ${value:#x}, {long}; movl $16, {other}; pcmpestri $0x18, %xmm1, %xmm0; emit %ecx"
    run = watched(compare)
    assert (run.result.outcome, run.result.signals) == ("COMPLETED", (1, length))
