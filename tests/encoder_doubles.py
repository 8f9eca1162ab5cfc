"""A transformer encoder of random weights, small enough to be trained in a test."""

from pathlib import Path

FRUIT = ["apple", "pear", "plum", "grape"]
METAL = ["iron", "gold", "zinc", "lead"]


def write_tiny_encoder(folder: Path) -> str:
    """Write a BERT of random weights, 16 wide, that knows eight words; return its folder."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizer

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *FRUIT, *METAL]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=16,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return str(folder)
