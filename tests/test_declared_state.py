"""State is declared: every attribute of every object with state is named by its class, once."""

import ast
import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Iterator
from types import ModuleType

import pytest

import enclave_sim
import machine
from machine.bus.bus import Device
from machine.processor.clock import Clock
from machine.state import Stateful


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        # textual may not be installed
        if not found.name.startswith(("enclave_sim.inspector", "enclave_sim.__main__")):
            yield importlib.import_module(found.name)


def _subclasses(kind: type[Stateful]) -> Iterator[type[Stateful]]:
    for subclass in kind.__subclasses__():
        if subclass.__module__.startswith(("machine.", "enclave_sim.")):
            yield subclass
        yield from _subclasses(subclass)


def _assigned(kind: type) -> set[str]:
    """The attributes of `self` that the methods of a class assign."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    targets = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }
    return {name for name in targets if not isinstance(getattr(kind, name, None), property)}


_ALL = [module for package in (machine, enclave_sim) for module in _modules(package)]
CLASSES = sorted(set(_subclasses(Stateful)), key=lambda kind: f"{kind.__module__}.{kind.__name__}")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_attribute_is_declared_and_every_declared_one_is_there(kind: type[Stateful]) -> None:
    declared = {*kind.STATE, *kind.PARTS, *kind.WIRING}
    own = declared - {name for base in kind.__bases__ for name in _declared(base)}
    assert _assigned(kind) - declared == set(), "add these to STATE, PARTS or WIRING of the class: see machine/state.py"
    assert own - _assigned(kind) == set(), "declared, and no method assigns them"


def _declared(kind: type) -> set[str]:
    return {*kind.STATE, *kind.PARTS, *kind.WIRING} if issubclass(kind, Stateful) else set()


def test_there_are_such_classes() -> None:
    assert {Clock, Device} < set(CLASSES)
    assert len(CLASSES) > 40
