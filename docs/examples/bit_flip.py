"""Flip a bit of unused memory: nothing erases it, and zero trace finds it and who wrote it."""

from enclave_sim.guarantees import observe, zero_trace
from enclave_sim.inputs import MemoryFault

flip = MemoryFault(at_ns=500_000, address=0x30_0000, bits=1)
report = zero_trace([observe("counter", inputs=[flip])])
print(report.verdict)
for finding in report.findings:
    print(finding.what, *finding.evidence, sep="\n  ")
