"""Boot once, and start many runs from there, each woken at another time."""

from enclave_sim import Template
from enclave_sim.events import Woken
from enclave_sim.inputs import AfterEvent, ExternalInterrupt

booted = Template("counter", cycles=2)
for delay_ns in (100_000, 300_000, 2_000_000):
    early = ExternalInterrupt(at_ns=delay_ns, after=AfterEvent("wake_scheduled"))
    enclave = booted.start(inputs=[early])
    result = enclave.run()
    woken = enclave.recording.of_kind(Woken)[0]
    print(f"{delay_ns:>9,} ns: woken by {woken.source:8} {result.outcome}")
