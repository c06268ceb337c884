"""Defects of the resident VMM: what its page tables grant, and what is left of its guests. The validator's own checks
are removed one at a time in tests/firmware/vmm/test_checks.py. And signatures that the kernel accepts unverified.
"""

from tests.mutants.defect import ADMITTED, BLIND, ISOLATED, NON_INTERFERENCE, ZERO_TRACE, Defect, Edit, Kernel


def _tables(old: str, new: str) -> Kernel:
    return Kernel((Edit("tables.S", old, new), BLIND))


def _unscrubbed(name: str) -> Kernel:
    return Kernel((Edit("resident.c", f"    scrub({name}_BASE, {name}_SIZE);\n"),))


def _accepting(algorithm: str) -> Kernel:
    """The kernel without the verification by one algorithm."""
    return Kernel((Edit("signatures/verify.c", f"if (!{algorithm}_verifies(", f"if (0 && !{algorithm}_verifies("),))


VMM_DEFECTS = (
    Defect(
        "module-writable",
        "ring 3 of the resident VMM can write the staged modules",
        _tables("STAGING_SIZE, CONSTANT | LARGE | USER", "STAGING_SIZE, DATA | LARGE | USER"),
        ("resident",),
        (ISOLATED,),
    ),
    Defect(
        "side-table-writable",
        "ring 3 of the resident VMM can write the tables of its module",
        _tables("READ_ONLY | USER, PT_ARENA", "TABLE | USER, PT_ARENA"),
        ("resident",),
        (ISOLATED,),
    ),
    Defect(
        "interpreter-writable",
        "the interpreter can write its own code",
        _tables("PT_RESIDENT, CONSTANT, CODE | USER", "PT_RESIDENT, CONSTANT, CODE | WRITABLE | USER"),
        ("resident",),
        (ISOLATED,),
    ),
    Defect(
        "values-guard",
        "the guard page after the stack of values is mapped",
        _tables("VALUES_BASE, VALUES_SIZE, DATA | USER", "VALUES_BASE, VALUES_SIZE + 0x1000, DATA | USER"),
        ("resident",),
        (ISOLATED,),
    ),
    Defect(
        "calls-guard",
        "the guard page after the stack of calls is mapped",
        _tables("CALLS_BASE, CALLS_SIZE, DATA | USER", "CALLS_BASE, CALLS_SIZE + 0x1000, DATA | USER"),
        ("resident",),
        (ISOLATED,),
    ),
    Defect(
        "globals-stay",
        "globals of the resident VMM's guest are not scrubbed",
        _unscrubbed("GLOBALS"),
        ("resident",),
        (ZERO_TRACE,),
    ),
    Defect(
        "values-stay",
        "the stack of values is not scrubbed",
        _unscrubbed("VALUES"),
        ("resident",),
        (ZERO_TRACE,),
    ),
    Defect(
        "calls-stay",
        "the stack of calls is not scrubbed",
        _unscrubbed("CALLS"),
        ("resident",),
        (ZERO_TRACE,),
    ),
    Defect(
        "validator-stack-stays",
        "what the validator read of a module stays on the kernel's stack",
        Kernel((Edit("resident.c", "    scrub_unused_stack();  "),)),
        ("resident constant",),
        (NON_INTERFERENCE,),
    ),
    Defect(
        "tables-stay",
        "the side table is not scrubbed with the arena",
        Kernel((Edit("arena.c", "    scrub(ARENA_BASE, ARENA_SIZE);\n"),)),
        ("resident",),
        (ZERO_TRACE,),
    ),
    Defect(
        "kernel-ed25519-ignored",
        "the kernel does not verify a payload's Ed25519 signature",
        _accepting("ed25519"),
        ("forged Ed25519, by the kernel",),
        (ADMITTED,),
    ),
    Defect(
        "kernel-ml-dsa-ignored",
        "the kernel does not verify a payload's ML-DSA-65 signature",
        _accepting("ml_dsa_65"),
        ("forged ML-DSA-65, by the kernel",),
        (ADMITTED,),
    ),
)
