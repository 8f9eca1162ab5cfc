from collections.abc import Iterable, Iterator

import numpy as np
from tests.annotated_doubles import corpus_of, sentences
from tests.doubles import FakeEncoder

from crossfade.attribute_roles import Written
from crossfade.methods.attribute_prompting import read_text
from crossfade.methods.example_prompting import ExamplePromptingSettings, augment
from crossfade.roles import Form, Reply, Request

GOLD = corpus_of(sentences(6))


class Writer:
    """Answers with the last line that says what a text must contain, every second time without its end."""

    name = "w"

    def __init__(self, form: Form) -> None:
        self.preferred_form: Form = form
        self.requests: list[Request] = []

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        for request in requests:
            self.requests.append(request)
            values = request.prompt.rpartition("Contains: ")[2].partition("\n")[0].split("; ")
            said = values if len(self.requests) % 2 else values[:-1]
            yield Reply(request=request, text=f" now {len(self.requests)} {' and '.join(said)}\nContains: more")


def test_a_model_is_told_in_words_what_a_text_must_contain_and_asked_again() -> None:
    writer = Writer("continue")
    settings = ExamplePromptingSettings(texts_per_class=6, duplicate_similarity=1.0)
    made = augment(GOLD, writer=writer, encoder=FakeEncoder(), settings=settings, rng=np.random.default_rng(0))
    assert len(made.kept) == 6
    assert made.losses["entities"]["missing"] > 0
    assert len(set(writer.requests)) == len(writer.requests)
    assert writer.requests[0].prompt.count("Contains: ") == 4
    assert writer.requests[0].prompt.endswith("\nText:")
    assert writer.requests[0].sampling.stop == ("\n",)
    for row in made.kept:
        assert row.example.text.startswith("now ")


def test_models_that_follow_instructions_get_one() -> None:
    writer = Writer("instruct")
    settings = ExamplePromptingSettings(texts_per_class=2, attribute_exemplars=1)
    augment(GOLD, writer=writer, encoder=FakeEncoder(), settings=settings, rng=np.random.default_rng(0))
    assert "letter for letter" in writer.requests[0].prompt


def test_a_text_that_hit_the_most_tokens_is_told_from_a_whole_one() -> None:
    listed, instructed = Request(prompt="", form="continue"), Request(prompt="", form="instruct")
    assert read_text(Reply(request=listed, text=" Ann is", finish="length")) == Written("Ann is", is_whole=False)
    assert read_text(Reply(request=listed, text=" Ann sat.\nBob is", finish="length")) == Written("Ann sat.")
    assert read_text(Reply(request=listed, text=" Ann sat.", finish="stop")) == Written("Ann sat.")
    assert read_text(Reply(request=instructed, text="Ann is", finish="length")) == Written("Ann is", is_whole=False)
    assert read_text(Reply(request=instructed, text="Ann sat.\nBob is", finish="length")) == Written("Ann sat.")
    assert read_text(Reply(request=instructed, text="", finish="length")) == Written("")
