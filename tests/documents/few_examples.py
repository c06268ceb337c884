"""A plugin of pytest for the tests on pages: properties draw ten examples."""

from hypothesis import settings


def pytest_configure() -> None:
    """Load the profile in the process that runs a page's tests, not where this file is imported for its name."""
    settings.register_profile("page", max_examples=10)
    settings.load_profile("page")
