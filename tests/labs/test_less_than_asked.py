"""Ways to do less than a page asks for, which must earn less: by what a kernel, a payload or a module does besides."""

import pytest

from enclave_sim.labs.catalogue import find_lab
from enclave_sim.labs.judging import judge
from tests.labs.solutions import gate, jitter, payload, sandbox
from tests.labs.solutions.solution import Files
from tests.labs.solving import workplace

GATE, JITTER, PAYLOAD, SANDBOX = (find_lab(name) for name in ("gate", "jitter", "payload", "sandbox"))
RETURN = "iretq"
IN_RING_0 = """
    __asm__ volatile("lidt %0" :: "m"(idt_pointer));
    __asm__ volatile("int $VECTOR" ::: "rax");
"""


def points(name: str, files: Files) -> list[int]:
    return [mark.points for mark in judge(find_lab(name), "ada", files).parts]


@pytest.mark.slow
def test_a_handler_that_changes_other_registers_or_opens_other_gates_earns_less() -> None:
    changes = "xorl %ecx, %ecx\n movl %ebx, %ebx\n pxor %xmm9, %xmm9\n fninit\n andq $~1, 16(%rsp)\n iretq"
    opened = "".join(f"    idt[{vector}].attributes |= GATE_USER;\n" for vector in (3, 0x20, 0xF0))
    files = gate.built(workplace(GATE, "ada"), gate.HANDLER.replace(RETURN, changes), gate.GATE + opened)
    judgement = judge(GATE, "ada", files)
    assert [mark.points for mark in judgement.parts] == [3, 2, 1]
    assert "call RCX, RBX, RFLAGS, ST0, FPTAG, XMM9 are not" in judgement.parts[1].messages[0]
    assert "(3h, 20h, F0h)" in judgement.parts[2].messages[0]


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
    ["options.wake_ns > 200000 ? options.wake_ns - 1000 : options.wake_ns", "options.wake_ns & 0x7FFFFFFF"],
    ids=["from 200 us", "31 bits"],
)
def test_sleeps_that_are_right_only_up_to_some_length_are_noticed(late: str) -> None:
    shorter = jitter.replaced("exec_loop.c", "timer_arm(options.wake_ns,", f"timer_arm({late},")
    files = jitter.built(workplace(JITTER, "ada"), jitter.first, jitter.second, shorter)
    assert points("jitter", files) == [3, 0, 0, 0]


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
