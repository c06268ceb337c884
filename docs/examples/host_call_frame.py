"""Stop at the first host call, and read the frame that the processor has pushed."""

from enclave_sim.time_travel import Session

session = Session("counter")
session.run_to(symbol="host_call_entry")
machine = session.enclave.machine
frame = machine.ram.read(machine.cpu.registers.rsp, 5 * 8)
for number, name in enumerate(("RIP", "CS", "RFLAGS", "RSP", "SS")):
    print(f"{name:6} {int.from_bytes(frame[8 * number : 8 * number + 8], 'little'):#x}")
