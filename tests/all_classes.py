"""All classes of the packages."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import enclave_sim
import machine


def classes() -> Iterator[tuple[str, type]]:
    for package in (machine, enclave_sim):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.endswith("__main__"):
                continue
            module = importlib.import_module(found.name)
            for name, each in vars(module).items():
                if inspect.isclass(each) and each.__module__ == module.__name__:
                    yield f"{module.__name__}.{name}", each
