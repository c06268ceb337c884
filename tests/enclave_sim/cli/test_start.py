"""Start-up: imports of a command. Modules are counted, because seconds depend on the host."""

import subprocess
import sys

import pytest

from tests.bench_entries import alternate
from tests.bench_process import spawn

ENGINE = {"unicorn", "wasmtime", "capstone", "cryptography", "elftools", "gmpy2"}
HEAVY = {"rich", "pydantic", "typer", "asyncio", "email", "textual", "perfetto", "pyarrow", "starlette", "hypothesis"}

RARE = {
    *(
        "typing_extensions",
        "json",
        "secrets",
        "difflib",
        "elftools",
        "gmpy2",
        "subprocess",
        "importlib.metadata",
        "click.shell_completion",
    ),
    *("enclave_sim.recording.recording", "enclave_sim.recording.writer", "enclave_sim.files.writing"),
    *("enclave_sim.payload.wasm.disassembler", "enclave_sim.payload.wasm.opcodes", "enclave_sim.payload.wasm.refusals"),
    *("enclave_sim.cli.usage", "machine.devices.legacy.vga", "machine.instructions.rules"),
    *("machine.instructions.floating_point.table", "machine.instructions.floating_point.execution"),
}
"""What only other runs need: a file to write, a mistake, a display, SIMD instructions that fault, x87 arithmetic."""
OURS = {"machine", "enclave_sim", "firmware", "payloads"}


def loaded(program: str) -> set[str]:
    """The modules that a program has imported at its end."""
    code = f"import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); {program}"
    return set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr.split())


def command(*words: str) -> set[str]:
    return loaded(f"sys.argv = ['enclave-sim', *{words!r}]; from enclave_sim.cli.main import main; main()")


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["payload", "list"], ["completion", "bash"]])
def test_help_and_lists_need_no_engine(words: list[str]) -> None:
    assert command(*words) & (ENGINE | HEAVY) == set()


def test_the_version_needs_no_command() -> None:
    modules = command("--version")
    assert modules & (ENGINE | HEAVY - {"email"}) == set()  # the metadata of a package are a message
    assert not any(name.startswith(("enclave_sim.cli.runs", "machine.machine", "msgspec")) for name in modules)


@pytest.mark.slow
def test_a_quiet_run_imports_what_it_runs_and_little_else() -> None:
    """Imports once took half of a short run: most modules besides ours are unicorn's and wasmtime's."""
    modules = command("run", "beacon", "-q")
    assert modules & (HEAVY | RARE) == set()
    indispensable = len(loaded("import unicorn, wasmtime"))
    others = {name for name in modules if name.partition(".")[0] not in OURS}
    assert len(others) <= 1.6 * indispensable
    assert len(modules - others) <= 1.8 * indispensable
    x87 = {name.rpartition(".")[2] for name in modules if name.startswith("machine.instructions.floating_point.")}
    assert x87 == {"clearing", "extended", "forms", "fxsave", "mmx", "runs", "state", "unit", "words"}


@pytest.mark.slow
@pytest.mark.parametrize("profiled", [False, True])
def test_the_process_ends_at_once_unless_it_is_profiled(profiled: bool) -> None:
    """Functions that were registered for the end are called before, and nothing printed is lost."""
    program = (
        "import atexit, os, sys\n"
        "end = os._exit\n"
        "os._exit = lambda code: (os.write(2, b'at once\\n'), end(code))\n"
        "atexit.register(print, 'registered', file=sys.stderr)\n"
        f"sys.setprofile((lambda *_: None) if {profiled} else None)\n"
        "sys.argv = ['enclave-sim', 'replay', '/nowhere']\n"
        "from enclave_sim.cli.main import start\n"
        "start()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    error, *rest = done.stderr.splitlines()
    assert error.startswith("error: cannot read /nowhere")
    assert (done.returncode, rest) == (2, ["registered"] if profiled else ["registered", "at once"])


def test_a_quiet_run_collects_no_garbage_and_defines_few_dataclasses() -> None:
    """A collection looks at all that was imported; a dataclass compiles its methods, at 0.5 ms each."""
    program = (
        "import dataclasses, gc, sys\n"
        "process, made = dataclasses._process_class, []\n"
        "dataclasses._process_class = lambda *some: made.append(some[0].__module__) or process(*some)\n"
        "sys.argv = ['enclave-sim', 'run', 'beacon', '--quiet']\n"
        "from enclave_sim.cli.main import main\n"
        "before = sum(each['collections'] for each in gc.get_stats())\n"
        "try: main()\n"
        "finally: print(sum(each['collections'] for each in gc.get_stats()) - before, *made, file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    collections, *made = done.stderr.split()
    assert int(collections) == 0
    assert len(made) <= 4
    assert {name.rpartition(".")[0].split(".")[1] for name in made} == {"attestation"}, "which needs no msgspec"


@pytest.mark.speed
def test_a_quiet_run_takes_at_most_two_and_a_half_times_as_long_as_its_two_indispensable_imports() -> None:
    """In processor time, the medians of alternating runs."""
    run, reference = alternate(
        9,
        lambda: spawn("-m", "enclave_sim", "run", "beacon", "--quiet"),
        lambda: spawn("-c", "import unicorn, wasmtime"),
    )
    assert run <= 2.5 * reference
