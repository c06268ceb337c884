"""Native code of the guest engines, built by `python -m enclave_sim.enclave.engine.native.build`."""

PACKAGE = __name__
ENTRY_POINTS = {"guest_slices": ("run_slices",)}
"""Functions by the name of their source, in the order of their offsets in the blob."""
