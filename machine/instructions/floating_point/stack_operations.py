"""Arithmetic and data transfer on the register stack (SDM volume 2; stack faults: volume 1, 8.5.1.1).

Each maker returns a handler. Handlers of register forms are called with the state and the register number. Those that
load are called with the state and the bits of the operand. Those that store are called with the state and a function
that writes the operand to memory; they call it before they change anything, because it may raise Fault.
"""

from collections.abc import Callable

from machine.instructions.floating_point import conversions
from machine.instructions.floating_point.conversions import Format
from machine.instructions.floating_point.extended import INDEFINITE, QNAN, SIGN, kind
from machine.instructions.floating_point.state import X87State
from machine.instructions.floating_point.words import C0, C2, C3, DE, IE, STACK_UNDERFLOW, ZE

Result = tuple[int | None, int]
Unary = Callable[[int, int], Result]
Binary = Callable[[int, int, int], Result]
Write = Callable[[int], None]
OnRegister = Callable[[X87State, int], None]
OnOperand = Callable[[X87State, int], None]
OnStore = Callable[[X87State, Write], None]
Load = Callable[[int, int], Result]
Widen = Callable[[int], tuple[int, int]]
"""Converts the bits of an operand to an extended number, and DE if it was denormal."""

# Arithmetic


def binary(operation: Binary, *, to_register: bool = False, pops: bool = False) -> OnRegister:
    """Make the handler of ST(0) := ST(0) operation ST(i), or ST(i) := ST(i) operation ST(0)."""

    def execute(x87: X87State, register: int) -> None:
        destination, source = (register, 0) if to_register else (0, register)
        if x87.either_empty(register):
            if x87.underflow(destination) and pops:
                x87.pop()
            return
        value, bits = operation(x87.get(destination), x87.get(source), x87.control)
        x87.signal(bits)
        if value is not None:
            x87.set(destination, value)
            if pops:
                x87.pop()

    return execute


def binary_with_operand(operation: Binary, widen: Widen) -> OnOperand:
    """Make the handler of ST(0) := ST(0) operation operand."""

    def execute(x87: X87State, datum: int) -> None:
        if x87.is_empty(0):
            x87.underflow()
            return
        control = x87.control
        operand, denormal = widen(datum)
        value, bits = operation(x87.get(0), operand, control)
        if denormal and not bits & (IE | ZE) and value is not None and kind(value) < QNAN:
            value, bits = (value, bits | DE) if control & DE else (None, DE)
        x87.signal(bits)
        if value is not None:
            x87.set(0, value)

    return execute


def unary(operation: Unary, *, condition: int = 0) -> OnRegister:
    """Make the handler of ST(0) := operation ST(0), which clears those bits of `condition` that it does not set."""

    def execute(x87: X87State, _register: int) -> None:
        x87.set_condition(0, condition)
        if x87.is_empty(0):
            x87.underflow()
            return
        value, bits = operation(x87.get(0), x87.control)
        x87.signal(bits)
        if value is not None:
            x87.set(0, value)

    return execute


def binary_of_two(operation: Binary, *, has_quotient: bool = False) -> OnRegister:
    """Make the handler of ST(0) := ST(0) operation ST(1): FSCALE, FPREM, FPREM1.

    Args:
        operation: A function of both operands and the control word.
        has_quotient: The bits of the operation include a quotient for the condition code.

    Returns:
        The handler.
    """

    def execute(x87: X87State, _register: int) -> None:
        if has_quotient:
            x87.set_condition(0, C2)
        if x87.either_empty(1):
            x87.underflow()
            return
        value, bits = operation(x87.get(0), x87.get(1), x87.control)
        if has_quotient and value is not None and kind(value) < QNAN:
            x87.set_condition(0, C0 | C3)
        x87.signal(bits)
        if value is not None:
            x87.set(0, value)

    return execute


