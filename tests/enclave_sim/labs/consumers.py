"""What the consumers of grades publish about their formats."""

from xml.etree import ElementTree

JUNIT_ATTRIBUTES = {
    "testsuites": (set(), {"name", "time", "tests", "failures", "errors"}),
    "testsuite": ({"name", "tests", "failures", "errors"}, {"time", "skipped", "timestamp", "hostname", "id"}),
    "testcase": ({"name"}, {"time", "classname", "group"}),
    "failure": (set(), {"type", "message"}),
    "error": (set(), {"type", "message"}),
    "system-out": (set(), set()),
}
"""Required and optional attributes by element, from junit-10.xsd of Jenkins' xUnit plugin."""
JUNIT_CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"testcase"},
    "testcase": {"failure", "error", "system-out"},
}
GRADESCOPE_TEST = {"name", "score", "max_score", "status", "output", "output_format"}
"""The fields that we use of those that Gradescope documents for a test; `status` is passed or failed."""


def assert_junit(root: ElementTree.Element) -> None:
    """Elements, attributes and counts of a report are as the schema says."""
    for element in root.iter():
        required, optional = JUNIT_ATTRIBUTES[element.tag]
        assert required <= set(element.keys()) <= required | optional
        assert {child.tag for child in element} <= JUNIT_CHILDREN.get(element.tag, set())
    for suite in root:
        for name, tag in (("failures", "failure"), ("errors", "error")):
            assert suite.get(name) == str(len(suite.findall(f"testcase/{tag}")))
        assert suite.get("tests") == str(len(suite))
