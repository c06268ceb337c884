"""The option `--at`: a link to a position of a run, or a virtual time."""

from typing import TYPE_CHECKING, Any

from enclave_sim.cli.command import option
from enclave_sim.cli.options.types import Parsed
from enclave_sim.times import nanoseconds

if TYPE_CHECKING:
    from enclave_sim.time_travel.link import Link
    from enclave_sim.time_travel.travel import Travel

_SCHEME = "enclave-sim:"


def _place(text: str) -> "Link | int":
    if not text.strip().startswith(_SCHEME):
        return nanoseconds(text)
    from enclave_sim.time_travel.link import Link  # noqa: PLC0415 - unicorn and wasmtime take 100 ms

    return Link.parse(text)


at = option(
    "--at",
    type=Parsed(_place, "place"),
    metavar="PLACE",
    help="Begin at a link (enclave-sim:...), or at a virtual time, such as 1.2ms.",
    heading="Links",
)


def go_to_place(run: "Travel[Any]", place: "Link | int | None") -> None:
    """Go to the place that `--at` names, if it is given.

    Args:
        run: A run at its beginning.
        place: A link, a virtual time in ns, or None.

    Raises:
        LinkError: The link belongs to another run.
        NoSuchPosition: The run ends before that time.
    """
    from enclave_sim.time_travel.link import Link, follow_link  # noqa: PLC0415 - as above

    if isinstance(place, Link):
        follow_link(run, place)
    elif place is not None:
        run.run_to(at_ns=place)