def binary_and_pop(operation: Binary) -> OnRegister:
    """Make the handler of ST(1) := ST(1) operation ST(0), then pop: FPATAN, FYL2X, FYL2XP1."""
    execute = binary(operation, to_register=True, pops=True)
    return lambda x87, _register: execute(x87, 1)


# Loads


def load_operand(load: Load) -> OnOperand:
    """Make the handler that pushes an operand."""

    def execute(x87: X87State, datum: int) -> None:
        if not x87.is_empty(-1):
            x87.overflow()
            return
        value, bits = load(datum, x87.control)
        x87.signal(bits)
        if value is not None:
            x87.push(value)

    return execute


def load_register(x87: X87State, register: int) -> None:
    """Execute FLD ST(i)."""
    if x87.is_empty(register):
        if x87.control & IE:
            x87.push(INDEFINITE)
        x87.signal(STACK_UNDERFLOW)
    elif not x87.is_empty(-1):
        x87.overflow()
    else:
        value = x87.get(register)
        x87.signal(0)
        x87.push(value)


# Stores


def store_operand(store: Callable[[int, int], Result], indefinite: int, *, pops: bool) -> OnStore:
    """Make the handler that stores ST(0). After an unmasked exception without a result it neither stores nor pops."""

    def execute(x87: X87State, write: Write) -> None:
        value: int | None
        if x87.is_empty(0):
            value, bits = (indefinite if x87.control & IE else None), STACK_UNDERFLOW
        else:
            value, bits = store(x87.get(0), x87.control)
        if value is not None:
            write(value)
        x87.signal(bits)
        if pops and value is not None:
            x87.pop()

    return execute


def store_real(form: Format, *, pops: bool) -> OnStore:
    """Make the handler of FST or FSTP m32 or m64."""
    return store_operand(
        lambda number, control: conversions.store_real(number, form, control), form.indefinite, pops=pops
    )


def store_integer(width: int, *, pops: bool, truncate: bool = False) -> OnStore:
    """Make the handler of FIST, FISTP or FISTTP."""
    return store_operand(
        lambda number, control: conversions.store_integer(number, width, control, truncate=truncate),
        1 << width - 1,
        pops=pops,
    )


def store_register(*, pops: bool) -> OnRegister:
    """Make the handler of FST or FSTP ST(i)."""

    def execute(x87: X87State, register: int) -> None:
        if x87.is_empty(0):
            if x87.underflow(register) and pops:
                x87.pop()
            return
        x87.signal(0)
        x87.set(register, x87.get(0))
        if pops:
            x87.pop()

    return execute


def pop_into_register(x87: X87State, register: int) -> None:
    """Execute the alias D9 D8+i of FSTP ST(i): it signals no stack fault, and moves nothing if ST(0) is empty."""
    x87.signal(0)
    if not x87.is_empty(0):
        x87.set(register, x87.get(0))
    x87.pop()


# Moves


def exchange(x87: X87State, register: int) -> None:
    """Execute FXCH."""
    if x87.either_empty(register):
        if x87.control & IE:
            first, second = (INDEFINITE if x87.is_empty(at) else x87.get(at) for at in (0, register))
            x87.set(0, second)
            x87.set(register, first)
        x87.signal(STACK_UNDERFLOW)
        return
    number = x87.get(0)
    x87.set(0, x87.get(register))
    x87.set(register, number)
    x87.signal(0)


def conditional_move(flag: int, *, wanted: bool) -> OnRegister:
    """Make the handler of FCMOVcc: it moves if a bit of `flag` is set in EFLAGS, or, if not `wanted`, if none is."""

    def execute(x87: X87State, register: int) -> None:
        if x87.either_empty(register):
            x87.underflow()
            return
        if bool(x87.flags & flag) == wanted:
            x87.set(0, x87.get(register))

    return execute


def change_sign(number: int, _control: int) -> Result:
    """Evaluate FCHS."""
    return number ^ SIGN, 0


def absolute(number: int, _control: int) -> Result:
    """Evaluate FABS."""
    return number & ~SIGN, 0
