"""Registers, with their changes since the last stop, and named bits."""

from collections.abc import Iterator

from enclave_sim.inspector.model import bits
from enclave_sim.inspector.model.machine.addresses import translation
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import Meaning, Part, Row, Target, View, title
from enclave_sim.inspector.session.inspected_run import InspectedRun
from machine.architecture.processor_state import GENERAL_REGISTERS, SEGMENT_REGISTERS
from machine.instructions.system import msrs

_MSRS = {
    msrs.IA32_SYSENTER_CS: "SYSENTER_CS",
    msrs.IA32_SYSENTER_ESP: "SYSENTER_ESP",
    msrs.IA32_SYSENTER_EIP: "SYSENTER_EIP",
    msrs.IA32_PAT: "PAT",
    msrs.IA32_STAR: "STAR",
    msrs.IA32_LSTAR: "LSTAR",
    msrs.IA32_CSTAR: "CSTAR",
    msrs.IA32_FMASK: "FMASK",
}
_TABLES = ("gdtr", "idtr", "ldtr", "tr")


def register_values(run: InspectedRun) -> dict[str, int]:
    """Return the value of every register by name, including the hidden parts of segment registers."""
    cpu = run.machine.cpu
    state = cpu.registers
    found = {"RIP": state.rip, "RFLAGS": cpu.rflags, "CPL": state.cpl}
    found |= {name.upper(): getattr(state, name) for name in GENERAL_REGISTERS}
    for name in SEGMENT_REGISTERS:
        register = getattr(state, name)
        found |= {name.upper(): register.selector, f"{name.upper()}.base": register.base}
        found |= {f"{name.upper()}.limit": register.limit, f"{name.upper()}.flags": register.flags}
    for name in _TABLES:
        register = getattr(state, name)
        found |= {name.upper(): register.selector, f"{name.upper()}.base": register.base}
        found |= {f"{name.upper()}.limit": register.limit}
    found |= {name: cpu.read_register(name) for name in ("CR0", "CR2", "CR3", "CR4")}
    found["CR8"] = run.machine.local_apic.cr8
    found |= {"EFER": state.efer, "KERNEL_GS_BASE": cpu.context.kernel_gs_base}
    tsc = cpu.time_stamp_counter
    found |= {"TSC": run.now.at_ns + tsc.offset & 2**64 - 1, "TSC_AUX": tsc.aux}
    found |= {f"DR{number}": cpu.debug.read(number) for number in (0, 1, 2, 3, 6, 7)}
    found["MXCSR"] = cpu.read_register("MXCSR")
    vectors = cpu.context.vector_registers
    stride = (len(vectors) - 16) // 15 if len(vectors) > 256 else 16
    for number in range(16):
        found[f"XMM{number}"] = int.from_bytes(vectors[number * stride : number * stride + 16], "little")
    x87 = cpu.context.x87
    found |= {f"ST{n}": int.from_bytes(x87[20 + 16 * n : 30 + 16 * n], "little") for n in range(8)}
    found |= {_MSRS.get(number, f"MSR {number:#x}"): value for number, value in run.machine.msrs.kept.items()}
    found |= {"x87 status": int.from_bytes(x87[4:6], "little"), "x87 control": int.from_bytes(x87[6:8], "little")}
    return found


def register_view(moment: Moment) -> View:
    """Return general registers, flags, segments, tables, control registers, MSRs and vectors."""
    values = register_values(moment.run)
    rows = tuple(_Rows(moment, values).all())
    return View(rows, 0, f"ring {values['CPL']}")


