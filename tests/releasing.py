"""What test files cache is dropped after their last test: an enclave or a bench keeps an engine of megabytes alive."""

import gc
from types import ModuleType


def release(module: ModuleType) -> None:
    """Clear the caches of functions which a test file defines."""
    caches = [
        function
        for function in vars(module).values()
        if hasattr(function, "cache_clear") and getattr(function, "__module__", None) == module.__name__
    ]
    for cached in caches:
        cached.cache_clear()
    if caches:
        gc.collect()  # machines are part of cycles
