"""A plugin of pytest for the tests on pages: properties draw ten examples."""

from hypothesis import settings

settings.register_profile("page", max_examples=10)
settings.load_profile("page")