class _Rows:
    def __init__(self, moment: Moment, now: dict[str, int]) -> None:
        self._program = moment.program
        self._physical = translation(moment.machine)
        self._now = now
        self._before = moment.registers_before or now

    def all(self) -> Iterator[Row]:
        now, place = self._now, self._program.place
        yield self._line("RIP", place(now["RIP"]))
        yield self._line("RFLAGS", bits.flags(now["RFLAGS"]))
        for name in GENERAL_REGISTERS:
            yield self._line(name.upper(), place(now[name.upper()]))
        yield title("segments: selector, base, limit, cached descriptor")
        for name in SEGMENT_REGISTERS:
            yield self._segment(name.upper())
        yield title("descriptor tables")
        for name in _TABLES:
            yield self._table(name.upper())
        yield title("control registers")
        for name, words in (("CR0", bits.CR0), ("CR4", bits.CR4), ("EFER", bits.EFER)):
            yield self._line(name, " ".join(bits.names_of(now[name], words)))
        yield self._line("CR2", "address of the last page fault")
        yield self._line("CR3", f"page tables at {now['CR3'] & -4096:#x}")
        yield self._line("CR8", "task priority class")
        yield title("other")
        for name in ("KERNEL_GS_BASE", "TSC", "TSC_AUX", "DR0", "DR1", "DR2", "DR3"):
            yield self._line(name, place(now[name]) if name.startswith("DR") else "")
        yield self._line("DR6", " ".join(bits.names_of(now["DR6"] & 0xE00F, bits.DR6)))
        yield self._line("DR7", " ".join(bits.names_of(now["DR7"] & 0x23FF, bits.DR7)))
        for name in _MSRS.values():
            yield self._line(name, "")
        yield title("vectors and x87")
        for number in range(16):
            yield self._line(f"XMM{number}", "", 32)
        yield self._line("MXCSR", " ".join(bits.names_of(now["MXCSR"], bits.MXCSR)), 8)
        for number in range(8):
            yield self._line(f"ST{number}", "", 20)
        yield self._line("x87 control", "", 4)
        yield self._line("x87 status", "", 4)

    def _line(self, name: str, words: str, digits: int = 16) -> Row:
        value, old = self._now[name], self._before.get(name, self._now[name])
        changed = value != old
        parts: list[Part] = [
            (f"{name:<6}", Meaning.NAME),
            (" *" if changed else "  ", Meaning.CHANGED),
            (f"{value:0{digits}x}", Meaning.CHANGED if changed else Meaning.PLAIN),
        ]
        if words:
            parts.append((f" {words}", Meaning.DIM))
        if changed:
            parts.append((f"  was {old:x}", Meaning.DIM))
        code = value if self._program.is_code(value) else None
        target = Target(code=code, memory=self._memory(value), size=8, register=name.lower())
        return Row(tuple(parts), target)

    def _memory(self, address: int) -> int | None:
        """Return the physical address of a linear one if it is in a region, or None."""
        physical = self._physical(address) if address < 1 << 64 else None
        return physical if physical is not None and self._program.region_at(physical) is not None else None

    def _changed(self, keys: list[str]) -> bool:
        return any(self._now[key] != self._before.get(key, self._now[key]) for key in keys)

    def _segment(self, name: str) -> Row:
        keys = [name, f"{name}.base", f"{name}.limit", f"{name}.flags"]
        changed = self._changed(keys)
        selector, base, limit, flags_word = (self._now[key] for key in keys)
        text = f"{selector:04x} {base:x} {limit:x}"
        words = f" {bits.selector(selector)}; {bits.segment_flags(flags_word)}"
        meaning = Meaning.CHANGED if changed else Meaning.PLAIN
        mark = " *" if changed else "  "
        parts = ((f"{name:<6}", Meaning.NAME), (mark, meaning), (text, meaning), (words, Meaning.DIM))
        return Row(parts, Target(register=name.lower()))

    def _table(self, name: str) -> Row:
        keys = [name, f"{name}.base", f"{name}.limit"]
        changed = self._changed(keys)
        selector, base, limit = (self._now[key] for key in keys)
        meaning = Meaning.CHANGED if changed else Meaning.PLAIN
        words = f" {self._program.place(base)}" + (f" {bits.selector(selector)}" if name in ("LDTR", "TR") else "")
        mark, text = " *" if changed else "  ", f"{base:x} limit {limit:x}"
        parts = ((f"{name:<6}", Meaning.NAME), (mark, meaning), (text, meaning), (words, Meaning.DIM))
        return Row(parts, Target(memory=self._memory(base), pane="tables"))
