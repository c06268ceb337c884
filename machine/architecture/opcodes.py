"""Opcode tables: the instructions that the machine must act on, with the reasons.

Unicorn executes nearly all instructions without help. For the others `TABLES`, made from instruction_set.py, has the
`Action`s of each opcode. The instruction hook looks them up before every instruction (step_hook.c); decoding.py does
the same in Python.
"""

from enum import IntFlag

from machine.architecture.instruction_set import ROWS, Map, Prefix, Row


class Action(IntFlag):
    """Reasons to act on an instruction. Those not always watched count only while set in `HookState.watched`."""

    NONE = 0
    SYSTEM = 1
    """Has a rule of its own in machine/instructions. Always watched."""
    PORT = 2
    """IN, OUT, INS, OUTS: may be refused outside ring 0."""
    DESCRIPTOR = 4
    """SGDT, SIDT, SLDT, STR, SMSW: refused outside ring 0 when CR4.UMIP is set."""
    INTERRUPT_RETURN = 8
    """IRET: ends the blocking of NMI."""
    FLAGS = 16
    """POPF: may begin alignment checks."""
    MMX = 32
    """MMX: raises a pending x87 exception. Always watched."""
    FLOATS = 64
    """SSE floating-point arithmetic: may raise exceptions."""
    LOCKABLE = 128
    """LOCK is allowed with a memory operand; otherwise it is #UD."""
    ALIGNED = 256
    """Has a 16-byte memory operand that must be aligned."""
    WIDE = 512
    """Has a 16-byte memory operand that need not be aligned: checked if it crosses a page."""
    UNDEFINED = 1024
    """#UD. Always watched."""
    LOOK = 2048
    """Unicorn executes it wrongly for some operands: see machine/processor/unusual_operands.py."""
    MODIFIES = 4096
    """Reads and writes its operand: if the write faults, the flags must not change either."""
    OVERRIDE = 8192
    """Has an FS or GS prefix outside 64-bit mode; not in the tables. Watched while FS or GS has a limit."""
    MISLEADING = 16384
    """Has an FS or GS prefix before one for ES, CS, SS or DS, which 64-bit mode ignores but Unicorn obeys; not in the
    tables. Always watched."""
    CODE = 1 << 16
    """Has a CS prefix outside 64-bit mode, where that segment cannot be written; not in the tables. Always watched."""
    GROUP = 1 << 15
    """Only in `Tables.entries`: the other bits index `Tables.groups`, and the ModRM byte selects from that row."""


ALWAYS = Action.SYSTEM | Action.UNDEFINED | Action.MMX | Action.MISLEADING | Action.CODE
"""The actions at which the instruction hook always stops."""
_TRAITS = {
    "system": int(Action.SYSTEM),
    "port": int(Action.PORT),
    "descriptor": int(Action.DESCRIPTOR),
    "interrupt_return": int(Action.INTERRUPT_RETURN),
    "flags": int(Action.FLAGS),
    "mmx": int(Action.MMX),
    "fp": int(Action.FLOATS),
    "lock": int(Action.LOCKABLE | Action.MODIFIES),
    "rmw": int(Action.MODIFIES),
    "a16": int(Action.ALIGNED),
    "u16": int(Action.WIDE),
    "look": int(Action.LOOK),
}
_OPCODES, _PREFIX_CLASSES, _FORMS = 256, len(Prefix), 16
_GROUP = int(Action.GROUP)
_UNDEFINED_ROW = (int(Action.UNDEFINED),) * _FORMS


def _forms(row: Row) -> list[int]:
    """Return the columns of a group that a row fills: 0 to 7 memory forms by reg field, 8 to 15 register forms."""
    if row.modrm == "-":
        return list(range(_FORMS))
    starts = {"rm": (0, 8), "m": (0,), "r": (8,)}[row.modrm]
    return [start + extension for start in starts for extension in row.extensions]


class Tables:
    """The tables of one mode, in the layout of the instruction hook.

    `entries` holds 16 bits of actions by map, mandatory prefix and opcode; `groups` holds rows of 16 such entries.
    """

    def __init__(self, *, long: bool) -> None:
        absent = "i32" if long else "i64"
        found: dict[int, list[int]] = {}
        self.entries = [int(Action.UNDEFINED)] * (len(Map) * _PREFIX_CLASSES * _OPCODES)
        for row in ROWS:
            if absent in row.traits:
                continue
            actions = sum(_TRAITS.get(trait, 0) for trait in row.traits)
            forms = _forms(row)
            for prefix in row.prefixes:
                first = (row.map * _PREFIX_CLASSES + prefix) * _OPCODES
                for opcode in row.opcodes:
                    if len(forms) == _FORMS:
                        self.entries[first + opcode] = actions
                        continue
                    columns = found.setdefault(first + opcode, list(_UNDEFINED_ROW))
                    for form in forms:
                        columns[form] = actions
        groups: dict[tuple[int, ...], int] = {}
        for index, columns in found.items():
            self.entries[index] = _GROUP | groups.setdefault(tuple(columns), len(groups))
        self.groups = list(groups)

    def action(self, opcode_map: int, prefix: int, opcode: int, modrm: int | None) -> int:
        """Return the actions of an opcode, as bits of `Action`.

        Args:
            opcode_map: A `Map`.
            prefix: The mandatory `Prefix`.
            opcode: The opcode byte.
            modrm: The ModRM byte, or None if the code ends before it.

        Raises:
            IndexError: The actions depend on ModRM, and `modrm` is None.
        """
        found = self.entries[(opcode_map * _PREFIX_CLASSES + prefix) * _OPCODES + opcode]
        if not found & _GROUP:
            return found
        if modrm is None:
            raise IndexError
        return self.groups[found & ~_GROUP][(modrm >> 3 & 7) + (8 if modrm >= 0xC0 else 0)]


TABLES = {False: Tables(long=False), True: Tables(long=True)}
"""By mode: True is 64-bit mode."""
