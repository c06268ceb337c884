"""The processor: Unicorn, plus what Unicorn leaves out of single instructions.

Unicorn does instructions, segmentation, paging and ring checks. Here are its start in 32-bit protected mode,
the hooks that keep the host out (RDTSC, RDTSCP, CPUID), port I/O with its privilege check, and the state that
the rest of the machine works with.
"""

import ctypes
from collections.abc import Callable
from typing import Any

from unicorn import UC_ARCH_X86, UC_HOOK_INSN, UC_HOOK_MEM_UNMAPPED, UC_MODE_64, UC_PROT_ALL, Uc, x86_const
from unicorn.unicorn_py3.unicorn import uclib

from machine.clock import Clock
from machine.cpuid import cpuid
from machine.device import MMIO_BASE, MMIO_SIZE, Bus
from machine.errors import EmulatorFault, MachineError
from machine.exceptions import ExceptionState
from machine.paging import TranslationCache
from machine.privilege import PrivilegeGate
from machine.ram import PAGE_SIZE, Ram
from machine.registers import RegisterGroup
from machine.step_hook import StepHook, Stop, add_hook
from machine.unicorn_calls import emu_start, engine_handle

EFER = 0xC000_0080
EFER_LMA = 1 << 10
CR0_PE, CR0_PG = 1, 1 << 31
CR4_PAE = 1 << 5
FLAG_TF, FLAG_IF, FLAG_NT, FLAG_RF, FLAG_VM = 1 << 8, 1 << 9, 1 << 14, 1 << 16, 1 << 17
_IO_PERMISSION_BASE = 102
_void, _u64, _u32 = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32
_FETCH_UNMAPPED = 21
_STOPS = tuple(Stop)


