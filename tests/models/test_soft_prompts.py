"""Soft prompts before a causal and an encoder-decoder model; both are tiny and of random weights."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from crossfade.attribute_roles import AttributePrompt, MixerName, PromptTuning, SoftPromptShape, WritingStyle, Written
from crossfade.errors import ModelError
from crossfade.models.prompt_decoding import Pull
from crossfade.models.prompt_tuning import SoftPromptTuner, TunedPrompts
from crossfade.roles import Sampling
from tests.annotated_doubles import write_tiny_t5
from tests.causal_doubles import WORDS

pytestmark = pytest.mark.usefixtures("one_thread")
PROMPTS = [
    AttributePrompt(groups=((kind,),), words="w1 w2", values=(text,)) for kind, text in (("a", "w5"), ("b", "w7"))
]
TEXTS = ["w5 w6", "w7 w8"]
GREEDY = WritingStyle(sampling=Sampling(temperature=0, max_tokens=4))


def shape(mixer: MixerName = "concat") -> SoftPromptShape:
    return SoftPromptShape(
        instruction="w3 w4",
        descriptions={"a": "w5", "b": "w7 w8", "c": "w9"},
        prefix_length=5,
        attribute_length=3,
        mixer=mixer,
        mixing_temperature=1.0,
        most_attributes=2,
    )


def tuning(epochs: int = 1, rate: float = 0.1) -> PromptTuning:
    return PromptTuning(learning_rate=rate, epochs=epochs, batch_size=2, rows_at_once=1, patience=3, seed=0)


@pytest.fixture(scope="session")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("t5")
    write_tiny_t5(folder, WORDS[1:])
    return folder


@pytest.fixture(params=["causal", "encoder-decoder"])
def tuner(request: pytest.FixtureRequest, llama: Path, t5: Path, tmp_path: Path) -> SoftPromptTuner:
    found = SoftPromptTuner(llama if request.param == "causal" else t5, cache=tmp_path, kept=tmp_path / "kept")
    assert found.prompted.has_encoder == (request.param != "causal")
    return found


def said(written: list[list[Written]]) -> list[list[str]]:
    return [[each.text for each in texts] for texts in written]


def tuned(tuner: SoftPromptTuner, epochs: int, mixer: MixerName = "concat") -> TunedPrompts:
    return tuner.tune(shape(mixer), PROMPTS, TEXTS, development=((), ()), tuning=tuning(epochs))


@pytest.mark.model
def test_every_token_with_an_end_of_a_line_ends_a_text(tmp_path: Path) -> None:
    from crossfade.opening import cache_folder
    from crossfade.packaged import packaged_writer

    prompted = SoftPromptTuner(packaged_writer(), cache=cache_folder(), kept=tmp_path).prompted
    assert set(prompted.tokens("\n") + prompted.tokens("\n\n")) <= set(prompted.ends)
    assert not set(prompted.tokens("a text")) & set(prompted.ends)


def test_prompts_start_from_words(tuner: SoftPromptTuner) -> None:
    prompted = tuner.prompted
    soft = prompted.new_prompts(shape())
    vectors = prompted.embed(prompted.tokens("w3 w4"))
    assert torch.equal(soft.prefix.data, vectors[[0, 1, 0, 1, 0]].float())
    assert torch.equal(soft.prompts.data[1], prompted.embed(prompted.tokens("w7 w8 w7")).float())


@pytest.mark.parametrize("mixer", ["concat", "pooling", "attention", "bottleneck", "cnn", "sum"])
def test_prompts_and_mixer_change_and_the_model_does_not(tuner: SoftPromptTuner, mixer: MixerName) -> None:
    model = tuner.prompted.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    start = tuner.prompted.new_prompts(shape(mixer)).state_dict()
    # Two attributes in a text, or a mixer would have nothing to weigh.
    both = [AttributePrompt(groups=(("a", "b"),), words="w1 w2")] * 2
    made = tuner.tune(shape(mixer), both, TEXTS, development=((), ()), tuning=tuning())
    for name, value in made.soft.state_dict().items():
        if name == "prompts":
            # The third attribute is of no text.
            assert torch.equal(value[2], start[name][2])
            assert not torch.equal(value[:2], start[name][:2])
        else:
            assert not torch.equal(value, start[name]), name
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_training_teaches_each_attribute_its_text(tuner: SoftPromptTuner) -> None:
    made = tuned(tuner, epochs=60)
    # A tiny T5 of random weights hears little of what its encoder reads.
    if tuner.prompted.has_encoder:
        assert made.losses[-1] < 0.85 * made.losses[0]
        return
    assert made.losses[-1] < 0.3 * made.losses[0]
    assert said(made.write(PROMPTS, style=GREEDY, candidates=1, seed=0)) == [[text] for text in TEXTS]


def test_the_loss_counts_the_tokens_of_the_text_alone(tuner: SoftPromptTuner) -> None:
    prompted = tuner.prompted
    soft = prompted.new_prompts(shape())
    alone = [prompted.losses(soft, [prompt], [text]).item() for prompt, text in zip(PROMPTS, TEXTS, strict=True)]
    # Both texts have as many tokens, so that the mean over all is the mean of both, whatever is padded.
    longer = [PROMPTS[0], AttributePrompt(groups=PROMPTS[1].groups, words="w1 w2 w1 w2 w1")]
    assert prompted.losses(soft, PROMPTS, TEXTS).item() == pytest.approx(sum(alone) / 2, rel=1e-4)
    last = prompted.losses(soft, longer[1:], TEXTS[1:]).item()
    assert prompted.losses(soft, longer, TEXTS).item() == pytest.approx((alone[0] + last) / 2, rel=1e-4)


def test_the_same_seed_gives_the_same_texts_and_so_many_of_them(tuner: SoftPromptTuner) -> None:
    made = tuned(tuner, epochs=1)
    style = WritingStyle(sampling=Sampling(temperature=1.0, max_tokens=5), repetition_penalty=1.4)
    first = made.write(PROMPTS, style=style, candidates=3, seed=1)
    assert [len(texts) for texts in first] == [3, 3]
    assert first == made.write(PROMPTS, style=style, candidates=3, seed=1)
    assert first != made.write(PROMPTS, style=style, candidates=3, seed=2)
    beams = WritingStyle(sampling=Sampling(temperature=1.0, max_tokens=5), beams=True)
    assert [len(texts) for texts in made.write(PROMPTS, style=beams, candidates=2, seed=1)] == [2, 2]


def test_prompts_beside_it_do_not_change_what_is_written(tuner: SoftPromptTuner) -> None:
    made = tuned(tuner, epochs=1)
    longer = AttributePrompt(groups=(("a", "b", "c"),), words="w1 w2 w3 w4 w5 w6")
    together = made.write([PROMPTS[0], longer], style=GREEDY, candidates=1, seed=0)
    assert together[0] == made.write(PROMPTS[:1], style=GREEDY, candidates=1, seed=0)[0]


@pytest.mark.parametrize(("pull", "held"), [(1e-9, False), (50.0, True)])
def test_texts_are_pulled_towards_their_values_and_do_not_end_before_them(
    tuner: SoftPromptTuner, pull: float, held: bool
) -> None:
    made = tuned(tuner, epochs=60)
    wanted = AttributePrompt(groups=(("a",),), words="w1 w2", values=("w30 w31",))
    style = WritingStyle(sampling=Sampling(temperature=0, max_tokens=6), pull=pull)
    ((written,),) = made.write([wanted], style=style, candidates=1, seed=0)
    # Left alone it never says w30, so that it runs until its last token.
    assert ("w30 w31" in written.text) is held
    assert held or not written.is_whole


def log_probabilities(made: TunedPrompts, prompt: AttributePrompt, said: list[int]) -> torch.Tensor:
    """Of the next token, read from the beginning, without a cache or rows beside it."""
    prompted = made.prompted
    (before,) = prompted.inputs(made.soft, [prompt])
    if prompted.has_encoder:
        tokens = torch.tensor([[prompted.model.config.decoder_start_token_id, *said]])
        logits = prompted.model(inputs_embeds=before[None], decoder_input_ids=tokens).logits
    else:
        logits = prompted.model(inputs_embeds=torch.cat([before, prompted.embed(said)])[None]).logits
    found: torch.Tensor = logits[0, -1].log_softmax(dim=-1)
    return found


def test_what_the_attributes_add_counts_so_many_times(tuner: SoftPromptTuner) -> None:
    made = tuned(tuner, epochs=3)
    prompts = [
        AttributePrompt(groups=(("a",),), words="w1 w2", bare_words="w2"),
        AttributePrompt(groups=(("b", "c"),), words="w1 w2 w3 w4", bare_words="w1 w5 w6 w2 w3"),
    ]
    plain, guided = (
        said(
            made.write(
                prompts, style=WritingStyle(sampling=GREEDY.sampling, guidance_scale=scale), candidates=1, seed=0
            )
        )
        for scale in (1.0, 4.0)
    )
    assert plain == said(made.write(prompts, style=GREEDY, candidates=1, seed=0)) != guided
    for prompt, (text,) in zip(prompts, guided, strict=True):
        without = AttributePrompt(groups=(), words=prompt.bare_words)
        expected: list[int] = []
        with torch.no_grad():
            while len(expected) < 4 and not set(expected) & set(tuner.prompted.ends):
                bare = log_probabilities(made, without, expected)
                given = log_probabilities(made, prompt, expected)
                # A token must have a tenth of the likeliest's probability.
                scores = (bare + 4 * (given - bare)).masked_fill(given.exp() < given.exp().max() / 10, -torch.inf)
                expected.append(int(scores.argmax()))
        assert text == tuner.prompted.weights.tokenizer.decode(expected, skip_special_tokens=True).strip()


def test_every_candidate_is_guided_by_its_own_row(tuner: SoftPromptTuner) -> None:
    made = tuned(tuner, epochs=60)
    prompts = [replace(prompt, bare_words="w1 w2 w3"[: 5 + 3 * row]) for row, prompt in enumerate(PROMPTS)]
    # So strong that sampling can only draw the likeliest.
    greedy, drawn = (
        WritingStyle(sampling=Sampling(temperature=temperature, max_tokens=4), guidance_scale=2000.0)
        for temperature in (0.0, 1.0)
    )
    ((first,), (second,)) = said(made.write(prompts, style=greedy, candidates=1, seed=0))
    assert first != second
    assert said(made.write(prompts, style=drawn, candidates=3, seed=0)) == [[first] * 3, [second] * 3]


@pytest.mark.parametrize("beams", [False, True])
def test_texts_that_did_not_end_are_not_whole(tuner: SoftPromptTuner, beams: bool) -> None:
    made = tuned(tuner, epochs=1)
    style = WritingStyle(sampling=Sampling(temperature=2.0, max_tokens=12), beams=beams)
    some = [text for row in made.write(PROMPTS * 8, style=style, candidates=4, seed=0) for text in row]
    whole, cut_off = ([len(each.text.split()) for each in some if each.is_whole is ended] for ended in (True, False))
    assert max(whole) < 12
    # The tiny T5 says special tokens, too, which are no text.
    assert max(cut_off) == 12
    assert tuner.prompted.has_encoder or set(cut_off) == {12}


def test_a_value_that_must_stand_there_twice_holds_a_text_back_until_it_does(tuner: SoftPromptTuner) -> None:
    prompted = tuner.prompted
    pull = Pull(prompted, [("w5", "w5"), ("w5",)], 2.0)
    said_once = torch.tensor([prompted.tokens("w5 w6")] * 2)
    scores = pull(said_once, torch.zeros(2, len(prompted.weights.tokenizer)))
    assert torch.isinf(scores[0, prompted.ends]).all()
    assert scores[0, prompted.tokens("w5")].tolist() == [2.0]
    assert not scores[1].any()
    twice = torch.tensor([prompted.tokens("w5 w5")] * 2)
    assert not pull(twice, torch.zeros(2, len(prompted.weights.tokenizer))).any()


def test_a_value_that_was_begun_is_gone_on_with_before_another_is(tuner: SoftPromptTuner) -> None:
    prompted = tuner.prompted
    pull = Pull(prompted, [("w5 w6 w7", "w8")] * 2, 2.0)
    said = torch.tensor([prompted.tokens("w9 w5 w6"), prompted.tokens("w5 w6 w9")])
    scores = pull(said, torch.zeros(2, len(prompted.weights.tokenizer)))
    assert (scores[0] == 2.0).nonzero().flatten().tolist() == prompted.tokens("w7")
    assert (scores[1] == 2.0).nonzero().flatten().tolist() == sorted(prompted.tokens("w5 w8"))


def test_without_a_temperature_nothing_is_drawn_whatever_the_model_asks_for(tuner: SoftPromptTuner) -> None:
    made = tuned(tuner, epochs=1)
    first = made.write(PROMPTS, style=GREEDY, candidates=1, seed=0)
    tuner.prompted.model.generation_config.do_sample = True
    assert all(made.write(PROMPTS, style=GREEDY, candidates=1, seed=seed) == first for seed in range(5))


def test_a_loss_that_is_no_number_is_told_with_what_to_do(
    tuner: SoftPromptTuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = tuner.prompted.losses
    monkeypatch.setattr(tuner.prompted, "losses", lambda *given: losses(*given) * float("nan"))
    with pytest.raises(ModelError, match=r"is nan after epoch 1; expected a number.*method\.learning_rate below 0\.1"):
        tuned(tuner, epochs=2)
    assert not tuner.kept.exists()


def test_what_an_encoder_reads_ends_with_the_end_token(tuner: SoftPromptTuner) -> None:
    prompted = tuner.prompted
    words = prompted.tokens("w1 w2")
    (row,) = prompted.inputs(prompted.new_prompts(shape()), PROMPTS[:1])
    read = [*words, prompted.end] if prompted.has_encoder else words
    assert torch.equal(row[5 + 3 :], prompted.embed(read))


def test_the_epoch_with_the_lowest_development_loss_is_kept(llama: Path, tmp_path: Path) -> None:
    tuner = SoftPromptTuner(llama, cache=tmp_path, kept=tmp_path / "kept")
    # What is taught is the contrary of what development asks for: the first epochs are the best.
    made = tuner.tune(shape(), PROMPTS, TEXTS, development=(PROMPTS, TEXTS[::-1]), tuning=tuning(30))
    assert len(made.losses) < 30
    again = [
        tuner.prompted.losses(made.soft, [prompt], [text]).item()
        for prompt, text in zip(PROMPTS, TEXTS[::-1], strict=True)
    ]
    assert sum(again) / 2 == pytest.approx(min(made.losses), rel=1e-4)


def test_the_name_goes_by_what_was_learned(tuner: SoftPromptTuner) -> None:
    assert tuned(tuner, 1).name != tuned(tuner, 2).name
    name = tuned(tuner, 1).name
    shutil.rmtree(tuner.kept)
    assert tuned(tuner, 1).name == name


def test_prompts_are_trained_once_for_the_same_rows_and_settings(
    tuner: SoftPromptTuner, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tuned(tuner, 1, "attention")

    def refused(*_: object) -> None:
        raise AssertionError("trained again")

    with monkeypatch.context() as changed:
        changed.setattr(tuner, "_train", refused)
        again = tuned(tuner, 1, "attention")
        with pytest.raises(AssertionError, match="trained again"):
            tuned(tuner, 2, "attention")
    assert (again.name, again.losses) == (first.name, first.losses)
    assert again.write(PROMPTS, style=GREEDY, candidates=1, seed=0) == first.write(
        PROMPTS, style=GREEDY, candidates=1, seed=0
    )


def test_the_order_in_which_attributes_are_given_does_not_matter(tuner: SoftPromptTuner) -> None:
    soft = tuner.prompted.new_prompts(shape())
    words = tuner.prompted.embed(tuner.prompted.tokens("w1")).float()
    assert torch.equal(soft.block((("b", "a"),), words), soft.block((("a", "b"),), words))
    assert soft.block((), words).shape == (0, words.shape[1])
    assert soft.block((("a", "b"), ("c",)), words).shape[0] == 9
