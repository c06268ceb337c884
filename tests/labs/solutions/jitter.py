"""The solution of lab `jitter`: the heartbeat comes before the timer is armed; timer and HLT are as they were."""

import re
from collections.abc import Callable

from tests.labs.solutions.kernels import built_in_image, built_kernel
from tests.labs.solutions.solution import Files, Solution, Workplace, Wrong

Texts = dict[str, str]
BEGINS, BEATS = "    sleeps = 1;\n", "    heartbeat();\n"


def first(texts: Texts) -> Texts:
    """Move the heartbeat to the beginning of sleep()."""
    loop = texts["exec_loop.c"]
    assert loop.count(BEATS) == 1
    return {**texts, "exec_loop.c": loop.replace(BEATS, "").replace(BEGINS, BEATS + BEGINS)}


def second(texts: Texts) -> Texts:
    """Mend whichever of the three mistakes there is."""
    loop = texts["exec_loop.c"].replace("(options.wake_ns - EARLY,", "(options.wake_ns,")
    if "tick();" in loop:
        loop = re.sub(r"/\* The sleep is divided.*?\n}\n\n", "", loop, flags=re.DOTALL)
        loop = re.sub(r"    if \(reason == STATUS_TIMER_WAKE && left\).*?    }\n", "", loop, flags=re.DOTALL)
        loop = loop.replace(
            "    left = options.wake_ns;\n    tick();\n", "    timer_arm(options.wake_ns, VECTOR_WAKE);\n"
        )
    timer = texts["timer.c"].replace("APIC_DIVIDE, 3", "APIC_DIVIDE, APIC_DIVIDE_BY_1").replace("ns / 16", "ns")
    return {"exec_loop.c": loop, "timer.c": timer}


def built(place: Workplace, *steps: Callable[[Texts], Texts]) -> Files:
    texts = {name: data.decode() for name, data in place.start.items()}
    for step in steps:
        texts = step(texts)
    return {"aether.elf": built_kernel({f"src/{name}": text.encode() for name, text in texts.items()})}


def replaced(name: str, old: str, new: str) -> Callable[[Texts], Texts]:
    def step(texts: Texts) -> Texts:
        assert texts[name].count(old) == 1
        return {**texts, name: texts[name].replace(old, new)}

    return step


def wrong(name: str, message: str, *steps: Callable[[Texts], Texts]) -> Wrong:
    return Wrong(name, lambda _files, place: built(place, *steps), message)


SOLUTION = Solution(
    lambda place: built(place, first, second),
    (
        Wrong("the built-in kernel", lambda _files, _place: {"aether.elf": built_in_image()}, "There is no heartbeat"),
        wrong("only the second mistake", "its deadline passed while interrupts were off", second),
        wrong(
            "the heartbeat left out",
            "There is no heartbeat",
            replaced("exec_loop.c", BEATS, "    (void)heartbeat;\n"),
            second,
        ),
        wrong(
            "a heartbeat of one payload",
            "has another checksum",
            first,
            second,
            replaced("exec_loop.c", "payload = (cycle - 1) % payload_count", "payload = 0"),
        ),
        wrong(
            "a heartbeat before every sleep and after it",
            "one heartbeat after each cycle",
            first,
            second,
            replaced(
                "exec_loop.c", "    timer_stop();\n    scrub(IRQ", "    heartbeat();\n    timer_stop();\n    scrub(IRQ"
            ),
        ),
        wrong(
            "a coarse timer",
            "not armed for the time that is configured",
            first,
            second,
            replaced("timer.c", "APIC_INITIAL_COUNT, ns)", "APIC_INITIAL_COUNT, ns & ~15)"),
        ),
        wrong(
            "the frame of the wake-up left",
            "zero-trace is broken",
            first,
            second,
            replaced(
                "exec_loop.c", "    timer_stop();\n    scrub(IRQ_STACK_BASE, IRQ_STACK_SIZE);", "    timer_stop();"
            ),
        ),
    ),
)
