"""The provenance of values at the ends of small programs is the chain that was labelled by hand."""

import re

import pytest

from enclave_sim.enclave.kernel.bare_kernel import BareKernel
from enclave_sim.time_travel import Travel
from enclave_sim.time_travel.navigation.provenance.places import MEMORY, REGISTERS, Place
from tests.enclave_sim.time_travel.navigation.provenance.chains import chain
from tests.enclave_sim.time_travel.navigation.provenance.instruction_cases import CASES, LOG, Case, M
from tests.machine.assembler import Assembler

LINE = 0x100


class Programs:
    """The run of all programs; `go_to` stops after one of them."""

    def __init__(self, assembler: Assembler) -> None:
        body = [".intel_syntax noprefix"]
        for number, case in enumerate(CASES):
            code = case.code.replace("{m}", hex(M + number * LINE)).replace("{n}", str(number))
            body.append(f".globl begin{number}, end{number}\nbegin{number}:\n{code}\nend{number}: nop")
        image = assembler.build(
            "kernel.S", "\n".join([*body, "cli", "hlt", ".att_syntax", ""]), RING=0, RFLAGS=0x202, EXTRA_CR4=0
        )
        self.run = Travel(lambda recorder: BareKernel("kernel", image, ram_bytes=16 << 20, recorder=recorder))
        self._ends = []
        for number in range(len(CASES)):
            self.run.run_to(symbol=f"begin{number}") if number else self.run.run_to(symbol="body")
            log = self.run.machine.cpu.registers.rbp
            self._ends.append((self.run.run_to(symbol=f"end{number}"), log))

    def chain(self, case: Case) -> str:
        number = CASES.index(case)
        position, log = self._ends[number]
        self.run.go_to(position)
        place = _place(case.ask, M + number * LINE, log)
        found = self.run.where_from(place)
        assert self.run.now == position
        return chain(found)

    def expected(self, case: Case) -> str:
        number = CASES.index(case)
        symbols = self.run.program.symbols
        data = next(one for one in self.run.program.regions if one.base <= symbols["gdtr"] < one.end)
        words = {
            "back": symbols.get(f"back{number}", 0), "gdtr": symbols["gdtr"], "data": data.base,
            "gdtr_byte": symbols["gdtr"] - data.base, "gate": f"{_gate(symbols['idt'], 0x80)}",
            "fault_gate": f"{_gate(symbols['idt'], 14)}",
        }  # fmt: skip
        text = re.sub(r"\{m([0-9a-f]+)\}", lambda found: hex(M + number * LINE + int(found[1], 16)), case.expected)
        for name, word in words.items():
            text = text.replace(f"{{{name}}}", word if isinstance(word, str) else f"{word:#x}")
        return text


def _gate(table: int, vector: int) -> Place:
    return Place(MEMORY, table + 16 * vector, 16)


def _place(ask: str | tuple[int, int], memory: int, log: int) -> Place:
    if isinstance(ask, tuple):
        start, size = ask
        return Place(MEMORY, start - LOG + log if start >= LOG else start + memory, size)
    part = re.fullmatch(r"(\w+)\[(\d+)(?::(\d+))?\]", ask)
    if part is None:
        return REGISTERS[ask]
    first = int(part[2])
    return Place(part[1], first, int(part[3] or first + 1) - first)


@pytest.fixture(scope="module")
def programs(assembler: Assembler) -> Programs:
    return Programs(assembler)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_chain_is_the_labelled_one(programs: Programs, case: Case) -> None:
    assert programs.chain(case) == programs.expected(case)


def test_cases_have_names_of_their_own() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
