"""Where the witnesses differ: a table of which one is wrong, by the manual (SDM). A majority of two witnesses is not
enough for an entry: it names the section that decides. If the witness of an entry gives the right answer to a case that
it matches, the tests fail and the entry must go.
"""

import re
from dataclasses import dataclass
from typing import Literal

Witness = Literal["QEMU", "Bochs"]


@dataclass(frozen=True)
class Dispute:
    """Cases that one witness gets wrong."""

    wrong: Witness
    cases: str
    """A regular expression for whole names of cases."""
    answer: str
    """What the witness does."""
    manual: str
    """What is right, and the section that says so."""


DISPUTES = (
    Dispute(
        "Bochs",
        r"int_80_ist_(2|7|user_page|is_aligned)_r0|soft_8_has_no_error_code_r0|df_.*_r0|pf_(int|ud)_on_absent_stack_r0"
        r"|smap_push_r0|iretq_frame_on_absent_page_r0",
        "SS stays as it was where the interrupt stack table gives the stack and the ring stays the same",
        "the new SS selector is forced to NULL, its RPL is the new CPL (volume 3, 6.14.5)",
    ),
    Dispute(
        "Bochs",
        r"iretl_same_ring_r0",
        "IRETD from 64-bit code to the same ring leaves RSP and SS on the stack",
        "an IRET that began in 64-bit mode always pops them (volume 2, IRET, operation in IA-32e mode)",
    ),
    Dispute(
        "Bochs",
        r"same_class_waits_r0",
        "an interrupt that the processor priority holds back is delivered as the spurious one",
        "it waits until EOI lowers the priority (volume 3, 11.8.3.1)",
    ),
    Dispute(
        "Bochs",
        r"lar_of_user_segment_r3",
        "LAR gives bits 19:16 as they are in the descriptor",
        "they are undefined (volume 2, LAR, table 3-53): both answers are right",
    ),
    Dispute(
        "QEMU",
        r"mf_(divide_by_zero_at_fwait_r[03]|not_at_fnstsw_r3)",
        "FDIVRP pops the stack although its zero divide is unmasked",
        "source operands and the stack are as before the instruction (volume 1, 8.5.3)",
    ),
)

NOT_OFFERED = {"Bochs": re.compile(r"umip_.*")}
"""Cases about features that the witness lacks; bx_generic is a processor without UMIP."""

UNTIMED = {"Bochs": frozenset(["legacy", "shadows", "timer"])}
"""Themes that depend on when a timer interrupt comes, which this witness derives from its own instruction count."""


def dispute(case: str, witness: Witness) -> Dispute | None:
    """The entry by which this witness is wrong about a case."""
    return next((each for each in DISPUTES if each.wrong == witness and re.fullmatch(each.cases, case)), None)


def verdict(case: str, witness: Witness, theirs: object, ours: object) -> str:
    """What is wrong with a case, in a line; empty if there is no difference, or one in the table."""
    known = dispute(case, witness)
    if theirs == ours:
        return f"{case}: {witness} is right, so its entry in the table of disputes must go" if known else ""
    return "" if known else f"{case}\n{witness} {theirs}\nours {ours}"
