"""`--at` takes a link or a time; anything else, and a link to another run, is one line."""

import pytest

from enclave_sim.cli.options.place import go_to_place
from enclave_sim.time_travel import Session, link_to_here
from enclave_sim.time_travel.position import NoSuchPosition
from tests.enclave_sim.cli.command import assert_refused, command


@pytest.mark.parametrize("name", ["inspect", "gdb"])
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("enclave-sim:1", "the link has '' where"),
        ("enclave-sim:x?a=b", "the link's position is 'x'"),
        ("x", "'x' is not a time"),
    ],
)
def test_what_is_no_place_is_refused(name: str, place: str, words: str) -> None:
    assert_refused(command(name, "counter", "--at", place), "--at", words)


def test_gdb_refuses_a_link_to_another_run_and_a_time_after_the_end() -> None:
    session = Session("counter", cycles=2)
    session.run_to(event="host_called")
    link = str(link_to_here(session))
    assert_refused(command("gdb", "counter", "--cycles", "3", "--at", link), "its cycles is 2, and here 3")
    assert_refused(command("gdb", "counter", "--at", "1h"), "the run ends")
    assert_refused(command("gdb", "--script", "--at", "1ms"), "--script takes no")


def test_a_time_and_no_place() -> None:
    session = Session("counter", cycles=2)
    go_to_place(session, None)
    assert session.now.at_ns == 0
    go_to_place(session, 1_000_000)
    assert session.now.at_ns >= 1_000_000
    with pytest.raises(NoSuchPosition):
        go_to_place(session, 1 << 60)
