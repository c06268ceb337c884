"""Coverage by lines and branches: that of a kernel whose every line is known, merged, and as other formats."""

import shutil
import subprocess
from pathlib import Path

import html5lib
import pytest

from enclave_sim import Enclave
from enclave_sim.coverage import Count, Coverage, CoverageReport
from enclave_sim.coverage.html import html
from enclave_sim.coverage.lcov import lcov, merged, totals
from enclave_sim.enclave.kernel.bare_kernel import KernelOptions
from enclave_sim.enclave.kernel.program import program_of
from enclave_sim.errors import ConfigurationError
from enclave_sim.specification import EngineName
from machine.machine import Outcome
from tests import c_kernel
from tests.machine.boot import images

LIMIT_NS = 100_000


def by(*payloads: str, **options: EngineName) -> Coverage:
    coverage = Coverage()
    for payload in payloads:
        enclave = Enclave(payload, **options)  # type: ignore[arg-type]
        coverage.attach(enclave.machine)
        enclave.run()
        coverage.collect()
    return coverage


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return c_kernel.compiled(tmp_path_factory.mktemp("kernel"), "-O0")


@pytest.fixture(scope="module")
def of_kernel(image: Path) -> CoverageReport:
    kernel = KernelOptions().kernel(str(image), image.read_bytes())
    coverage = Coverage(kernel.program)
    coverage.attach(kernel.machine)
    assert kernel.advance(LIMIT_NS) is Outcome.HALTED
    return coverage.report()


@pytest.fixture(scope="module")
def beacon() -> CoverageReport:
    return by("beacon").report()


def test_the_lines_of_a_small_kernel_are_covered(of_kernel: CoverageReport, image: Path) -> None:
    (file,) = of_kernel.files
    assert (file.name, file.path) == ("kernel.c", image.with_name("kernel.c"))
    source = file.text
    hit = {source[line - 1].strip() for line, covered in file.lines.items() if covered}
    assert "result = first(count);" in hit
    assert any("sum += i * i" in line for line in hit)
    assert file.missed == ()
    assert {name for _, name, entered in file.functions if entered} >= {"first", "main"}
    assert of_kernel.lines == Count(len(file.lines), len(file.lines))


def test_the_ways_of_a_branch_are_known(of_kernel: CoverageReport, beacon: CoverageReport) -> None:
    (file,) = of_kernel.files
    (loop,) = (line for line, words in enumerate(file.text, 1) if "for (unsigned i" in words)
    assert [(one.reached, one.taken, one.passed) for one in file.branches[loop]] == [(True, True, True)]
    branches = [one for file in beacon.files for several in file.branches.values() for one in several]
    assert {(one.taken, one.passed) for one in branches if not one.reached} == {(False, False)}
    assert {(one.taken, one.passed) for one in branches if one.reached} == {(True, True), (True, False), (False, True)}
    assert beacon.branches == Count(sum(one.taken + one.passed for one in branches), 2 * len(branches))


def test_only_a_payload_that_faults_reaches_the_report_of_faults(beacon: CoverageReport) -> None:
    def missed(report: CoverageReport) -> set[int]:
        (file,) = (one for one in report.files if one.name == "src/traps.c")
        return set(file.missed)

    both = by("beacon", "trespasser").report()
    assert missed(both) < missed(beacon)
    assert both.lines.covered > beacon.lines.covered
    assert str(both).splitlines()[-1].startswith(f"lines {both.lines}; branches {both.branches}; edges ")


def test_a_kernel_without_lines_is_refused() -> None:
    kernel = KernelOptions().kernel("kernel", images.kernel1(code=b"\xf4"))
    with pytest.raises(ConfigurationError, match="the kernel has no line table: compile it with -g"):
        Coverage(kernel.program)
    assert program_of("kernel", b"", kernel.loaded).lines.image == b""


@pytest.mark.slow
def test_collectors_can_be_joined(beacon: CoverageReport) -> None:
    joined, other = Coverage(), by("trespasser")
    for one in (by("beacon"), other):
        joined.add(one.marks, one.transfers)
    assert joined.report() == by("beacon", "trespasser").report()
    assert joined.report() != beacon
    assert merged([lcov(beacon), lcov(other.report())]) == merged([lcov(joined.report())])


def test_a_tracefile_counts_what_the_report_counts(beacon: CoverageReport) -> None:
    text = lcov(beacon)
    assert totals(text) == f"lines {beacon.lines}; branches {beacon.branches}; functions {beacon.functions}"
    assert totals(merged([text, text])) == totals(text)
    records = text.split("end_of_record\n")
    assert records.pop() == ""
    for file, record in zip(beacon.files, records, strict=True):
        assert record.startswith(f"TN:\nSF:{file.path}\n")
        assert file.path.is_file()


@pytest.mark.oracle
@pytest.mark.skipif(shutil.which("genhtml") is None, reason="lcov is not installed")
def test_genhtml_accepts_a_tracefile(beacon: CoverageReport, tmp_path: Path) -> None:
    (tmp_path / "beacon.info").write_text(lcov(beacon))
    command = ["genhtml", "--branch-coverage", "--output-directory", "out", "beacon.info"]
    said = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "WARNING" not in said.stdout + said.stderr
    assert f"({beacon.lines.covered} of {beacon.lines.total} lines)" in said.stdout
    assert f"({beacon.functions.covered} of {beacon.functions.total} functions)" in said.stdout
    assert f"({beacon.branches.covered} of {beacon.branches.total} branches)" in said.stdout


def test_the_page_shows_each_line_of_each_file(beacon: CoverageReport) -> None:
    page = html(beacon)
    html5lib.HTMLParser(strict=True).parse(page)
    assert "http" not in page.replace("http-equiv", "")
    assert page.count('class="missed"') == beacon.lines.total - beacon.lines.covered
    assert page.count('class="hit"') + page.count('class="half"') == beacon.lines.covered
    assert "&lt;" in page


def test_a_missing_source_is_no_error(beacon: CoverageReport, image: Path, tmp_path: Path) -> None:
    moved = tmp_path / "kernel.elf"
    shutil.copy(image, moved)
    kept = image.with_name("kernel.c").rename(tmp_path / "other.c")
    try:
        kernel = KernelOptions().kernel(str(moved), moved.read_bytes())
        report = Coverage(kernel.program).report()
    finally:
        kept.rename(image.with_name("kernel.c"))
    (file,) = report.files
    assert not file.text
    assert file.missed
    assert f"Lines not executed: {file.missed[0]}" in html(report)
    assert f"DA:{file.missed[0]},0\n" in lcov(report)
