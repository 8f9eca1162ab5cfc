"""Annotated texts that tests share, and a tiny sequence-to-sequence model of random weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from crossfade.data import AnnotatedExample, Corpus, Mention
from crossfade.data.tags import mentions_of_tags

PEOPLE = ["ann", "bob", "cleo", "dan"]
PLACES = ["rome", "oslo", "lima", "cairo"]
FILLER = ["the", "met", "in", "and", "near", "saw"]
INTENTS = {"pay": "pays", "card": "card", "when": "when"}


def sentences(count: int, seed: int = 0, length: int = 6) -> list[AnnotatedExample]:
    """Write sentences with one person and one place among other words."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        words, tags = rng.choice(FILLER, length).tolist(), ["O"] * length
        for place, names, kind in zip(rng.permutation(length)[:2], (PEOPLE, PLACES), ("person", "place"), strict=True):
            words[place], tags[place] = str(rng.choice(names)), f"B-{kind}"
        text, mentions = mentions_of_tags(words, tags)
        rows.append(AnnotatedExample((text,), "entities", (), mentions))
    return rows


def requests(count: int, seed: int = 0) -> list[AnnotatedExample]:
    """Write texts whose words say which of three intents they have."""
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        has = [intent for intent in INTENTS if rng.random() < 0.5]
        words = [*rng.choice(FILLER, 3).tolist(), *(INTENTS[intent] for intent in has)]
        rows.append(AnnotatedExample((" ".join(rng.permutation(words).tolist()),), "intents", tuple(sorted(has))))
    return rows


def corpus_of(rows: Sequence[AnnotatedExample]) -> Corpus:
    """Make a corpus of annotated rows."""
    names = tuple(sorted({name for row in rows for name in row.attributes}))
    return Corpus(tuple(rows), (rows[0].label,), {}, "notes", names)


def parsed(text: str, intents: Sequence[str], **slots: str) -> AnnotatedExample:
    """Write a text with intents, and slots by name."""
    mentions = tuple(Mention(text.find(value), value, name) for name, value in slots.items())
    return AnnotatedExample((text,), "parses", tuple(intents), mentions)


def write_tiny_t5(folder: Path, words: Sequence[str], more_rows: int = 0) -> None:
    """Write a T5 of random weights with a tokenizer of words; unknown words are '<unk>'.

    Args:
        folder: Where to write.
        words: The vocabulary.
        more_rows: Rows of the model that no token has.
    """
    vocabulary = ["<pad>", "</s>", "<unk>", *words]
    reader = Tokenizer(models.WordLevel({word: index for index, word in enumerate(vocabulary)}, unk_token="<unk>"))
    reader.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    reader.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    tokenizer: Any = PreTrainedTokenizerFast
    tokenizer(tokenizer_object=reader, eos_token="</s>", pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
    sizes: dict[str, Any] = {
        "d_model": 32,
        "d_kv": 8,
        "d_ff": 64,
        "num_layers": 1,
        "num_heads": 4,
        "decoder_start_token_id": 0,
    }
    config = T5Config(vocab_size=len(vocabulary) + more_rows, dropout_rate=0.0, **sizes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        T5ForConditionalGeneration(config).save_pretrained(folder)
