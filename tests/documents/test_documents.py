"""Every code block on the pages runs and prints the output shown, or says why it cannot run."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.documents.blocks import PAGES, ROOT, NotRun, blocks, fences
from tests.documents.comparing import agrees, replaced
from tests.documents.reader import Reader

NOT_RUN = {
    NotRun.INSTALLS: 5,
    NotRun.MINUTES: 12,
    NotRun.STAYS: 8,
    NotRun.YOURS: 4,
    NotRun.FORM: 17,
    NotRun.ELSEWHERE: 13,
}
"""The number of blocks that are not run, by reason. Update it when a page gets another one."""
FILE = "<!-- example: save as a.txt -->\n```ini\nx\ny\n```"


def pages() -> list[object]:
    return [
        pytest.param(page, id=page.name, marks=[pytest.mark.slow] * any(one.says("slow") for one in blocks(page)))
        for page in PAGES
    ]


@pytest.mark.parametrize("page", pages())
def test_the_blocks_of_a_page_run_and_print_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    reader = Reader()
    for block in blocks(page):
        for shown in reader.follow(block):
            assert shown.right, f"{block.place} shows\n{shown.text}\nand not\n{shown.printed}python -m tests.documents"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_block_of_a_page_is_overlooked(page: Path) -> None:
    assert len(blocks(page)) == fences(page)
    assert page.read_text().count("\n<!-- example: ") == sum(bool(block.words) for block in blocks(page))


def test_what_is_not_run_is_counted_by_reason() -> None:
    assert Counter(found[0] for page in PAGES for block in blocks(page) if (found := block.not_run)) == NOT_RUN


def test_a_test_that_runs_a_block_names_its_page() -> None:
    for block in (block for page in PAGES for block in blocks(page)):
        if block.not_run is not None:
            reason, file = block.not_run
            assert (reason is NotRun.ELSEWHERE) == bool(file), block.place
            if file:
                assert block.page.name in (ROOT / file).read_text(), block.place


def test_the_tutorial_shows_the_cause_that_its_text_explains() -> None:
    """`python -m tests.documents` would write any other answer there."""
    page = (ROOT / "docs" / "tutorial.md").read_text()
    assert "the guest: clear (function 1) at +0x9: i32.store" in page
    assert "the guest: clear (function 1) at +0x7: i32.const 0\n" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_on_a_page_are_those_of_every_unix(page: Path) -> None:
    """`sed -i`, for one, takes other arguments on BSD and macOS than GNU's."""
    lines = [line for block in blocks(page) for line in block.text.splitlines()]
    assert [line for line in lines if re.search(r"\bsed -i|\breadlink -f|\bgrep -P|\bdate -d", line)] == []


def test_every_example_program_is_on_its_page() -> None:
    page = (ROOT / "docs" / "examples.md").read_text()
    programs = sorted((ROOT / "docs" / "examples").glob("*.py"))
    assert len(programs) >= 12
    for program in programs:
        assert page.count(f"<!-- example: shows docs/examples/{program.name} -->") == 1, program.name
        assert page.count(f"$ python docs/examples/{program.name}\n") == 1, program.name


def follow(tmp_path: Path, *texts: str) -> list[bool]:
    """Follow a page of blocks in the current directory; return which parts were right."""
    page = tmp_path / "page.md"
    page.write_text("\n\n".join(texts) + "\n")
    reader = Reader()
    return [shown.right for block in blocks(page) for shown in reader.follow(block)]


@pytest.mark.parametrize(
    ("texts", "right"),
    [
        (["```python\nprint(6)\n```", "It prints:", "```text\n6\n```"], [True]),
        (["```python\nprint(6)\n```", "```text\n7\n```"], [False]),
        (["```console\n$ echo 1; echo 2\n1\n2\n$ exit 3\n(exit code 3)\n```"], [True, True]),
        (["```console\n$ echo a b\na ...\n```"], [True]),
        (["```console\n$ echo a b\nc ...\n```"], [False]),
        (
            [
                "<!-- example: save as a.txt -->\n```ini\nx\ny\n```",
                "<!-- example: shows a.txt -->\n```ini\n...\ny\n```",
            ],
            [True],
        ),
        (
            [FILE, "<!-- example: from a.txt -->\n```ini\nz\n```"],
            [False],
        ),
        (["```sh\nX=$(echo 5)\nexit $X  # exit code 5\n```"], []),
        (["<!--\n```sh\necho hidden > h\n```\n-->", "```console\n$ cat h\nhidden\n```"], [True]),
        (["<!-- example: needs no-such-program -->\n```sh\nno-such-program\n```"], []),
    ],
)
def test_a_page_is_right_if_it_shows_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, texts: list[str], right: list[bool]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert follow(tmp_path, *texts) == right


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("```python\n1 / 0\n```", "division by zero"),
        ("```sh\nfalse\n```", "exit code 1"),
        ("```console\n$ true\n(exit code 1)\n```", "exit code 0"),
        ("```text\nprinted by nobody\n```", "say in a marker"),
        ("```toml\nx = 1\n```", "say in a marker"),
        ("<!-- example: not run, it is dull -->\n```sh\nls\n```", "'it is dull' is not one of"),
        ("<!-- example: not run, it takes minutes -->\n```sh\nenclave-sim run --none\n```", "No such option"),
        ("<!-- example: not run, it takes minutes -->\n```sh\nenclave-sim fly\n```", "fly"),
        ("<!-- example: not run, it takes minutes -->\n```sh\nmake coffee\n```", "make"),
        ("<!-- example: not run, it takes minutes -->\n```sh\npython -m tests.none\n```", "tests.none"),
    ],
)
def test_a_page_that_cannot_be_followed_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception, match=message):
        follow(tmp_path, text)


def test_lines_that_are_left_out_are_counted_where_the_page_counts_them() -> None:
    assert agrees("a\n... 2 lines of b ...\nc\n", "a\nb\nb\nc\n")
    assert not agrees("a\n... 2 lines of b ...\nc\n", "a\nb\nc\n")
    assert replaced("a\n... 2 lines of b ...\nc\n", "A\nb\nb\nb\nC\n") == "A\n... 3 lines of b ...\nC\n"


def test_what_differs_each_time_may_differ() -> None:
    key = "0123456789abcdef" * 2
    assert agrees(f"{key} 12 bytes\n", f"{key[::-1]} 13 bytes\n", varies=True)
    assert not agrees(f"{key} 12 bytes\n", f"{key[::-1]} 13 pages\n", varies=True)
