"""Reports a difference, with the shortest program that shows it."""

import dataclasses

import capstone

from tests.oracle.random_programs import batch
from tests.oracle.random_programs.batch import Pair
from tests.oracle.random_programs.layout import CODE
from tests.oracle.random_programs.program import REGISTERS, Environment, Program
from tests.oracle.random_programs.third import judge
from tests.oracle.random_programs.verdict import differences, third_differences

_NOP = b"\x90"
_decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)


def differs(pair: Pair) -> bool:
    """Whether there is an unexcused difference."""
    return judge(pair).differs


def minimal(environment: Environment, pair: Pair) -> Pair:
    """Replace instructions one by one with NOPs, as long as the difference remains."""
    while True:
        candidates = [_without(pair.program, index) for index in range(len(pair.program.instructions))]
        candidates = [each for each in candidates if each != pair.program]
        shorter = next((each for each in batch.run(environment, candidates, third=True) if differs(each)), None)
        if shorter is None:
            return pair
        pair = shorter


def _without(program: Program, index: int) -> Program:
    instructions = list(program.instructions)
    instructions[index] = _NOP * len(instructions[index])
    return dataclasses.replace(program, instructions=tuple(instructions))


def describe(seed: int, index: int, pair: Pair) -> str:
    """Seed and number, the instructions, the start state, and where the two end states differ."""
    program, at = pair.program, CODE
    lines = [
        f"seed {seed}, program {index}: {program.kind}, ring {program.ring}, {program.budget} instructions at most"
    ]
    for code in program.instructions:
        if code.strip(_NOP):
            known = [f"{mnemonic} {operands}" for _, _, mnemonic, operands in _decoder.disasm_lite(code, at)]
            lines.append(f"  {at:#x}  {code.hex():<24} {'; '.join(known) or '(unknown)'}")
        at += len(code)
    start = zip(REGISTERS, program.registers, strict=True)
    lines.append("  from " + " ".join(f"{name}={value:#x}" for name, value in start) + f" RFLAGS={program.rflags:#x}")
    lines += [f"  {name}: QEMU {theirs:#x}, ours {mine:#x}" for name, (theirs, mine) in differences(pair).items()]
    lines += [f"  {name}: Bochs {one:#x}, ours {mine:#x}" for name, (one, mine) in third_differences(pair).items()]
    ends = (pair.qemu.named, *([pair.bochs.named] if pair.bochs else []), pair.ours.named)
    return "\n".join([*lines, *(f"  ended by vector {end['vector']} at {end['RIP']:#x}" for end in ends)])
