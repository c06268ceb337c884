"""Mistakes in a command line: one line in our own words; common help of all commands."""

import inspect
import re
from pathlib import Path

import click
import pytest

from enclave_sim.cli.exit_codes import _OF_OUTCOME, ExitCode
from enclave_sim.enclave.kernel.program import aether
from enclave_sim.errors import ConfigurationError
from enclave_sim.inspector.actions.goals import read_address
from enclave_sim.recording.format import BEGINNING
from enclave_sim.time_travel import Session
from tests.enclave_sim.cli.command import assert_refused, command, commands

COMMANDS = dict(commands())


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("rnu", "there is no command 'rnu'; did you mean run? there are run, verify, "),
        ("payload showw", "there is no command 'showw'; did you mean show? there are compile, "),
        ("run --cylces 3", "there is no option --cylces; did you mean --cycles? see enclave-sim run --help"),
        ("verify --ns-per-instruction 3", "there is no option --ns-per-instruction; see enclave-sim verify --help"),
        ("run -z", "there is no option -z; see enclave-sim run --help"),
        ("run --cycles", "--cycles needs a value: --cycles N: Number of cycles to run; see"),
        ("events x --between 1ms", "--between needs 2 values: --between TIME TIME: Only events from one "),
        ("run --json=1", "--json takes no value; see"),
        ("run --cycles many", "--cycles: 'many' is not a whole number (such as 1000000, 1_000_000 or 0xF4240); see"),
        ("beacon", "there is no command 'beacon'; did you mean run beacon? there are run, "),
        ("becon", "there is no command 'becon'; did you mean run beacon? there are run, "),
        ("surveyor", "there is no command 'surveyor'; did you mean run surveyor --engine native? there are run, "),
        ("payload beacon", "there is no command 'beacon'; there are compile, "),
        ("run --engine quick", "--engine: 'quick' is not one of wasmtime, resident, native; see"),
        ("run --engine natve", "--engine: 'natve' is not one of wasmtime, resident, native; did you mean native? see"),
        ("completion bsh", "bash|zsh|fish: 'bsh' is not one of bash, zsh, fish; did you mean bash? see"),
        ("payload verify x --anchor y", "there is no option --anchor; did you mean --trust-anchor? see "),
        ("run --feature smd", "unknown WebAssembly feature 'smd'; did you mean simd? there are "),
        ("run --arena-bytes 600000", "--arena-bytes is 600000; it must be 0 to 524288, the bytes of its region"),
        ("run --wake-ns 1m", "--wake-ns: '1m' is not a time such as 10s or 1.5ms; units are ns, us, ms, s, min, h"),
        ("run --limit-ns 0", "--limit-ns: '0' is not a time of at least 1 ns"),
        ("gdb --port 70000", "--port: '70000' is not a whole number from 0 to 65535"),
        ("diff a", "B is missing: Another recording; see enclave-sim diff --help"),
        ("diff a b c", "argument 'c' is one too many; see"),
        ("verify-evidence x", "--nonce HEX is missing: The verifier's nonce: 32 bytes in hexadecimal; see"),
        ("verify-evidence x --nonce 00 --reference y", "--nonce: '00' is not 32 bytes in hexadecimal; see"),
        ("boot", "IMAGE is missing: ELF file, or flat image with load addresses in its header; see"),
        ("run becon", "no payload 'becon': neither a file nor built in; did you mean beacon? there are abyss, "),
        ("run surveyor", "surveyor is a flat x86-64 guest, which needs engine native (--engine native)\n"),
        ("run beacon --engine native", "beacon is a WebAssembly module, which needs engine wasmtime"),
        ("run --inputs=", "--inputs: '' is not the name of a file; see"),
        ("firmware build nowhere", "there is no directory nowhere; enclave-sim firmware new makes one\n"),
        (f"attest --nonce {'0' * 64} --cycle -1 -o x", "--cycle: '-1' is not a whole number of at least 0 (such as"),
        ("run --wake-ns 0", "--wake-ns is 0 ns; it must be 1000 to 4294967280 ns\n"),
        ("run --sensor0 -1", "--sensor0 is -1; it must be 0 to 4294967295\n"),
        ("inspect --arena-bytes -1", "--arena-bytes is -1; it must be 0 to "),
        ("gdb --cycles 0", "--cycles is 0; it must be 1 to "),
        ("verify --runs 1", "--runs is 1; it takes at least 2 to compare\n"),
        ("verify --limit-ns 0", "--limit-ns: '0' is not a time of at least 1 ns"),
        ("run --engine native --production", "--engine is native, which has no signature"),
        ("run --trace-memory heap", "--trace-memory is for --record, which writes its events to a file\n"),
        ("provenance --of rax --depth 0", "--depth: '0' is not a whole number of at least 1 (such as 1000000, "),
        ("provenance --of heap --bytes 0", "--bytes: '0' is not a whole number from 1 to 4096; see "),
        ("events x --cycle -1", "--cycle: '-1' is not a whole number of at least 0 (such as"),
    ],
)
def test_a_mistake_is_one_line_that_says_where_it_is_and_what_would_be_right(words: str, error: str) -> None:
    ended = command(*words.split())
    assert_refused(ended)
    assert ended.error.startswith(f"error: {error}")


