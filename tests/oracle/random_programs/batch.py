"""Runs programs on QEMU, on our machine, and on Bochs if asked: as many in one boot as the memory disk holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from machine.errors import EmulatorFault
from tests.oracle import bochs, ours, qemu
from tests.oracle.image import Image, build
from tests.oracle.random_programs import layout
from tests.oracle.random_programs.layout import number
from tests.oracle.random_programs.program import Environment, Program, State, module

HERE = Path(__file__).parent
_LIMIT_NS = 4_000_000_000


@dataclass(frozen=True)
class Pair:
    """The state in which one program ended on each machine."""

    program: Program
    qemu: State
    ours: State
    bochs: State | None = None


class Unfinished(Exception):  # noqa: N818
    """A machine did not finish its programs: gives the machine, its end, and the last program."""


@cache
def kernel() -> bytes:
    """The runner kernel."""
    return build([HERE / "kernel.S"], HERE / "link.ld")


def batches(environment: Environment, programs: Sequence[Program]) -> Iterator[tuple[Program, ...]]:
    """The programs in order, in groups that fit in one boot."""
    most = (qemu.RAM_SIZE - number("OUTPUT")) // number("STATE_SIZE")
    room = layout.MODULE_LIMIT - len(module(environment, ()))
    batch: list[Program] = []
    size = 0
    for program in programs:
        length = len(program.packed())
        if batch and (size + length > room or len(batch) == most):
            yield tuple(batch)
            batch, size = [], 0
        batch.append(program)
        size += length
    if batch:
        yield tuple(batch)


def run(environment: Environment, programs: Sequence[Program], *, third: bool = False) -> Iterator[Pair]:
    """Run programs on QEMU and here; with `third` on Bochs, too.

    Raises Unfinished if a machine does not finish.
    """
    for batch in batches(environment, programs):
        image = Image(kernel(), modules=(("programs", module(environment, batch)),))
        theirs = _states(image, "QEMU", *_run_qemu(image), batch)
        mine = _states(image, "our machine", *_run_ours(image), batch)
        others: Sequence[State | None] = [None] * len(batch)
        if third:
            others = _states(image, "Bochs", *_run_bochs(image, len(batch)), batch)
        yield from map(Pair, batch, theirs, mine, others)


def _run_qemu(image: Image) -> tuple[bytes, str]:
    run = qemu.run(image, memory=True)
    if run.memory is None:
        raise Unfinished(f"QEMU ended ({run.end}) without its memory")
    return run.memory, run.end


def _run_bochs(image: Image, count: int) -> tuple[bytes, str]:
    page = image.symbols["done"] & -layout.PAGE_SIZE
    output = range(number("OUTPUT"), number("OUTPUT") + count * number("STATE_SIZE"))
    ranges = range(page, page + layout.PAGE_SIZE), output
    run = bochs.run(image, "finish", memory=ranges, mapped_at=number("HIGH"))
    return run.memory or bytes(qemu.RAM_SIZE), run.end


def _run_ours(image: Image) -> tuple[bytes, str]:
    """RAM at the end, and the end. An emulator that breaks its own rules is one kind of end."""
    machine, _ = ours.start(image)
    try:
        end = machine.run(_LIMIT_NS).value
    except EmulatorFault as fault:
        end = str(fault)
    return bytes(machine.ram.view), end


def _states(image: Image, machine: str, memory: bytes, end: str, batch: Sequence[Program]) -> list[State]:
    at = image.symbols["done"]
    done = int.from_bytes(memory[at : at + 4], "little")
    if done != len(batch):
        text = f"{machine} ended ({end}) in program {done} of {len(batch)}"
        if done < len(batch):
            text += f": {batch[done].kind}, ring {batch[done].ring}, {batch[done].code.hex()}"
        raise Unfinished(text)
    base, size = number("OUTPUT"), number("STATE_SIZE")
    return [State.unpacked(memory[base + index * size : base + (index + 1) * size]) for index in range(done)]
