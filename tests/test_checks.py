"""The checks of a commit are those of `make check`, one by one."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_hooks_before_a_commit_are_the_checks_of_make() -> None:
    recipe = re.search(r"^check:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert recipe is not None
    hooks = re.findall(r"entry: \.venv/bin/(.*)", (ROOT / ".pre-commit-config.yaml").read_text())
    made = [command.removesuffix(" .") for command in re.findall(r"\$\(BIN\)/(.*)", recipe[1])]
    assert [hook.removesuffix(" --force-exclude") for hook in hooks] == made
