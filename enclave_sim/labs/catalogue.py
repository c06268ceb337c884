"""All labs, in the order in which a course takes them."""

from enclave_sim.errors import ConfigurationError
from enclave_sim.labs import boot, breakout, detective, forge, frame, gate, jitter, leak, longmode, payload, sandbox
from enclave_sim.labs.lab import Lab
from enclave_sim.similar import did_you_mean

LABS: tuple[Lab, ...] = (
    boot.LAB,
    longmode.LAB,
    gate.LAB,
    frame.LAB,
    breakout.LAB,
    leak.LAB,
    jitter.LAB,
    forge.LAB,
    payload.LAB,
    sandbox.LAB,
    detective.LAB,
)
"""The number of a lab is its place here, from 1."""


def find_lab(wanted: str) -> Lab:
    """Return a lab by its number or its name. Raises ConfigurationError for an unknown one."""
    for number, lab in enumerate(LABS, 1):
        if wanted in (str(number), lab.name):
            return lab
    names = [lab.name for lab in LABS]
    raise ConfigurationError(
        f"there is no lab {wanted[:80]!r}; {did_you_mean(wanted[:80], names)}there are 1 to {len(LABS)}: "
        f"{', '.join(names)}"
    )


def number_of(lab: Lab) -> int:
    """Return the number of a lab, from 1."""
    return LABS.index(lab) + 1
