"""Boot phase by phase, and see how far the processor has come."""

from enclave_sim import Enclave, Phase

enclave = Enclave("beacon")
for phase in Phase:
    enclave.run_to(phase)
    machine = enclave.machine
    print(f"{phase.name:10}  {phase.target_state:19}  {machine.clock.now_ns:>9,} ns  {machine.mode} mode")
