"""Property strategies for ring-3 code on the bench, and a search with them that may kill its process."""

from contextlib import suppress
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from enclave_sim.strategies.x86.machine_code import InstructionSequence, instruction_sequences
from enclave_sim.strategies.x86.operands import Decisions, Places, selector, value
from machine.architecture.paging import is_canonical
from machine.bus.ram import PAGE_SIZE
from tests.machine.fuzz import lane
from tests.machine.fuzz.case import Case
from tests.machine.fuzz.lane import Death, Desk, Send
from tests.machine.fuzz.oracle import Oracle
from tests.machine.fuzz.trial import death_rule
from tests.machine.programs import layout
from tests.machine.programs.program import Mode, Program, Result

_KERNEL = (layout.GDT, layout.IDT, layout.TSS, layout.HANDLERS, layout.INTERRUPT_STACK_TOP - 64)
_NOWHERE = (0, 8, layout.ABSENT, layout.NON_CANONICAL, -layout.NON_CANONICAL & 2**64 - 1, 2**64 - 8)
PLACES = Places(
    layout.DATA + 0x100,
    layout.USER_CODE_64,
    layout.USER_DATA,
    0x20,
    (
        *(page.linear for page in layout.PAGES),
        *(page.linear + len(page.physical) * PAGE_SIZE - 8 for page in layout.PAGES),
        *(page.linear + len(page.physical) * PAGE_SIZE for page in layout.PAGES),
        *(page.linear + len(page.physical) * PAGE_SIZE // 2 for page in layout.PAGES),
        *_KERNEL,
        *_NOWHERE,
    ),
)
PATIENCE_S = 300.0


def _case(sequence: InstructionSequence, decisions: bytes) -> Case:
    """A case from code and decisions about its initial state."""
    draw = Decisions(decisions, PLACES)
    registers = [value(draw) & 2**64 - 1 for _ in range(16)]
    if draw() % 4:
        registers[4] = layout.STACK_POINTER
    left_by_ring_0 = (None, 0, layout.KERNEL_DATA, layout.USER_DATA)[draw() % 4]
    bases = [base if is_canonical(base) else 0 for base in (value(draw) & 2**64 - 1, value(draw) & 2**64 - 1)]
    words = (value(draw) & 2**64 - 1, selector(draw), value(draw) & 2**64 - 1, selector(draw))
    memory = b"".join(word.to_bytes(8, "little") for word in words)
    flags = 0x202 | draw() & 0xD5 | (draw() & 4) << 8
    state = Program(b"", Mode.LONG, 3, tuple(registers), flags, limit=200)
    pieces = tuple(code for _, code in sequence.steps)
    fields = {"fs_base": bases[0], "gs_base": bases[1], "selector": left_by_ring_0, "data": memory, "stack": memory}
    return Case(pieces, Program(**{**vars(state), **fields}))


def cases() -> st.SearchStrategy[Case]:
    """Ring-3 code in 64-bit mode, and a state to start from."""
    return st.builds(
        _case, instruction_sequences(min_size=8, max_size=24, places=PLACES), st.binary(min_size=60, max_size=60)
    )


def _after(case: Case, result: Result | None) -> Case | None:
    """The code after the piece in which a program ended, as a separate program, so that it is tried, too."""
    at = 0 if result is None else result.registers["RIP"] - layout.CODE
    for index, piece in enumerate(case.pieces[:-1]):
        at -= len(piece)
        if at < 0 or result is None:
            return replace(case, pieces=case.pieces[index + 1 :])
    return None


@dataclass(frozen=True)
class Found:
    """The finding of a search, and the number of examples."""

    rule: str
    what: str
    examples: int
    text: str


def search(number: int, examples: int, ignored: frozenset[str] = frozenset()) -> Found | None:
    """Search for a case that breaks any rule except those `ignored`, from an empty database. `number` is the seed."""

    def work(desk: Desk, send: Send) -> None:
        oracle = Oracle()
        over, count = False, 0

        @seed(number)
        @settings(
            max_examples=examples,
            database=None,
            report_multiple_bugs=False,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(cases())
        def look(case: Case) -> None:
            nonlocal over, count
            if over:
                return
            count += 1
            rest: Case | None = case
            while rest is not None:
                text = rest.text()
                desk.begin(f"{count}\n{text}")
                result, findings = oracle.judge(rest, twice=False)
                for finding in findings:
                    if finding.rule not in ignored and not over:
                        over = True
                        send(Found(finding.rule, finding.what, count, text))
                assert not over
                rest = _after(rest, result)

        with suppress(AssertionError):
            look()

    for message in lane.run(work, PATIENCE_S):
        if isinstance(message, Death):
            number_of_example, text = message.text.split("\n", 1)
            return Found(death_rule(message), "it does not", int(number_of_example), text)
        if isinstance(message, Found):
            return message
    return None
