"""The recipes of docs/payload-recipes.md, if their compiler is installed: each builds, is accepted, and emits 36."""

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from enclave_sim import Enclave
from enclave_sim.payload.keys import development_key
from enclave_sim.payload.signature import sign
from enclave_sim.payload.wasm.sections import SectionId, debug_bytes, sections

PAGE = Path(__file__).parents[2] / "docs" / "payload-recipes.md"


@dataclass(frozen=True)
class Recipe:
    file: str
    source: str
    commands: tuple[str, ...]


def _recipes() -> dict[str, Recipe]:
    found = {}
    page = re.sub(r"<!--.*?-->\n", "", PAGE.read_text(), flags=re.DOTALL)
    for title, text in re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL):
        program = re.match(r"\n`(\S+)`:\n\n```\w+\n(.*?)```\n", text, re.DOTALL)
        if program:
            commands = re.findall(r"^```sh\n(.*?)```$", text[program.end() :], re.MULTILINE | re.DOTALL)
            found[title] = Recipe(program[1], program[2], tuple(line.strip() for line in commands))
    return found


RECIPES = _recipes()
BUILDS = [(title, command) for title, recipe in RECIPES.items() for command in recipe.commands]


@cache
def _missing(command: str) -> str | None:
    """The program missing to run a command, if any."""
    tool, *arguments = shlex.split(command)
    if tool == "python":
        return None
    if shutil.which(tool) is None:
        return f"{tool} is not installed"
    if tool == "rustc":
        target = arguments[arguments.index("--target") + 1]
        place = subprocess.run([tool, "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
        if not list(Path(place, "lib", "rustlib", target).glob("lib/libcore-*")):
            return f"rustc has no target {target}"
    if tool == "clang" and shutil.which("wasm-ld") is None:
        return "wasm-ld is not installed"
    return None


def build(directory: Path, recipe: Recipe, command: str) -> bytes:
    if missing := _missing(command):
        pytest.skip(missing)
    (directory / recipe.file).write_text(recipe.source)
    words = shlex.split(command)
    words[0] = sys.executable if words[0] == "python" else words[0]
    built = subprocess.run(words, cwd=directory, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return (directory / "hello.wasm").read_bytes()


def emitted(module: bytes) -> tuple[int, ...]:
    return Enclave(sign(module, development_key())).run().signals


def test_the_recipes_are_those_that_the_page_promises() -> None:
    assert list(RECIPES) == ["C", "Zig", "Rust", "AssemblyScript", "WebAssembly text"]
    assert [title for title, _ in BUILDS] == ["C", "C", "Zig", "Rust", "AssemblyScript"]


@pytest.mark.slow
@pytest.mark.parametrize(("title", "command"), BUILDS, ids=[f"{t} {c.split()[0]}" for t, c in BUILDS])
def test_a_recipe_builds_a_payload_of_the_default_profile_that_emits_36(
    tmp_path: Path, title: str, command: str
) -> None:
    module = build(tmp_path, RECIPES[title], command)
    assert emitted(module) == (36,)
    assert debug_bytes(module) == 0


def test_the_recipe_in_text_emits_36() -> None:
    recipe = RECIPES["WebAssembly text"]
    assert emitted(bytes(wat2wasm(recipe.source))) == (36,)


@pytest.mark.slow
def test_assemblyscript_without_its_option_writes_a_start_section_which_is_refused(tmp_path: Path) -> None:
    recipe = RECIPES["AssemblyScript"]
    without = recipe.commands[0].replace("--exportStart _start ", "")
    module = build(tmp_path, recipe, without)
    assert any(each.id == SectionId.START for each in sections(module))
    assert "start section" in Enclave(sign(module, development_key())).run().detail


@pytest.mark.slow
def test_a_build_in_c_is_stripped_as_the_page_says(tmp_path: Path) -> None:
    recipe, (command, *_) = RECIPES["C"], RECIPES["C"].commands
    debug = build(tmp_path, recipe, command.replace("-g0", "-g"))
    plain = build(tmp_path, recipe, command)
    bare = build(tmp_path, recipe, command.replace("-g0", "-Wl,--strip-all"))
    assert debug_bytes(debug) > len(plain)
    assert [each.name for each in sections(plain) if each.name == "name"] == ["name"]
    assert [each.name for each in sections(bare) if each.name == "name"] == []
    assert emitted(debug) == emitted(bare) == (36,)