def test_a_misspelt_choice_of_schema_has_the_one_that_was_meant() -> None:
    assert_refused(
        command("schema", "verifyy"), "COMMAND: 'verifyy' is not one of run, verify, ", "; did you mean verify? see"
    )


@pytest.mark.parametrize(
    ("start", "meant"), [(b"\0asm", "run"), (b"\x7fELF", "boot"), (BEGINNING, "replay"), (b"\0\0\0\0", "")]
)
def test_a_file_without_a_command_has_the_command_that_was_meant(start: bytes, meant: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(start)
    hint = f"did you mean {meant} {tmp_path}/file? " if meant else ""
    assert_refused(command(tmp_path / "file"), f"there is no command '{tmp_path}/file'; {hint}there are run, ")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_mistake_is_reported_in_the_words_of_the_library(words: tuple[str, ...]) -> None:
    for mistake in ("--nonesuch", "--help=1", "a" * 9, ""):
        error = command(*words, mistake, "b", "c", "d").error
        assert not re.search(r"No such|requires an argument|Invalid value|unexpected|Missing|does not take", error)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_help_looks_the_same(words: tuple[str, ...]) -> None:
    ended = command(*words, "--help")
    lines = ended.output.splitlines()
    assert (ended.code, ended.error) == (0, "")
    assert lines[0].startswith(f"Usage: enclave-sim {' '.join(words)} ")
    assert max(map(len, lines)) <= 80
    assert "Options:" in lines
    if not isinstance(COMMANDS[words], click.Group):
        assert any(line.startswith("  Example: enclave-sim ") for line in lines)
        at = next(number for number, line in enumerate(lines) if line.lstrip().startswith("Exit codes"))
        codes = [int(line.split()[0]) for line in lines[at:] if re.match(r" +\d+  ", line)]
        assert {2, 70} <= set(codes) <= {*map(int, ExitCode)}
        assert codes == sorted(codes)
    assert ended.output == command(*words, "-h").output


def test_every_exit_code_that_a_module_uses_is_in_the_help_of_its_commands() -> None:
    """`run` has those of its outcomes; the codes of `main` and of the kernel itself are common to all."""
    said: dict[str, set[int]] = {}
    for words, one in COMMANDS.items():
        if one.callback is not None:
            codes = re.findall(r"^ +(\d+)  ", command(*words, "--help").output.partition("Exit codes")[2], re.M)
            said.setdefault(inspect.unwrap(one.callback).__code__.co_filename, set()).update(map(int, codes))
    for file, listed in said.items():
        used = {int(ExitCode[name]) for name in re.findall(r"ExitCode\.([A-Z_]+)", Path(file).read_text())}
        assert used - {ExitCode.OK} <= listed, file
    (run,) = (file for file in said if file.endswith("runs/run.py"))
    assert {int(of) for of in _OF_OUTCOME.values()} | {ExitCode.RESIDUE} <= said[run]


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_an_example_can_be_copied_from_an_80_column_help(words: tuple[str, ...]) -> None:
    """It is one line, or the shell joins its lines."""
    lines = command(*words, "--help").output.splitlines()
    for at, line in enumerate(lines):
        if line.startswith("  Example: "):
            end = next(number for number in range(at, len(lines)) if not lines[number].endswith("\\"))
            assert lines[end + 1] == "", "the example does not end there"


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_is_asked_for_in_two_ways_in_any_context(words: tuple[str, ...]) -> None:
    """Also by those who make a context of their own, as documents and completion do."""
    option = COMMANDS[words].get_help_option(click.Context(COMMANDS[words]))
    assert option is not None
    assert option.opts == ["-h", "--help"]


def test_every_time_takes_units() -> None:
    """Options in nanoseconds or seconds, and no other ones, have the metavariable TIME."""
    for words, one in COMMANDS.items():
        for parameter in one.params:
            timed = parameter.name in ("host_limit", "between") or str(parameter.name).endswith(("_ns", "_s"))
            timed |= parameter.name == "ns_per_instruction"
            assert ("TIME" in str(parameter.metavar).split("=")[0]) == timed, (words, parameter.name)


def test_a_time_with_a_unit_is_that_time() -> None:
    in_words = command("run", "counter", "-q", "--cycles", "2", "--wake-ns", "0.05ms", "--quantum-ns", "10 ms")
    assert in_words.code == 0
    assert in_words == command("run", "counter", "-q", "--cycles", "2", "--wake-ns", "50_000")


def test_the_payloads_are_listed_with_what_they_do() -> None:
    listed = command("payload", "list").output
    assert re.search(r"^divider +wasmtime  divides by zero$", listed, re.M)
    assert re.search(r"^surveyor +native +looks for data", listed, re.M)
    assert all(len(line.split("  ")[-1]) > 10 for line in listed.splitlines())


def test_an_unknown_kind_is_answered_with_the_nearest(tmp_path: Path) -> None:
    script = tmp_path / "inputs.toml"
    script.write_text('[[input]]\nkind = "tamprer"\nat = "5 min"\n')
    assert_refused(command("run", "--inputs", script), "did you mean tamper?")
    script.write_text('[[input]]\nkind = "tamper"\nafter = { event = "cycle_begin" }\n')
    assert_refused(command("run", "--inputs", script), "did you mean cycle_began?")


@pytest.mark.parametrize("words", ["run", "verify", "gdb", "provenance --of rax", "inspect", "boot"])
def test_a_recording_in_the_place_of_a_payload_is_called_one(words: str, tmp_path: Path) -> None:
    """And so is a file that only has the name of one: nothing is said of WebAssembly."""
    path, other = tmp_path / "run.jsonl", tmp_path / "other.jsonl"
    path.write_bytes(BEGINNING + b"}\n")
    other.write_text("{}\n")
    ended = command(*words.split(), path)
    assert_refused(ended, f"{path}")
    assert re.search(r"is a recording.*replay repeats it|is not a recording; line 1", ended.error), ended.error
    assert "WebAssembly" not in ended.error
    if words != "boot":
        assert_refused(command(*words.split(), other), f"{other} is neither a payload nor a recording")


def test_an_empty_name_is_no_directory() -> None:
    """As of a variable that is not set: `enclave-sim run "$PAYLOAD"`."""
    assert command("run", "").error.startswith("error: no payload '': neither a file nor built in; there are ")


def test_an_unknown_symbol_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match=r"no symbol 'host_cal'; did you mean host_call\?$"):
        Session("beacon").run_to(symbol="host_cal")
    with pytest.raises(ConfigurationError, match=r"kind of event; did you mean host_call\?$"):
        read_address("host_cal", aether())
    with pytest.raises(ConfigurationError, match=r"no symbol 'xyzzy'$"):
        Session("beacon").run_to(symbol="xyzzy")


def test_memory_that_the_host_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **_options: object) -> None:
        raise MemoryError

    monkeypatch.setattr("enclave_sim.enclave.Enclave.__init__", refuse)
    assert_refused(command("run", "beacon"), "error: the host does not allow more memory; `ulimit -v` shows its limit")
