"""A causal language model of random weights that reads words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = ["<s>", *(f"w{number}" for number in range(40))]
"""The vocabulary of the fixture `weights` in tests/models."""


def write_tiny_llama(folder: Path, words: Sequence[str], **config: Any) -> None:
    """Write a Llama of random weights, large enough to make continuations differ, with a tokenizer of words.

    Args:
        folder: Where to write.
        words: The vocabulary; the first word begins and ends texts and stands for unknown words.
        config: Values of the model's configuration.
    """
    reader = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token=words[0]))
    reader.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer: Any = PreTrainedTokenizerFast
    tokenizer(tokenizer_object=reader, bos_token=words[0], eos_token=words[0]).save_pretrained(folder)
    values = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "initializer_range": 0.5,
    }
    settings = LlamaConfig(vocab_size=len(words), bos_token_id=0, eos_token_id=0, **(values | config))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        # Rounded, so that whether a machine reads bfloat16 changes no weight.
        model: Any = LlamaForCausalLM(settings).bfloat16()
        model.save_pretrained(folder)


def put_begin_token(folder: Path) -> None:
    """Let the tokenizer in a folder put its begin token before every text, as Llama 3's does."""
    tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder)
    begin = tokenizer.bos_token
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A", special_tokens=[(begin, tokenizer.bos_token_id)]
    )
    tokenizer.save_pretrained(folder)
