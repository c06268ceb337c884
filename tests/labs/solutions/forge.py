"""The solution of lab `forge`: the commands of the page with one change each, and what verify-evidence then prints."""

import json
import re
from functools import cache
from pathlib import Path

from firmware import built_in
from tests.enclave_sim.cli.command import command
from tests.labs.solutions.solution import Files, Solution, Workplace, Wrong, answer, toml

CHANGES = {
    "stale": ("--nonce", "OLD"),
    "repeated": (),
    "payload": ("PAYLOAD", "counter"),
    "options": ("--quantum-ns", "9ms"),
    "cycle": ("--cycle", "1"),
    "machine": ("--tpm", "model:other"),
    "kernel": ("--firmware", "changed.elf"),
}


def challenge(place: Workplace) -> tuple[list[str], str, str]:
    """Return the options of honest evidence, the nonce, and the old nonce."""
    ((options, nonce),) = re.findall(r"enclave-sim attest (.*) --nonce ([0-9a-f]{64}) ", place.page)
    (old,) = re.findall(r"whose nonce was ([0-9a-f]{64})", place.page)
    return options.split(), nonce, old


def evidence(place: Workplace, *change: str) -> bytes:
    options, nonce, old = challenge(place)
    payload, *others = options
    if change[:1] == ("PAYLOAD",):
        payload, change = change[1], ()
    if change[:1] == ("--nonce",):
        nonce, change = old if change[1] == "OLD" else change[1], ()
    return _attested(place.directory, payload, (*others, "--nonce", nonce, *_placed(place.directory, change)))


def _placed(directory: Path, change: tuple[str, ...]) -> tuple[str, ...]:
    if change[:1] == ("--tpm",):
        return ("--tpm", f"model:{directory / 'other.tpm'}")
    if change[:1] == ("--firmware",):
        image = directory / "changed.elf"
        image.write_bytes(built_in().image.replace(b"COMPLETED\0", b"COMPLETEX\0"))
        return ("--firmware", str(image))
    return change


@cache
def _attested(directory: Path, payload: str, options: tuple[str, ...]) -> bytes:
    file = directory / "made.eat"
    assert command("attest", payload, *options, "-o", file).code == 0
    return file.read_bytes()


def edited(place: Workplace) -> bytes:
    honest = evidence(place)
    return honest[:-1] + bytes([honest[-1] ^ 1])


def failed(place: Workplace, data: bytes, *options: str) -> list[str]:
    file, reference = place.directory / "checked.eat", place.directory / "reference.json"
    file.write_bytes(data)
    reference.write_bytes(place.start["reference.json"])
    nonce = challenge(place)[1]
    printed = command("verify-evidence", file, "--nonce", nonce, "--reference", reference, "--json", *options).output
    return [one["name"] for one in json.loads(printed)["checks"] if not one["passed"]]


def solve(place: Workplace) -> Files:
    found = {name: evidence(place, *change) for name, change in CHANGES.items()} | {"edited": edited(place)}
    answers = {name: {"failed": failed(place, data)} for name, data in found.items()}
    assert answers["repeated"]["failed"] == []
    answers["repeated"]["failed"] = ["freshness"]
    return {"answers.toml": toml(answers), **{f"{name}.eat": data for name, data in found.items()}}


def with_file(name: str, made: str, change: tuple[str, ...], message: str) -> Wrong:
    return Wrong(name, lambda files, place: {**files, f"{made}.eat": evidence(place, *change)}, message)


SOLUTION = Solution(
    solve,
    (
        with_file("honest evidence", "payload", (), "it is no forgery yet"),
        with_file("the new nonce", "stale", (), "It answers the new challenge"),
        with_file("any nonce", "stale", ("--nonce", "00" * 32), "a challenge that is not yours"),
        with_file("two changes", "options", ("--cycle", "1"), "fails another check than 'configuration'"),
        Wrong("no evidence", lambda files, _place: {**files, "edited.eat": b"forged"}, "is not an evidence file"),
        answer("the quotes forgotten", "stale.failed", lambda _: ["nonce"], "More checks fail than these"),
        answer("one quote only", "machine.failed", lambda _: ["quote 1 AK known"], "More checks fail than these"),
        answer("too many", "kernel.failed", lambda _: ["kernel image", "payloads"], "Some of these pass"),
    ),
)
