"""A test file's caches are cleared after its last test."""

import pytest

pytest_plugins = ["pytester"]


def test_what_a_file_caches_is_gone_before_the_tests_of_the_next(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("from tests.conftest import pytest_runtest_teardown")
    pytester.makepyfile(
        test_one="""
            from functools import cache
            @cache
            def calls(): return []
            def test_first(): calls().append(1)
            def test_second(): assert calls() == [1]
        """,
        test_two="""
            from test_one import calls
            def test_another_file(): assert calls() == []
        """,
    )
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=3)
