"""What all tests have in common."""

from hypothesis import settings

settings.register_profile("any host", deadline=None)  # hosts differ in speed, and no test may depend on it
settings.load_profile("any host")
