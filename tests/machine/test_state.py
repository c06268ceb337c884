"""State as declared by classes: saving, restoring, and invalid state."""

from array import array
from collections import Counter, deque
from typing import Any

import pytest

from machine.interrupts.interrupt_returns import Entered
from machine.state import State, Stateful


class Part(Stateful):
    STATE = ("number",)

    def __init__(self, number: int = 0) -> None:
        self.number = number


class Whole(Stateful):
    STATE = ("value",)
    PARTS = ("first", "others")
    WIRING = ("constant", "line")

    def __init__(self, value: Any = None) -> None:
        self.value = value
        self.first, self.others = Part(), [Part(1), Part(2)]
        self.constant, self.line = 7, self.run

    def run(self) -> None:
        self.first.number += 1
        self.others[1].number += 1
        self.constant += 1


class More(Whole):
    STATE = ("extra",)

    def __init__(self) -> None:
        super().__init__([1])
        self.extra = "x"


def test_a_subclass_adds_to_what_its_bases_declare() -> None:
    declared: list[tuple[str, ...]] = [More.STATE, More.PARTS, More.WIRING]
    assert declared == [("value", "extra"), Whole.PARTS, Whole.WIRING]
    assert list(More().save_state()) == ["value", "extra", "first", "others"]


def test_what_is_declared_comes_back_and_nothing_else_is_touched() -> None:
    whole = Whole(3)
    saved = whole.save_state()
    whole.run()
    whole.value, line = 4, whole.line
    whole.load_state(saved)
    assert whole.save_state() == saved
    assert (whole.constant, whole.line) == (8, line)


VALUES: list[Any] = [
    [1, [2, [3]]],
    (1, [2], {"a": [3]}),
    deque([[1], [2]]),
    {1, 2},
    frozenset([1]),
    {"a": 1, "b": {"c": [1]}},
    Counter("aab"),
    array("I", [1, 2]),
    bytearray(b"abc"),
    Entered(1, 2, 3, 4),
    None,
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_was_saved_is_out_of_reach(value: Any) -> None:
    whole = Whole(value)
    before = repr(value)
    saved: State = whole.save_state()
    _change(whole.value)
    whole.load_state(saved)
    assert repr(whole.value) == before
    assert type(whole.value) is type(value)
    _change(whole.value)
    whole.load_state(saved)
    assert repr(whole.value) == before


def _change(value: Any) -> None:
    """Change a container, and those in it."""
    for item in list(value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()):
        _change(item)
    if isinstance(value, list | deque | array | bytearray):
        value.append(9)
    elif isinstance(value, set):
        value.add(9)
    elif isinstance(value, dict):
        value["new"] = 9


@pytest.mark.parametrize("value", [object(), [object()], {"a": object()}, lambda: None, Part()])
def test_what_is_not_a_plain_value_cannot_be_state(value: Any) -> None:
    with pytest.raises(TypeError, match="is not a plain value and cannot be state"):
        Whole(value).save_state()


def test_a_name_that_is_declared_twice_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match="Twice declares value twice"):
        type("Twice", (Whole,), {"WIRING": ("value",)})
