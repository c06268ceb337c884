"""Registers, with what changed since the last stop, and bits in words."""

from collections.abc import Iterator

from enclave_sim.inspector.model import bits
from enclave_sim.inspector.model.moment import Moment
from enclave_sim.inspector.model.rows import Meaning, Part, Row, Target, View, title
from enclave_sim.inspector.model.symbols import place
from enclave_sim.memory_map import region_at
from enclave_sim.time_travel import Session
from machine import msrs
from machine.processor_state import GENERAL_REGISTERS, SEGMENT_REGISTERS

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


def register_values(session: Session) -> dict[str, int]:
    """Every register by name: what the manual calls state, the hidden part of segment registers included."""
    cpu = session.enclave.machine.cpu
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
    found |= {f"CR{number}": state.cr[number] for number in (0, 2, 3, 4)}
    found["CR8"] = session.enclave.machine.local_apic.cr8
    found |= {"EFER": state.efer, "KERNEL_GS_BASE": cpu.context.kernel_gs_base}
    found |= {"TSC": session.now.at_ns + cpu.tsc_offset & 2**64 - 1, "TSC_AUX": cpu.tsc_aux}
    found |= {f"DR{number}": cpu.debug.read(number) for number in (0, 1, 2, 3, 6, 7)}
    found["MXCSR"] = cpu.read_register("MXCSR")
    vectors = cpu.context.vector_registers
    stride = (len(vectors) - 16) // 15 if len(vectors) > 256 else 16
    for number in range(16):
        found[f"XMM{number}"] = int.from_bytes(vectors[number * stride : number * stride + 16], "little")
    x87 = cpu.context.x87
    found |= {f"ST{n}": int.from_bytes(x87[20 + 16 * n : 30 + 16 * n], "little") for n in range(8)}
    found |= {
        _MSRS.get(number, f"MSR {number:#x}"): value for number, value in session.enclave.machine.msrs.kept.items()
    }
    found |= {"x87 status": int.from_bytes(x87[4:6], "little"), "x87 control": int.from_bytes(x87[6:8], "little")}
    return found


def register_view(moment: Moment) -> View:
    """General registers first, then flags, segments, tables, control registers, MSRs, vectors."""
    values = register_values(moment.run)
    rows = list(_rows(values, moment.registers_before or values))
    return View(tuple(rows), 0, f"ring {values['CPL']}")


def _rows(now: dict[str, int], before: dict[str, int]) -> Iterator[Row]:
    yield _line(now, before, "RIP", place(now["RIP"]))
    yield _line(now, before, "RFLAGS", bits.flags(now["RFLAGS"]))
    for name in GENERAL_REGISTERS:
        yield _line(now, before, name.upper(), place(now[name.upper()]))
    yield title("segments: selector, base, limit, cached descriptor")
    for name in SEGMENT_REGISTERS:
        yield _segment(now, before, name.upper())
    yield title("descriptor tables")
    for name in _TABLES:
        yield _table(now, before, name.upper())
    yield title("control registers")
    for name, words in (("CR0", bits.CR0), ("CR4", bits.CR4), ("EFER", bits.EFER)):
        yield _line(now, before, name, " ".join(bits.names_of(now[name], words)))
    yield _line(now, before, "CR2", "address of the last page fault")
    yield _line(now, before, "CR3", f"page tables at {now['CR3'] & -4096:#x}")
    yield _line(now, before, "CR8", "task priority class")
    yield title("other")
    for name in ("KERNEL_GS_BASE", "TSC", "TSC_AUX", "DR0", "DR1", "DR2", "DR3"):
        yield _line(now, before, name, place(now[name]) if name.startswith("DR") else "")
    yield _line(now, before, "DR6", " ".join(bits.names_of(now["DR6"] & 0xE00F, bits.DR6)))
    yield _line(now, before, "DR7", " ".join(bits.names_of(now["DR7"] & 0x23FF, bits.DR7)))
    for name in _MSRS.values():
        yield _line(now, before, name, "")
    yield title("vectors and x87")
    for number in range(16):
        yield _line(now, before, f"XMM{number}", "", 32)
    yield _line(now, before, "MXCSR", " ".join(bits.names_of(now["MXCSR"], bits.MXCSR)), 8)
    for number in range(8):
        yield _line(now, before, f"ST{number}", "", 20)
    yield _line(now, before, "x87 control", "", 4)
    yield _line(now, before, "x87 status", "", 4)


def _line(now: dict[str, int], before: dict[str, int], name: str, words: str, digits: int = 16) -> Row:
    value, old = now[name], before.get(name, now[name])
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
    return Row(tuple(parts), _target(value))


def _segment(now: dict[str, int], before: dict[str, int], name: str) -> Row:
    keys = [name, f"{name}.base", f"{name}.limit", f"{name}.flags"]
    changed = any(now[key] != before.get(key, now[key]) for key in keys)
    selector, base, limit, flags_word = (now[key] for key in keys)
    text = f"{selector:04x} {base:x} {limit:x}"
    words = f" {bits.selector(selector)}; {bits.segment_flags(flags_word)}"
    meaning = Meaning.CHANGED if changed else Meaning.PLAIN
    mark = " *" if changed else "  "
    return Row(((f"{name:<6}", Meaning.NAME), (mark, meaning), (text, meaning), (words, Meaning.DIM)))


def _table(now: dict[str, int], before: dict[str, int], name: str) -> Row:
    keys = [name, f"{name}.base", f"{name}.limit"]
    changed = any(now[key] != before.get(key, now[key]) for key in keys)
    selector, base, limit = (now[key] for key in keys)
    meaning = Meaning.CHANGED if changed else Meaning.PLAIN
    words = f" {place(base)}" + (f" {bits.selector(selector)}" if name in ("LDTR", "TR") else "")
    parts = ((f"{name:<6}", Meaning.NAME), (" *" if changed else "  ", meaning), (f"{base:x} limit {limit:x}", meaning))
    return Row(
        (*parts, (words, Meaning.DIM)), Target(memory=base, pane="tables") if region_at(base) else Target(pane="tables")
    )


def _target(value: int) -> Target:
    where = region_at(value)
    if where is None:
        return Target()
    return Target(code=value if "x" in where.rights else None, memory=value, size=8)
