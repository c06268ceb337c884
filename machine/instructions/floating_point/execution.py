"""Execution of one x87 instruction, which changes only the given state and memory operand."""

from typing import Protocol

from machine.instructions.floating_point import environment
from machine.instructions.floating_point.forms import Access, Form
from machine.instructions.floating_point.state import X87State


class Operand(Protocol):
    """A memory operand. All methods raise Fault with nothing changed."""

    def read(self, size: int) -> bytes:
        """Read its first `size` bytes."""

    def write(self, data: bytes) -> None:
        """Write its first bytes."""

    def probe(self, size: int) -> None:
        """Raise the Fault of a write of its first `size` bytes."""


def execute(x87: X87State, form: Form, operand: Operand | None, *, wide: bool = True) -> None:
    """Execute an instruction. Raises the Fault that `operand` raises.

    Args:
        x87: The state, which is changed.
        form: The instruction.
        operand: Its memory operand, if it has one.
        wide: The operand size is 32 or 64 bits, not 16.

    Raises:
        ValueError: The instruction needs a memory operand and there is none.
    """
    access, handler, argument, _, _ = form
    if access == Access.NONE:
        handler(x87, argument)
    elif operand is None:
        raise ValueError("this form needs a memory operand")
    elif access == Access.LOADS:
        handler(x87, int.from_bytes(operand.read(argument), "little"))
    elif access == Access.STORES:
        operand.probe(argument)  # also for a store that an unmasked exception prevents
        handler(x87, lambda value: operand.write(value.to_bytes(argument, "little")))
    else:
        _CONTROL[access](x87, operand, wide)


def _load_control(x87: X87State, operand: Operand, _wide: bool) -> None:
    x87.set_control(int.from_bytes(operand.read(2), "little"))


def _store_control(x87: X87State, operand: Operand, _wide: bool) -> None:
    operand.write(x87.control.to_bytes(2, "little"))


def _store_status(x87: X87State, operand: Operand, _wide: bool) -> None:
    operand.write(x87.status.to_bytes(2, "little"))


def _load_environment(x87: X87State, operand: Operand, wide: bool) -> None:
    environment.load(x87, operand.read(environment.size(wide=wide)), wide=wide)


def _store_environment(x87: X87State, operand: Operand, wide: bool) -> None:
    operand.write(environment.store(x87, wide=wide))
    environment.mask_all(x87)


def _restore(x87: X87State, operand: Operand, wide: bool) -> None:
    environment.restore(x87, operand.read(environment.save_size(wide=wide)), wide=wide)


def _save(x87: X87State, operand: Operand, wide: bool) -> None:
    operand.write(environment.save(x87, wide=wide))
    x87.initialize()


_CONTROL = {
    Access.LOAD_CONTROL: _load_control,
    Access.STORE_CONTROL: _store_control,
    Access.STORE_STATUS: _store_status,
    Access.LOAD_ENVIRONMENT: _load_environment,
    Access.STORE_ENVIRONMENT: _store_environment,
    Access.RESTORE: _restore,
    Access.SAVE: _save,
}
