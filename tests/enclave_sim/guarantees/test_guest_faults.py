"""Any forbidden instruction of a flat guest raises the processor's exception, and the enclave leaves no residue. No
instruction of ring 3 but INT 80h reaches the kernel: none with implicit accesses such as pushes, pops or table
look-ups, none that reveals the kernel's addresses, and none that CPUID does not offer.
"""

from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

import pytest

from enclave_sim.files.writing import write_file
from enclave_sim.guarantees import Run, isolated, observe, zero_trace
from enclave_sim.memory_map import region
from machine.architecture.exceptions import GP, PF, SS, UD
from machine.events import InterruptRaised
from payloads import build

NAMES = {PF: "#PF page fault", GP: "#GP general protection", SS: "#SS stack fault", UD: "#UD invalid opcode"}
WRITE, PRESENT, USER = 2, 1, 4
KERNEL_STACK, DATA, IRQ_STACK = (region(name) for name in ("kernel_stack", "data", "irq_stack"))
APIC, ENCLAVE_BLOCK, NOT_CANONICAL = 0xFEE0_0000, 0xFEF0_0000, 0x8000_0000_0000

FORMS = {"m16:32": (4, ""), "m16:64": (8, ".byte 0x48; ")}


def far_call(stack: int, form: str = "m16:32") -> str:
    """A far call to the guest's own code segment, through a pointer in the heap, with RSP at `stack`."""
    width, prefix = FORMS[form]
    return f"movabsq ${stack:#x}, %rsp; movl $1f, HEAP; movw %cs, HEAP + {width}; {prefix}lcall *HEAP; 1: emit $99"


@pytest.fixture
def watched(pytestconfig: pytest.Config, tmp_path: Path) -> "Watched":
    """Caches assembled guests for the next run, if pytest has a cache."""
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)
    return Watched(tmp_path, tmp_path if cache is None else cache.mkdir("guests"))


class Watched:
    """Assembles a flat guest and watches its life."""

    def __init__(self, directory: Path, built: Path) -> None:
        self._directory, self._built = directory, built
        for name in ("flat.h", "flat.ld"):
            (directory / name).write_text((build.SOURCES / name).read_text())

    def __call__(self, body: str) -> Run:
        """The guest emits 1 and executes `body`."""
        source = self._directory / "guest.S"
        source.write_text(f'#include "flat.h"\n emit $1\n {body}\n aether RETURNED\n')
        run = observe(self._assembled(source), engine="native")
        isolated([run]).check()
        zero_trace([run]).check()
        assert run.result.clean
        return run

    def _assembled(self, source: Path) -> bytes:
        names = ("flat.h", "flat.ld", source.name)
        files = [Path(build.__file__).read_bytes(), *((self._directory / name).read_bytes() for name in names)]
        built = self._built / f"{sha256(repr([version('ziglang'), *files]).encode()).hexdigest()}.bin"
        if not built.exists():
            write_file(built, build.assemble(source))
        return built.read_bytes()


def fault_of(run: Run) -> tuple[int, int | None, int | None]:
    """Vector, error code and CR2 of the exception that ended the guest."""
    (raised,) = [e for e in run.events if isinstance(e, InterruptRaised) and e.ring == 3 and e.source != "software"]
    assert (run.result.outcome, run.result.detail) == ("GUEST_FAULT", NAMES[raised.vector])
    assert run.result.signals == (1,)
    return raised.vector, raised.error_code, raised.address


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("stack", "present"),
    [
        (KERNEL_STACK.end - 0x10, True),
        (KERNEL_STACK.base + 0x1000, True),
        (DATA.base + 0x100, True),
        (IRQ_STACK.end, True),
        (region("text").base + 0x100, True),
        (region("call_stack").end, True),
        (ENCLAVE_BLOCK + 0x28, True),
        (APIC + 0x88, True),
        (0x1000, False),
    ],
)
def test_a_far_call_pushes_with_the_rights_of_ring_3(watched: Watched, stack: int, present: bool, form: str) -> None:
    vector, code, address = fault_of(watched(far_call(stack, form)))
    assert (vector, code) == (PF, USER | WRITE | (PRESENT if present else 0))
    assert address is not None
    assert stack - 2 * FORMS[form][0] <= address < stack


def test_a_far_call_on_the_guests_own_stack_is_none_of_the_kernels_business(watched: Watched) -> None:
    stack = region("guest_stack")
    assert watched(far_call(stack.end)).result.signals == (1, 99)


@pytest.mark.parametrize(
    ("body", "vector", "code"),
    [
        ("clflush 0x1000", PF, USER),
        (f"clflush {KERNEL_STACK.base:#x}", PF, USER | PRESENT),
        (f"prefetcht0 {KERNEL_STACK.base:#x}; ud2", UD, None),  # a hint: it never faults
        (far_call(NOT_CANONICAL + 0x1000), SS, 0),
        (far_call(NOT_CANONICAL + 0x1000, "m16:64"), SS, 0),
        (f"movabsq ${NOT_CANONICAL:#x}, %rsp; iretq", SS, 0),
        (f"movabsq ${NOT_CANONICAL:#x}, %rsp; lretq", SS, 0),
        (f"movabsq ${NOT_CANONICAL:#x}, %rbp; leave", SS, 0),
        ("movl $7, %eax; movl %eax, %ds", GP, 4),
        ("movl $0xFFFC, %eax; movl %eax, %fs", GP, 0xFFFC),
        ("movl $7, %eax; movl %eax, %ss", GP, 4),
        ("pushq $7; pushq $0; lretq", GP, 4),
    ],
)
def test_an_access_that_is_not_an_operands_faults_too(
    watched: Watched, body: str, vector: int, code: int | None
) -> None:
    assert fault_of(watched(body))[:2] == (vector, code)


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
"""Encodings by the name of the instruction that they would be."""


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

    All bytes are equal. Equal each, negated, finds the first byte valid in only one string, the other having 16.
    """
    compare = f"movl ${value:#x}, {long}; movl $16, {other}; pcmpestri $0x18, %xmm1, %xmm0; emit %ecx"
    run = watched(compare)
    assert (run.result.outcome, run.result.signals) == ("COMPLETED", (1, length))
