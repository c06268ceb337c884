"""Picks cases by opcode, for the tables that say what is special about some instructions."""

from collections.abc import Callable

from tests.oracle.enumeration.programs import Case

Applies = Callable[[Case], bool]
ONE, TWO, THREE_38, THREE_3A = b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a"
"""Opcode maps."""


def at(
    escape: bytes,
    opcodes: range | tuple[int, ...],
    *extensions: int,
    register: bool | None = None,
    prefix: int | None = None,
    rm: tuple[int, ...] = (),
) -> Applies:
    """Cases with one of these opcodes; `extensions` are values of the reg field, `rm` of the r/m field."""

    def applies(case: Case) -> bool:
        form = case.form
        return (
            form.escape == escape
            and form.opcode in opcodes
            and (not extensions or form.extension in extensions)
            and register in (None, form.register)
            and (prefix is None or prefix in form.prefixes)
            and (not rm or modrm(case) & 7 in rm)
        )

    return applies


def any_of(*tests: Applies) -> Applies:
    """Cases that one of these picks."""
    return lambda case: any(test(case) for test in tests)


def modrm(case: Case) -> int:
    """The ModRM byte."""
    form = case.form
    return case.program.code[len(form.prefixes) + len(form.escape) + 1]
