"""Statistics of campaigns: how many runs are enough, and what a count of outcomes says.

The sample size is that of Leveugle et al., "Statistical fault injection" (DATE 2009), for a finite population. The
intervals are Wilson's, which is good for any proportion, and Clopper and Pearson's, which never covers less than it
promises. Both are few lines, so no library is needed for them; a test compares them with published values.
"""

import math
from collections.abc import Callable
from statistics import NormalDist

from enclave_sim.errors import ConfigurationError

_STEPS = 200


def sample_size(population: int, error: float, confidence: float = 0.95, proportion: float = 0.5) -> int:
    """Return how many runs estimate a proportion within an error.

    Args:
        population: The number of possible faults.
        error: Half the width of the interval, such as 0.01.
        confidence: The probability that it holds, such as 0.95.
        proportion: The proportion expected; 0.5 is the worst case.

    Returns:
        The number, at most the population.

    Raises:
        ConfigurationError: An argument is out of range.
    """
    for name, value in (("error", error), ("confidence", confidence), ("proportion", proportion)):
        if not 0 < value < 1:
            raise ConfigurationError(f"{name} is {value}; it must be between 0 and 1")
    t = quantile(confidence)
    return math.ceil(population / (1 + error**2 * (population - 1) / (t**2 * proportion * (1 - proportion))))


def quantile(confidence: float) -> float:
    """Return the number of standard deviations that contain a share of a normal distribution, in the middle."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def wilson(count: int, runs: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion.

    Args:
        count: The runs with the outcome.
        runs: All runs; without any, nothing is known.
        confidence: The probability that the interval holds.

    Returns:
        Its lower and upper end.
    """
    if not runs:
        return 0.0, 1.0
    z, share = quantile(confidence), count / runs
    middle = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z * math.sqrt(share * (1 - share) / runs + z * z / (4 * runs * runs)) / (1 + z * z / runs)
    return max(0.0, middle - half), min(1.0, middle + half)


def clopper_pearson(count: int, runs: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return Clopper and Pearson's exact interval of a proportion. The arguments are those of `wilson`."""
    tail = (1 - confidence) / 2
    low = 0.0 if not count else _solve(lambda p: _at_least(count, runs, p) - tail)
    high = 1.0 if count >= runs else _solve(lambda p: tail - _at_most(count, runs, p))
    return low, high


def _solve(rising: Callable[[float], float]) -> float:
    """Return the root of a rising function between 0 and 1."""
    low, high = 0.0, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if rising(middle) < 0:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _at_most(count: int, runs: int, share: float) -> float:
    return math.fsum(_binomial(k, runs, share) for k in range(count + 1))


def _at_least(count: int, runs: int, share: float) -> float:
    return math.fsum(_binomial(k, runs, share) for k in range(count, runs + 1))


def _binomial(count: int, runs: int, share: float) -> float:
    if share <= 0 or share >= 1:
        return float(count == (runs if share >= 1 else 0))
    ways = math.lgamma(runs + 1) - math.lgamma(count + 1) - math.lgamma(runs - count + 1)
    return math.exp(ways + count * math.log(share) + (runs - count) * math.log1p(-share))
