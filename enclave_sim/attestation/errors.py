"""The one error of this package."""

from enclave_sim.errors import ConfigurationError


class EvidenceError(ConfigurationError):
    """Bytes that are not what they should be: one line saying which field, at which offset, and what would be right."""
