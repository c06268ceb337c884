"""The solution of lab `detective`: from the emission back, then forwards with a watchpoint."""

from functools import cache

from enclave_sim.time_travel import Session
from tests.enclave_sim.cli.command import command
from tests.labs.solutions.solution import Files, Solution, Workplace, answer, toml


@cache
def investigated(code: bytes) -> dict[str, dict[str, int]]:
    session = Session(code, engine="native", attestation="off")
    session.run_to(event="host_called")
    address = int.from_bytes(code[3:7], "little")  # mov dword [address], expected
    write = session.last_write(address, 4)
    assert write is not None
    assert write.rip is not None
    session.go_to(write.position)
    session.back()
    before = word(session, address)
    watched = Session(code, engine="native", attestation="off")
    watched.run_to(address=0x400000)
    watched.add_watchpoint(address, 4)
    watched.resume()
    right_ns, expected = watched.now.at_ns, word(watched, address)
    watched.resume()
    first = {
        "at_ns": watched.now.at_ns,
        "round": watched.machine.cpu.registers.rbx,
        "value": word(watched, address),
    }
    return {
        "scene": {"address": address, "expected": expected},
        "culprit": {"rip": write.rip, "at_ns": write.position.at_ns, "before": before},
        "first": first,
        "more": {"right_ns": right_ns, "rounds": int.from_bytes(code[12:16], "little")},
    }


def word(session: Session, address: int) -> int:
    return int.from_bytes(session.machine.ram.read(address, 4), "little")


def facts(place: Workplace) -> dict[str, dict[str, int]]:
    return investigated(place.start["guest.bin"])


def solve(place: Workplace) -> Files:
    recording = place.directory / "accident.jsonl"
    recording.write_bytes(place.start["accident.jsonl"])
    assert command("replay", recording).code == 0
    return {"answers.toml": toml({name: values for name, values in facts(place).items() if name != "more"})}


def signal(place: Workplace) -> int:
    return int(place.page.split("It emitted ")[1].split(".")[0], 16)


SOLUTION = Solution(
    solve,
    (
        answer("the table", "scene.address", lambda place: facts(place)["scene"]["address"] - 64, "the table begins"),
        answer("what was emitted", "scene.expected", signal, "That was emitted"),
        answer("the first store", "culprit.rip", lambda _: 0x400000, "comes first, and is right"),
        answer("the function", "culprit.rip", lambda place: facts(place)["culprit"]["rip"] - 5, "its function begins"),
        answer("the first accident", "culprit.at_ns", lambda place: facts(place)["first"]["at_ns"], "not for the last"),
        answer("the value after", "culprit.before", signal, "the value after the write"),
        answer("the right store", "first.at_ns", lambda place: facts(place)["more"]["right_ns"], "the right value was"),
        answer(
            "counting upwards",
            "first.round",
            lambda place: facts(place)["more"]["rounds"] - facts(place)["first"]["round"],
            "EBX counts down",
        ),
    ),
)
