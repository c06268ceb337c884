"""README and docs show what the program really prints."""

import os
import re
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from enclave_sim import Enclave
from enclave_sim.events import AnyEvent

ROOT = Path(__file__).parents[3]


def test_the_readme_shows_the_real_output() -> None:
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-m", "enclave_sim", "run", "beacon"]
    shown = subprocess.run(command, capture_output=True, check=True, env=environment).stdout.decode().splitlines()
    (block,) = re.findall(r"```console\n\$ enclave-sim run beacon\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert [line for line in block.splitlines() if line not in shown and not line.startswith(" ... ")] == []


@pytest.mark.parametrize("page", ["architecture", "recordings"])
def test_events_quoted_in_the_docs_happen(page: str) -> None:
    quoted = re.findall(
        r'^\{"kind":"([a-z_]+)","seq":(\d+),"at_ns":(\d+)', (ROOT / f"docs/{page}.md").read_text(), re.M
    )
    happened = set()
    for name in ("beacon", "spinner"):
        enclave = Enclave(name)
        enclave.run()
        assert enclave.recording is not None
        happened |= {(e.__struct_config__.tag, str(e.seq), str(e.at_ns)) for e in enclave.recording.events}
    assert quoted
    assert [event for event in quoted if event not in happened] == []


def test_the_recording_that_is_shown_is_that_of_a_run(tmp_path: Path) -> None:
    (block,) = re.findall(r'```json\n(\{"kind":"header".*?)```', (ROOT / "docs/recordings.md").read_text(), re.S)
    enclave = Enclave("beacon")
    enclave.run()
    assert enclave.recording is not None
    enclave.recording.save(tmp_path / "beacon.jsonl")
    lines = (tmp_path / "beacon.jsonl").read_text().splitlines()
    assert block.splitlines() == [lines[0], lines[1], "...", lines[-1]]


def test_every_kind_of_event_is_documented() -> None:
    page = (ROOT / "docs/recordings.md").read_text()
    assert [k for kind in typing.get_args(AnyEvent) if f"`{(k := kind.__struct_config__.tag)}`" not in page] == [], (
        "add these to the table of kinds in docs/recordings.md"
    )


@pytest.mark.slow
def test_the_programs_on_the_page_of_guarantees_run() -> None:
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "docs/guarantees.md").read_text(), re.S)
    printed = [
        subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
        for program in programs
    ]
    assert [text.split(" (")[0] for text in printed] == ["zero-trace: holds", "jitter-free: BROKEN"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "docs/time-travel.md"])
def test_the_programs_of_a_page_print_what_it_says(name: str) -> None:
    page = (ROOT / name).read_text()
    pairs = re.findall(r"```python\n(.*?)```.*?```text\n(.*?)```", page, re.S)
    assert pairs
    for program, printed in pairs:
        ran = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
        assert ran.stdout == printed
