"""The content of memory and registers at power-on, and who put it there."""

from typing import Any

from enclave_sim.enclave.enclave import Enclave
from enclave_sim.time_travel.navigation.provenance.answers import End, Ending
from enclave_sim.time_travel.navigation.provenance.places import Place
from enclave_sim.time_travel.timeline.timeline import Timeline


def at_power_on(timeline: Timeline[Any], place: Place) -> list[tuple[Place, Ending]]:
    """Return what bytes were at power-on.

    Args:
        timeline: The run.
        place: Bytes that nothing has written since.

    Returns:
        Their parts, each with its end.
    """
    if not place.in_memory:
        return [(place, Ending(End.POWER_ON, f"{place.space} as the loader left it"))]
    found: list[tuple[Place, Ending]] = []
    rest = [place]
    for known, ending in _loaded(timeline):
        for one in list(rest):
            common = one.common(known)
            if common is not None:
                text = f"{ending.text}, byte {common.start - known.start:#x}"
                found.append((common, Ending(ending.kind, text)))
                rest.remove(one)
                rest += one.without(known)
    found += [(one, Ending(End.POWER_ON, "zero")) for one in rest]
    return sorted(found)


def _loaded(timeline: Timeline[Any]) -> list[tuple[Place, Ending]]:
    """Return what the loader has put into RAM."""
    subject = timeline.subject
    loaded = subject.loaded
    payloads = len(subject.payloads) if isinstance(subject, Enclave) else 0
    found = []
    for number, (base, size) in enumerate(loaded.modules):
        ending = Ending(End.BOOT_IMAGE, f"module {number}")
        if payloads:
            payload = Ending(End.PAYLOAD, f"payload {number}")
            ending = payload if number < payloads else Ending(End.BOOT_IMAGE, "the trust anchors")
        found.append((Place("memory", base, size), ending))
    base, size = loaded.information
    found.append((Place("memory", base, size), Ending(End.BOOT_IMAGE, "the boot information")))
    for number, one in enumerate(loaded.executable.segments):
        ending = Ending(End.BOOT_IMAGE, f"segment {number} at {one.physical:#x}")
        found.append((Place("memory", one.physical, len(one.data)), ending))
    return found
