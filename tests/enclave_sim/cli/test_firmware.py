"""`enclave-sim firmware`: sources that one can change, and the kernel that they give."""

from pathlib import Path
from unittest.mock import patch

import pytest

import firmware
from enclave_sim.cli.exit_codes import ExitCode
from firmware.build import SOURCES
from tests.enclave_sim.cli.command import assert_refused, command

pytestmark = pytest.mark.slow
STAGING = "        scrub(STAGING_BASE, STAGING_SIZE);\n"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("firmware") / "mine"
    assert command("firmware", "new", directory).code == 0
    return directory


def test_unchanged_sources_give_the_built_in_kernel(sources: Path, tmp_path: Path) -> None:
    found = command("firmware", "build", sources, "-o", tmp_path / "same.elf")
    assert (found.code, found.error) == (0, "")
    assert f"firmware {firmware.built_in().description.version}" in found.output
    assert (tmp_path / "same.elf").read_bytes() == firmware.built_in().image


def test_a_kernel_that_leaves_a_payload_is_judged(sources: Path) -> None:
    annihilate = sources / "src" / "annihilate.c"
    annihilate.write_text(annihilate.read_text().replace(STAGING, ""))
    (sources / "src" / "VERSION").write_text("0.2.0 leaky\n")
    assert "firmware 0.2.0 leaky" in command("firmware", "build", sources).output
    mine = sources / "aether.elf"
    assert command("run", "beacon", "-q", "--firmware", mine).code == ExitCode.RESIDUE
    judged = command("verify", "beacon", "--firmware", mine, "--runs", "2", "--cycles", "1")
    assert judged.code == ExitCode.GUARANTEE
    assert "residue in staging" in judged.output
    assert f"file {mine}" in command("gdb", "--script", "--firmware", mine).output
    values = [command("reference-values", "beacon", *given).output for given in ((), ("--firmware", mine))]
    assert values[0] != values[1]


def test_another_layout_is_refused_by_build(sources: Path, tmp_path: Path) -> None:
    layout = sources / "src" / "devices.h"
    text = layout.read_text()
    layout.write_text(text.replace("0xFED50000", "0xFED60000"))
    assert layout.read_text() != text
    found = command("firmware", "build", sources, "-o", tmp_path / "other.elf")
    layout.write_text(text)
    assert found.code == ExitCode.USAGE
    assert "its layout has SCRUB at 0xfed60000; this program needs 0xfed50000" in found.error
    assert not (tmp_path / "other.elf").exists()


def test_a_mistake_in_a_source_is_one_line_after_the_compilers(
    sources: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kernel = sources / "src" / "kernel.c"
    text = kernel.read_text()
    kernel.write_text(text + "int broken(void) { return }\n")
    found = command("firmware", "build", sources)
    kernel.write_text(text)
    assert (found.code, found.error.splitlines()[-1]) == (
        ExitCode.USAGE,
        f"error: {kernel} does not build",
    )
    assert "expected expression" in capfd.readouterr().err


def test_an_image_never_replaces_a_source(sources: Path) -> None:
    goal = sources / "src" / "layout.h"
    before = goal.read_bytes()
    assert_refused(command("firmware", "build", sources, "-o", goal), "layout.h is a source itself")
    assert goal.read_bytes() == before


def test_directories_that_will_not_do(sources: Path, tmp_path: Path) -> None:
    assert f"{sources} exists" in command("firmware", "new", sources).error
    assert "has no directory 'src'" in command("firmware", "build", tmp_path).error
    for part in firmware.PARTS:
        (tmp_path / part).mkdir()
    assert command("firmware", "build", tmp_path).code == ExitCode.USAGE
    assert SOURCES.is_dir()


def test_without_a_compiler_it_says_how_to_get_one(sources: Path) -> None:
    with patch("enclave_sim.cli.firmware.find_spec", lambda _name: None):
        found = command("firmware", "build", sources)
    assert found.code == ExitCode.USAGE
    assert "[firmware]" in found.error
