"""Ways to do less than a page asks for, which must earn less: by what a kernel, a payload or a module does besides."""

import tomllib

import pytest

import payloads
from enclave_sim.labs.catalogue import find_lab
from enclave_sim.labs.jitter.sources import Heartbeat
from enclave_sim.labs.judging import judge
from enclave_sim.labs.lab import ANSWERS
from tests.labs.solutions import gate, jitter, payload, sandbox
from tests.labs.solutions.solution import Files, toml
from tests.labs.solving import solved, workplace

GATE, JITTER, PAYLOAD, SANDBOX = (find_lab(name) for name in ("gate", "jitter", "payload", "sandbox"))
RETURN = "iretq"
IN_RING_0 = """
    __asm__ volatile("lidt %0" :: "m"(idt_pointer));
    __asm__ volatile("int $VECTOR" ::: "rax");
"""


def points(name: str, files: Files) -> list[int]:
    return [mark.points for mark in judge(find_lab(name), "ada", files).parts]


@pytest.mark.parametrize("trap", ["9c 48 81 0c 24 00 01 00 00 9d 90", "f1"], ids=["trap flag", "INT1"])
def test_an_instruction_before_which_a_trap_stops_is_not_executed(trap: str) -> None:
    """A trap names the address of the next instruction."""
    lab = find_lab("breakout")
    answers = tomllib.loads(solved(lab, "ada")[ANSWERS].decode())
    for part in ("privilege", "gate"):
        code = bytes.fromhex(answers[part]["code"])
        token = len(bytes.fromhex("bf 00 00 00 00 b8 00 00 00 00 cd 80"))
        stopped = code[:token] + bytes.fromhex(trap) + code[token:]
        answers[part] = {"code": stopped.hex(), "vector": 1, "error_code": 0}
    judgement = judge(lab, "ada", {ANSWERS: toml(answers)})
    assert [mark.points for mark in judgement.parts] == [2, 2, 0, 0]
    assert "Exception 1 stopped it before it executed INT." in judgement.parts[3].messages[0]


@pytest.mark.slow
def test_a_handler_that_changes_other_registers_or_opens_other_gates_earns_less() -> None:
    changes = "xorl %ecx, %ecx\n movl %ebx, %ebx\n pxor %xmm9, %xmm9\n fninit\n andq $~1, 16(%rsp)\n iretq"
    opened = "".join(f"    idt[{vector}].attributes |= GATE_USER;\n" for vector in (3, 0x20, 0xF0))
    files = gate.built(workplace(GATE, "ada"), gate.HANDLER.replace(RETURN, changes), gate.GATE + opened)
    judgement = judge(GATE, "ada", files)
    assert [mark.points for mark in judgement.parts] == [3, 2, 1]
    assert "call RCX, RBX, RFLAGS, x87, XMM9 are not" in judgement.parts[1].messages[0]
    assert "(3h, 20h, F0h)" in judgement.parts[2].messages[0]


@pytest.mark.slow
def test_a_handler_that_sets_what_a_guest_usually_has_earns_less() -> None:
    """Registers deep in x87's stack, upper halves, modes of rounding, and flags: no two calls have the same."""
    usual = "fldz\n fstp %st(2)\n movq %xmm3, %xmm3\n movdqa %xmm4, %xmm5\n movq $0x603, 16(%rsp)\n"
    mode = "pushq $0x1f80\n ldmxcsr (%rsp)\n addq $8, %rsp\n"
    files = gate.built(workplace(GATE, "ada"), gate.HANDLER.replace(RETURN, f"{usual} {mode} iretq"))
    judgement = judge(GATE, "ada", files)
    assert [mark.points for mark in judgement.parts] == [3, 2, 3]
    assert "call RFLAGS, x87, MXCSR, XMM3, XMM5 are not" in judgement.parts[1].messages[0]


@pytest.mark.slow
def test_a_trap_gate_is_no_interrupt_gate() -> None:
    trap = gate.GATE + "    idt[VECTOR].attributes |= 1;\n"
    judgement = judge(GATE, "ada", gate.built(workplace(GATE, "ada"), gate=trap))
    assert judgement.points == 0
    assert "It is no interrupt gate" in judgement.parts[0].messages[0]


@pytest.mark.slow
def test_a_handler_that_changes_the_upper_half_of_the_result_earns_less() -> None:
    handler = gate.HANDLER.replace(RETURN, "btsq $40, %rax\n iretq")
    assert points("gate", gate.built(workplace(GATE, "ada"), handler)) == [3, 2, 0]


