"""Pull the tamper line while the enclave sleeps, and watch it erase itself."""

from enclave_sim import Enclave
from enclave_sim.events import AnnihilationStep
from enclave_sim.inputs import AfterEvent, Tamper

pulled = Tamper(at_ns=250_000, after=AfterEvent("wake_scheduled"))
enclave = Enclave("counter", cycles=3, inputs=[pulled])
result = enclave.run()
print(result.outcome, "in cycle", result.cycles)
for step in enclave.recording.of_kind(AnnihilationStep):
    print(step.step, step.meaning)
