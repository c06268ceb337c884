"""A notebook can be written, read, and repeated: equal runs answer equally, and a changed answer is found."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enclave_sim.recording.format import Header
from enclave_sim.time_travel import Session, link_to_here
from enclave_sim.time_travel.notebook import Notebook, NotebookError, Question, Walk, repeat
from enclave_sim.time_travel.notebook.questions import LONGEST, NAMES, QuestionError, answer

HEADER = Header({"cycles": 2}, "00", ("11",))
WORDS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1)
LINES = st.lists(WORDS, min_size=1, max_size=4).map(" ".join)
TEXTS = st.lists(LINES, min_size=1, max_size=3).map("\n".join)
MOTIONS = st.sampled_from(
    [
        *("step", "step 7", "back", "back 3", "step_over", "back_over", "step_out", "back_out", "next_line"),
        *("previous_line", "next_transition", "previous_transition", "next_host_call", "previous_host_call"),
        *("next_phase", "previous_phase", "run_to event=scrubbed", "reverse_to symbol=scrub", "run_to at_ns=1.3ms"),
        *("where", "registers rax rip", "memory 0x16eff8 16", "events 3", "go_to 1389059", "go_to 5+9"),
        *("last_register_write rax", "last_write 0x16eff8 8"),
    ]
)


def notebook_of(entries: list[Question | str]) -> Notebook:
    return Notebook.read(Notebook(HEADER, entries).markdown())


@given(st.lists(TEXTS | st.builds(Question, LINES, TEXTS), max_size=6), LINES)
def test_a_notebook_is_read_as_it_was_written(entries: list[Question | str], title: str) -> None:
    written = Notebook(HEADER, entries, title).markdown()
    found = Notebook.read(written)
    assert (found.header, found.title) == (HEADER, title)
    assert found.markdown() == Notebook.read(found.markdown()).markdown()
    plain = [one for one in entries if isinstance(one, Question) and ">" not in one.answer and "`" not in one.answer]
    assert [one for one in found.questions if one in plain] == plain


@given(st.text() | st.builds("\n".join, st.lists(st.sampled_from(
    ["# t", "```enclave-sim-run", "```enclave-sim", "```", "> step", "x", "{}", Notebook(HEADER).markdown()]
))))  # fmt: skip
def test_any_text_is_a_notebook_or_one_error(text: str) -> None:
    try:
        found = Notebook.read(text)
    except NotebookError:
        return
    assert Notebook.read(found.markdown()).questions == found.questions


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(MOTIONS, min_size=1, max_size=8))
def test_a_walk_is_repeated_with_the_same_answers(questions: list[str]) -> None:
    walk = Walk(Session("counter", cycles=2))
    walk.remark("A walk.")
    for question in questions:
        said = walk.ask(question)
        assert said
        assert all(line.isprintable() and not line.startswith((">", "```")) for line in said.split("\n"))
    found = Notebook.read(walk.notebook.markdown())
    assert found.questions == walk.notebook.questions
    assert list(repeat(found)) == []


def test_a_link_is_a_place_to_go_to_if_it_is_of_this_run() -> None:
    run = Session("counter", cycles=2)
    run.run_to(event="host_called")
    link = link_to_here(run)
    assert answer(Session("counter", cycles=2), f"go_to {link}") == answer(run, "where")
    assert answer(Session("counter", cycles=3), f"go_to {link}").startswith("error: the link to ")


def test_a_changed_answer_is_found_and_the_others_are_not() -> None:
    walk = Walk(Session("counter", cycles=2))
    for question in ("run_to event=host_called", "registers rip", "step", "run_to symbol=nothing"):
        walk.ask(question)
    assert walk.notebook.questions[3].answer.startswith("error: ")
    changed = Notebook.read(walk.notebook.markdown().replace("rip 0x", "rip 0xf"))
    (difference,) = repeat(changed)
    assert (difference.number, difference.question) == (2, "registers rip")
    assert difference.first.replace("0xf", "0x", 1) == difference.second


def test_a_notebook_whose_run_cannot_be_made_is_refused() -> None:
    walk = Walk(Session("counter"))
    walk.ask("where")
    with pytest.raises(NotebookError, match="the payload with SHA-256 0000"):
        list(repeat(Notebook.read(walk.notebook.markdown().replace(walk.notebook.header.payload_sha256[0], "0" * 64))))
    with pytest.raises(NotebookError, match="outside the emulator"):
        list(repeat(Notebook.read(walk.notebook.markdown().replace('"verifier":"built-in"', '"verifier":"external"'))))
    walk.notebook.entries.append(Question("jump", "x"))
    with pytest.raises(NotebookError, match=r"question 2: 'jump' is not a question; there are where"):
        list(repeat(walk.notebook))


@given(st.text() | st.builds("{} {}".format, st.sampled_from(NAMES), st.text(st.characters(codec="utf-8"), max_size=9)))
def test_any_text_is_a_question_or_one_error(text: str) -> None:
    run = Session("counter")
    try:
        said = answer(run, text)
    except QuestionError as error:
        assert str(error)  # noqa: PT017
    else:
        assert said
        assert "\x1b" not in said


@pytest.mark.parametrize(
    "question", ["", "x" * (LONGEST + 1), "step x", "step -1", "memory 0 257", "memory 0xffffffff 8", "run_to",
                 "run_to x=1", "run_to at_ns=1x", "go_to", "go_to 1+1+1", "registers cr0", "calls zz", "where 1"]
)  # fmt: skip
def test_what_is_no_question_is_an_error(question: str) -> None:
    with pytest.raises(QuestionError):
        answer(Session("counter"), question)


def test_the_page_has_no_markup_from_the_notebook() -> None:
    page = notebook_of(["<script>a</script>", Question("<b>", "<i>&")]).html()
    assert "<script>" not in page
    assert "&lt;i&gt;&amp;" in page
    assert "&gt; &lt;b&gt;" in page
