from crossfade.models.scripted import ScriptedModel
from crossfade.roles import Request


def test_function_sees_the_request_and_every_request_is_counted() -> None:
    model = ScriptedModel(lambda request: request.prompt.upper())
    replies = list(model.answer([Request(prompt="a"), Request(prompt="b")]))
    assert [reply.text for reply in replies] == ["A", "B"]
    assert model.asked == 2


def test_table_is_read_by_the_full_prompt() -> None:
    model = ScriptedModel({"shared one": "1"})
    (reply,) = model.answer([Request(prefix="shared ", prompt="one")])
    assert (reply.text, reply.error) == ("1", None)


def test_prompt_outside_the_table_is_a_failed_reply() -> None:
    (reply,) = ScriptedModel({}).answer([Request(prompt="one")])
    assert reply.text == ""
    assert reply.error is not None
    assert "'one'" in reply.error


def test_requests_are_read_one_at_a_time() -> None:
    read: list[str] = []
    requests = (read.append(word) or Request(prompt=word) for word in "abc")  # type: ignore[func-returns-value]
    next(ScriptedModel(lambda _: "").answer(requests))
    assert read == ["a"]


def test_name_and_form_are_the_given_ones() -> None:
    model = ScriptedModel({}, name="writer", preferred_form="continue")
    assert (model.name, model.preferred_form) == ("writer", "continue")
