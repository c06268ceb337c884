"""Sample sizes and intervals, compared with published values."""

import pytest

from enclave_sim.campaigns.statistics import clopper_pearson, quantile, sample_size, wilson
from enclave_sim.errors import ConfigurationError


@pytest.mark.parametrize(
    ("population", "error", "confidence", "size"),
    [
        (10**9, 0.05, 0.95, 385),
        (10**9, 0.01, 0.95, 9604),
        (10**9, 0.01, 0.99, 16587),  # t is 2.5758; 16588 without a limit of the population
        (1000, 0.05, 0.95, 278),
        (100, 0.01, 0.95, 99),
        (1, 0.01, 0.95, 1),
    ],
)
def test_the_sample_size(population: int, error: float, confidence: float, size: int) -> None:
    assert sample_size(population, error, confidence) == size


def test_a_sample_is_never_larger_than_the_population() -> None:
    assert all(sample_size(n, 0.001) <= n for n in (1, 2, 10, 500, 10**6))


@pytest.mark.parametrize("error", [0, 1, -1, 2])
def test_an_impossible_error_is_refused(error: float) -> None:
    with pytest.raises(ConfigurationError, match="error is"):
        sample_size(10, error)


@pytest.mark.parametrize(
    ("count", "runs", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),  # Newcombe, Statistics in Medicine 17 (1998), table I
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson(count: int, runs: int, low: float, high: float) -> None:
    assert list(wilson(count, runs)) == pytest.approx([low, high], abs=5e-5)


@pytest.mark.parametrize(
    ("count", "runs", "low", "high"),
    [
        (81, 263, 0.2527, 0.3676),  # the same table
        (15, 148, 0.0578, 0.1617),
        (0, 20, 0.0, 0.1684),
        (1, 29, 0.0009, 0.1776),
    ],
)
def test_clopper_pearson(count: int, runs: int, low: float, high: float) -> None:
    assert list(clopper_pearson(count, runs)) == pytest.approx([low, high], abs=5e-5)


def test_intervals_at_the_ends() -> None:
    assert wilson(0, 0) == (0, 1)
    assert clopper_pearson(10, 10)[1] == 1
    assert clopper_pearson(10, 10)[0] == pytest.approx(0.6915, abs=5e-5)
    assert quantile(0.95) == pytest.approx(1.959964)
