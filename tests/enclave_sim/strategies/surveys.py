"""Surveys of generated examples."""

from collections.abc import Callable

from hypothesis import seed


def surveyed(look: Callable[[], None], missing: Callable[[], list[str]]) -> list[str]:
    """Survey until nothing is missing, with another seed each time; return what is still missing after a few surveys.

    One survey is not enough: what Hypothesis draws depends on the constants in the source of the whole project.
    """
    for number in range(5):
        seed(number)(look)()
        if not missing():
            break
    return missing()