@pytest.mark.slow
def test_an_interrupt_of_the_kernel_itself_is_no_call_from_ring_3() -> None:
    closed = gate.GATE.replace(" | GATE_USER", "") + IN_RING_0
    assert points("gate", gate.built(workplace(GATE, "ada"), gate=closed)) == [0, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "late",
    [
        "options.wake_ns > 200000 ? options.wake_ns - 1000 : options.wake_ns",
        "options.wake_ns > 110000 && options.wake_ns < 2500000000 ? options.wake_ns - 1000 : options.wake_ns",
        "options.wake_ns & 0x7FFFFFFF",
    ],
    ids=["from 200 us", "neither short nor near the longest", "31 bits"],
)
def test_sleeps_that_are_right_only_for_some_lengths_are_noticed(late: str) -> None:
    shorter = jitter.replaced("exec_loop.c", "timer_arm(options.wake_ns,", f"timer_arm({late},")
    files = jitter.built(workplace(JITTER, "ada"), jitter.first, jitter.second, shorter)
    assert points("jitter", files) == [3, 0, 0, 0]


@pytest.mark.slow
def test_a_heartbeat_that_is_in_time_only_for_known_payloads_is_noticed() -> None:
    """The others are calculated where they always were: while the timer runs."""
    beat = Heartbeat.of(JITTER.case("ada"))
    known = {len(module): beat.of_payload(module) for module in map(payloads.read, ("counter", "digest"))}
    loop = "    for (u32 i = 0; i < payloads[payload].length; i++)\n"
    lines = "".join(f"    if (payloads[payload].length == {at})\n sum = {sum_};\n else\n" for at, sum_ in known.items())
    by_heart = jitter.replaced("exec_loop.c", loop, lines + loop)
    judgement = judge(JITTER, "ada", jitter.built(workplace(JITTER, "ada"), jitter.second, by_heart))
    assert [mark.points for mark in judgement.parts] == [0, 3, 0, 0]
    assert "its deadline passed while interrupts were off" in judgement.parts[0].messages[0]


@pytest.mark.slow
def test_a_kernel_that_no_external_interrupt_wakes_is_noticed() -> None:
    deaf = jitter.replaced("exec_loop.c", "    if (!sleeps)\n", "    if (!sleeps || reason != STATUS_TIMER_WAKE)\n")
    files = jitter.built(workplace(JITTER, "ada"), jitter.first, jitter.second, deaf)
    judgement = judge(JITTER, "ada", files)
    assert [mark.points for mark in judgement.parts] == [3, 3, 0, 2]
    assert "does not end it" in judgement.parts[2].messages[0]


def test_a_payload_that_looks_for_the_timer_in_place_of_the_first_cycle_is_noticed() -> None:
    place = workplace(PAYLOAD, "ada")
    text = payload.source(place)
    by_timer = text.replace(
        "(if (i32.and (local.get $status) (i32.const 0x80))",
        "(if (i32.eqz (i32.and (local.get $status) (i32.const 0x20)))",
    )
    assert by_timer != text
    assert points("payload", payload.built(place, by_timer, payload.key(place))) == [2, 3, 0, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "condition",
    [
        "d->module->function_count != 2 || ",
        "opcode != LOCAL_SET || ",
        "d->parameters.count + d->local_count == 0 || ",
        "d->local_count == 0 || ",
    ],
)
def test_a_validator_that_checks_only_sometimes_is_not_mended(condition: str) -> None:
    check = sandbox.CHECK.replace("REQUIRE(", f"REQUIRE({condition}")
    judgement = judge(SANDBOX, "ada", {"aether.elf": sandbox.mended(workplace(SANDBOX, "ada"), check)})
    assert judgement.points == 0
    assert "still accepts" in judgement.parts[3].messages[0]


@pytest.mark.slow
def test_a_validator_that_refuses_whatever_looks_like_the_judge_is_not_mended() -> None:
    """The judge's valid modules look like those that must be refused."""
    check = sandbox.CHECK + "    REQUIRE(d->module->function_count != 2 || opcode != LOCAL_SET, UNKNOWN_LOCAL, 0);\n"
    judgement = judge(SANDBOX, "ada", {"aether.elf": sandbox.mended(workplace(SANDBOX, "ada"), check)})
    assert judgement.points == 0
    assert "uses only locals which its function has" in judgement.parts[3].messages[0]
