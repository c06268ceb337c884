"""Checks of a strategy's bounds, made when the strategy is created, not when it draws."""

from enclave_sim.errors import ConfigurationError


def check_range(name: str, value: int, least: int, most: int) -> None:
    """Raise ConfigurationError unless `value` is an integer from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(f"{name} is {value!r}; it must be an integer, {least} to {most}")
    if not least <= value <= most:
        raise ConfigurationError(f"{name} is {value}; it must be {least} to {most}")


def check_sizes(min_size: int, max_size: int, most: int) -> None:
    """Raise ConfigurationError unless 0 <= min_size <= max_size <= most."""
    check_range("min_size", min_size, 0, most)
    check_range("max_size", max_size, 0, most)
    if min_size > max_size:
        raise ConfigurationError(f"min_size is {min_size}, which is more than max_size, {max_size}")