class Cpu:
    """One x86-64 processor on a RAM and a bus.

    After each `execute` the attributes `rip`, `rsp`, `rflags`, `rax` and `cs` hold the processor's values.
    """

    def __init__(self, ram: Ram, bus: Bus, ns_per_instruction: int = 1, *, portable: bool = False) -> None:
        self.ram = ram
        self.bus = bus
        self.uc = Uc(UC_ARCH_X86, UC_MODE_64)
        self.uc.ctl_set_cpu_model(x86_const.UC_CPU_X86_QEMU64)  # the default has RDRAND, which asks the host
        self.uc.ctl_exits_enabled(True)  # and none set: looking up an end address would raise page faults
        self._handle = self.uc._uch
        self._engine = engine_handle(self.uc)
        self.hook = StepHook(self.uc, portable=portable)
        self.state = self.hook.state
        self.exceptions = ExceptionState(self.uc, self.state)
        self.clock = Clock(self.state, ns_per_instruction)
        self.translations = TranslationCache(ram)
        self.privilege_gate = PrivilegeGate(self.uc, self.state)
        self.port_fault = False
        """An IN or OUT was refused; it has to be undone and raised as #GP."""
        self._failure: BaseException | None = None
        self._running = RegisterGroup(self.uc, ["RIP", "RSP", "RFLAGS", "RAX", "CS"])
        self._completed = RegisterGroup(self.uc, ["RIP", "RAX", "RCX", "RDI"])
        self._rax = RegisterGroup(self.uc, ["RAX"])
        self._rax_before_port = 0
        self.rip = self.rsp = self.rflags = self.rax = self.cs = 0
        self.efer = 0
        """As of the last system instruction."""
        self._callbacks: list[object] = []
        self.uc.mem_map_ptr(0, ram.size, UC_PROT_ALL, ram.host_address)
        self._map_devices(MMIO_BASE, MMIO_SIZE)
        self._hook_instructions()

    def execute(self) -> Stop:
        """Run until something has to be done, and say what. Raises what a device raised."""
        self.state.reason = Stop.HALT
        status = emu_start(self._engine, self.rip, 0, 0, 0)
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        self.rip, self.rsp, self.rflags, self.rax, self.cs = self._running.read()
        if status:
            raise EmulatorFault(f"Unicorn error {status} at rip {self.rip:#x}")
        return _STOPS[self.state.reason]

    def read_register(self, name: str) -> int:
        """Any register by its manual name; EFER is one of them. Slow: for inspection and rare events."""
        if name == "EFER":
            return int(self.uc.msr_read(EFER))
        value = self.uc.reg_read(getattr(x86_const, f"UC_X86_REG_{name}"))
        return value if isinstance(value, int) else int(value[1])

    def write_register(self, name: str, value: int) -> None:
        """Set a register by its manual name. RIP, RSP, RFLAGS and RAX stay in step."""
        self.uc.reg_write(getattr(x86_const, f"UC_X86_REG_{name}"), value)
        if name in ("RIP", "RSP", "RFLAGS", "RAX"):
            setattr(self, name.lower(), value)

    def read_table_register(self, name: str) -> tuple[int, int, int]:
        """Selector, base and limit of GDTR, IDTR, LDTR or TR."""
        selector, base, limit, _ = self.uc.reg_read(getattr(x86_const, f"UC_X86_REG_{name}"))
        return selector, base, limit

    def in_64_bit_code(self) -> bool:
        """Whether the code segment's descriptor says 64-bit code (its L bit)."""
        _, base, _ = self.read_table_register("GDTR")
        descriptor = self.translations.read(base + (self.read_register("CS") & ~7), 8)
        return descriptor is not None and bool(descriptor[6] & 0x20)

    def complete_instruction(self, length: int, rax: int, rcx: int, rdi: int) -> None:
        """Retire the instruction at RIP, which was executed by other means, with these results."""
        state = self.state
        state.last, self.rip = self.rip, self.rip + length
        state.next = self.rip
        state.retired += 1
        self.rax = rax
        self._completed.values[:] = [self.rip, rax, rcx, rdi]
        self._completed.write()

    def flush_translations(self) -> None:
        """Follow a change of CR0, CR3, CR4 or EFER."""
        self.efer = self.read_register("EFER")
        paging = self.read_register("CR0") & CR0_PG
        self.translations.flush(self.read_register("CR3") if paging else None)
        self.hook.forget_instructions()

    def enter_protected_mode(self, entry: int) -> None:
        """Start at `entry` in 32-bit protected mode with flat segments, paging and interrupts off.

        Long mode is left only by clearing CR0.PG while EFER.LMA is set, so that is what happens first.
        """
        uc = self.uc
        self.write_register("CR4", CR4_PAE)
        self.write_register("CR0", CR0_PG | CR0_PE | 0x10)
        self.write_register("CR0", CR0_PE | 0x10)
        uc.msr_write(EFER, 0)
        self.write_register("CR4", 0)
        for name in ("DS", "ES", "SS"):
            self.write_register(name, 0x10)
        self.write_register("CS", 0x08)
        self.write_register("RFLAGS", 2)
        self.write_register("RIP", entry)
        self.state.cpl = 0
        self.flush_translations()

    def take_back_fault(self) -> None:
        """The instruction at RIP faulted: if it was begun (and not only fetched), it did not retire."""
        if self.rip == self.state.last:
            self.state.retired -= 1

    def undo_port_access(self) -> None:
        """Take back a refused IN or OUT: it did not retire."""
        self.port_fault = False
        self.state.retired -= 1
        self.write_register("RIP", self.state.last)
        self.write_register("RAX", self._rax_before_port)

    # Hooks. A Python error in one cannot pass through Unicorn: it is kept, and raised by `execute`.

    def _callback(self, prototype: Any, function: Callable[..., Any]) -> Any:
        def guarded(*arguments: Any) -> Any:
            try:
                return function(*arguments)
            except BaseException as error:  # noqa: BLE001 - raised again by execute()
                self._fail(error)
                return 0

        callback = prototype(guarded)
        self._callbacks.append(callback)
        return callback

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self.clock.stop()

    def _hook_instructions(self) -> None:
        answers = ctypes.CFUNCTYPE(ctypes.c_int, _void, _void)
        port_in = ctypes.CFUNCTYPE(_u32, _void, _u32, ctypes.c_int, _void)
        port_out = ctypes.CFUNCTYPE(None, _void, _u32, ctypes.c_int, _u32, _void)
        for number, prototype, function in (
            (x86_const.UC_X86_INS_RDTSC, answers, self._on_rdtsc),
            (x86_const.UC_X86_INS_RDTSCP, answers, self._on_rdtscp),
            (x86_const.UC_X86_INS_CPUID, answers, self._on_cpuid),
            (x86_const.UC_X86_INS_IN, port_in, self._on_in),
            (x86_const.UC_X86_INS_OUT, port_out, self._on_out),
        ):
            add_hook(self.uc, UC_HOOK_INSN, self._callback(prototype, function), instruction=number)
        unmapped = ctypes.CFUNCTYPE(ctypes.c_bool, _void, ctypes.c_int, _u64, ctypes.c_int, ctypes.c_int64, _void)
        add_hook(self.uc, UC_HOOK_MEM_UNMAPPED, self._callback(unmapped, self._on_unmapped))

    def _map_devices(self, address: int, size: int) -> None:
        reads = ctypes.CFUNCTYPE(_u64, _void, _u64, ctypes.c_uint, _void)
        writes = ctypes.CFUNCTYPE(None, _void, _u64, ctypes.c_uint, _u64, _void)
        read = self._callback(reads, self._on_mmio_read if address == MMIO_BASE else _floating)
        write = writes(self._on_mmio_write if address == MMIO_BASE else _ignore)
        self._callbacks.append(write)
        status = uclib.uc_mmio_map(
            self._handle,
            address,
            size,
            ctypes.cast(read, _void),
            None,
            ctypes.cast(write, _void),
            None,
        )
        if status:
            raise MachineError(f"cannot map devices at {address:#x}: Unicorn error {status}")

    def _on_mmio_read(self, _uc: int, offset: int, size: int, _user: int) -> int:
        return self.bus.read_memory(offset, size)

    def _on_mmio_write(self, _uc: int, offset: int, size: int, value: int, _user: int) -> None:
        try:  # here and not around, because this is the hottest of all callbacks
            self.bus.write_memory(offset, size, value)
        except BaseException as error:  # noqa: BLE001 - raised again by execute()
            self._fail(error)

    def _on_unmapped(self, _uc: int, access: int, address: int, _size: int, _value: int, _user: int) -> bool:
        if access == _FETCH_UNMAPPED:
            return False
        self._map_devices(address & -PAGE_SIZE, PAGE_SIZE)
        return True

    def _on_rdtsc(self, _uc: int, _user: int) -> int:
        now = self.clock.now_ns
        self.uc.reg_write(x86_const.UC_X86_REG_RAX, now & 0xFFFF_FFFF)
        self.uc.reg_write(x86_const.UC_X86_REG_RDX, now >> 32 & 0xFFFF_FFFF)
        return 1

    def _on_rdtscp(self, uc: int, user: int) -> int:
        self.uc.reg_write(x86_const.UC_X86_REG_RCX, 0)  # IA32_TSC_AUX
        return self._on_rdtsc(uc, user)

    def _on_cpuid(self, _uc: int, _user: int) -> int:
        leaf = self.uc.reg_read(x86_const.UC_X86_REG_EAX)
        for name, value in zip(("RAX", "RBX", "RCX", "RDX"), cpuid(leaf), strict=True):
            self.uc.reg_write(getattr(x86_const, f"UC_X86_REG_{name}"), value)
        return 1

    def _on_in(self, _uc: int, port: int, size: int, _user: int) -> int:
        if self.state.cpl and not self._may_use_port(port, size):
            return self._refuse_port()
        return self.bus.read_port(port, size)

    def _on_out(self, _uc: int, port: int, size: int, value: int, _user: int) -> None:
        if self.state.cpl and not self._may_use_port(port, size):
            self._refuse_port()
        else:
            self.bus.write_port(port, size, value & (1 << 8 * size) - 1)

    def _refuse_port(self) -> int:
        self._rax_before_port = self._rax.read()[0]
        self.port_fault = True
        self.clock.stop()
        return 0

    def _may_use_port(self, port: int, size: int) -> bool:
        """IOPL, then the I/O permission bitmap of the TSS (SDM volume 1, 19.5)."""
        flags = self.read_register("RFLAGS")
        if self.state.cpl <= flags >> 12 & 3:
            return True
        _, base, limit, _ = self.uc.reg_read(x86_const.UC_X86_REG_TR)
        offset = self.translations.read(base + _IO_PERMISSION_BASE, 2)
        if offset is None:
            return False
        start = int.from_bytes(offset, "little") + port // 8
        if start + 1 > limit:
            return False
        bitmap = self.translations.read(base + start, 2)
        wanted = (1 << size) - 1 << port % 8
        return bitmap is not None and not int.from_bytes(bitmap, "little") & wanted


def _ignore(_uc: int, _offset: int, _size: int, _value: int, _user: int) -> None:
    pass


def _floating(_uc: int, _offset: int, size: int, _user: int) -> int:
    return (1 << 8 * size) - 1
