"""A key-value cache in which many texts continue one prompt, whose keys are there once for all of them.

Each row belongs to a prompt. Behind the prompt lie the tokens of the texts that continue it, in the order in which they
were read; a mask lets each text see the prompt and itself. What ended texts leave is squeezed out when room runs short.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from crossfade.errors import ModelError

if TYPE_CHECKING:
    import torch

EVERYBODY = -1
"""Owner of a prompt's positions."""
NOBODY = -2
"""Owner of positions that no text sees: padding, and what ended texts leave."""
AT_A_TIME = 16
"""Prompts read in one pass; the logits after each are held for as many prompts as have different lengths."""
STEPS = 4
"""Steps for which room is made at a time: more are more for attention to pass over, fewer are more copying."""


@dataclass(frozen=True, slots=True)
class _Rows:
    """Keys and values of some prompts."""

    owner: "torch.Tensor"
    """Whose each position is, [rows, length]."""
    layers: Sequence[tuple["torch.Tensor", "torch.Tensor"]]
    """Keys and values of each layer, [rows, heads, length, width]."""


class SharedCache:
    """Keys and values of prompts and of the texts that continue them.

    Args:
        model: A causal language model of transformers.

    Raises:
        ModelError: Some layer of the model does not see the whole context.
    """

    def __init__(self, model: Any) -> None:
        kinds = set(getattr(model.config, "layer_types", None) or ["full_attention"])
        if kinds != {"full_attention"}:
            raise ModelError(
                f"Guided writing needs full attention in every layer; this model has {sorted(kinds)}.",
                hint="Use a model such as SmolLM2, Llama or Qwen2.5.",
            )
        self._model = model
        self._cache: Any = None
        self._owner: torch.Tensor | None = None

    def open(self, prompts: Sequence[Sequence[int]]) -> "torch.Tensor":
        """Read prompts into new rows behind the others; return the logits that follow each, [prompts, vocabulary]."""
        import torch

        parts = [prompts[start : start + AT_A_TIME] for start in range(0, len(prompts), AT_A_TIME)]
        logits, read = zip(*map(self._read, parts), strict=True)
        self._append(read)
        return torch.cat(logits)

    def _read(self, prompts: Sequence[Sequence[int]]) -> tuple["torch.Tensor", "_Rows"]:
        """Read a few prompts; return the logits that follow each, and their keys and values."""
        import torch

        longest = max(map(len, prompts))
        tokens = torch.zeros((len(prompts), longest), dtype=torch.long)
        owner = torch.full((len(prompts), longest), NOBODY)
        for row, prompt in enumerate(prompts):
            tokens[row, : len(prompt)] = torch.tensor(prompt)
            owner[row, : len(prompt)] = EVERYBODY
        last = [len(prompt) - 1 for prompt in prompts]
        ends = sorted(set(last))
        # Padding stands behind each prompt, where causal attention keeps it out of sight.
        output = self._model(
            input_ids=tokens.to(self._model.device),
            logits_to_keep=torch.tensor(ends, device=self._model.device),
            use_cache=True,
        )
        logits: torch.Tensor = output.logits[torch.arange(len(prompts)), [ends.index(place) for place in last]]
        layers = [(layer.keys, layer.values) for layer in output.cache.layers]
        return logits, _Rows(owner.to(self._model.device), layers)

    def close(self, rows: Sequence[int]) -> None:
        """Let go of some rows; those behind them move up."""
        import torch

        owner = self._held
        kept = torch.ones(len(owner), dtype=torch.bool, device=owner.device)
        kept[list(rows)] = False
        self._owner = owner[kept]
        for layer in self._cache.layers:
            layer.keys, layer.values = layer.keys[kept], layer.values[kept]

    def forget(self, texts: Sequence[int]) -> None:
        """Let go of ended texts, named by their numbers."""
        import torch

        owner = self._held
        owner[torch.isin(owner, torch.tensor(texts, device=owner.device))] = NOBODY

    def advance(self, tokens: "torch.Tensor", positions: "torch.Tensor", texts: "torch.Tensor") -> "torch.Tensor":
        """Read one more token of some texts.

        Args:
            tokens: Token ids, [rows, texts].
            positions: Their places behind the start of the prompt, [rows, texts].
            texts: The number of the text each belongs to, [rows, texts]; `NOBODY` where a row has fewer texts.

        Returns:
            The logits that follow, [rows, texts, vocabulary].
        """
        import torch

        self._make_room(tokens.shape[1])
        self._owner = torch.cat([self._held, texts], dim=1)
        seen = (self._owner[:, None] == texts[:, :, None]) & (texts[:, :, None] != NOBODY)
        seen |= (self._owner == EVERYBODY)[:, None]
        # Some attention adds its mask to the scores, so it is no boolean one.
        mask = torch.zeros(seen.shape, dtype=self._model.dtype, device=seen.device).masked_fill_(~seen, -torch.inf)
        output = self._model(
            input_ids=tokens, position_ids=positions, attention_mask=mask[:, None], cache=self._cache, use_cache=True
        )
        logits: torch.Tensor = output.logits
        return logits

    @property
    def _held(self) -> "torch.Tensor":
        assert self._owner is not None, "a prompt is opened before anything else"
        return self._owner

    def _append(self, read: Sequence["_Rows"]) -> None:
        """Put rows behind those held."""
        import torch
        from torch.nn.functional import pad
        from transformers.cache_utils import Cache

        rows = list(read)
        if self._owner is not None and len(self._owner):
            held = [(each.keys[:, :, : each.used], each.values[:, :, : each.used]) for each in self._cache.layers]
            rows.insert(0, _Rows(self._owner, held))
        length = max(part.owner.shape[1] for part in rows)
        self._owner = torch.cat([pad(part.owner, (0, length - part.owner.shape[1]), value=NOBODY) for part in rows])

        def together(layer: int, which: int) -> torch.Tensor:
            parts = [part.layers[layer][which] for part in rows]
            return torch.cat([pad(part, (0, 0, 0, length - part.shape[2])) for part in parts])

        layers = range(len(rows[0].layers))
        self._cache = Cache(layers=[_layer()(together(layer, 0), together(layer, 1)) for layer in layers])

    def _make_room(self, texts: int) -> None:
        """See to it that one more token of so many texts fits."""
        import torch

        first = self._cache.layers[0]
        if first.used + texts <= first.keys.shape[2]:
            return
        owner = self._held
        alive = owner != NOBODY
        longest = int(alive.sum(dim=1).max())
        # A stable sort brings what is alive to the front, in its order.
        order = (~alive).to(torch.int8).argsort(dim=1, stable=True)[:, :longest]
        self._owner = owner.gather(1, order)
        for layer in self._cache.layers:
            layer.keep(order, room=longest + STEPS * texts)


@cache
def _layer() -> Any:
    """Make the class of a layer's cache; transformers is imported only when it is needed."""
    from transformers.cache_utils import DynamicLayer

    # transformers publishes no types for its layers.
    base: Any = DynamicLayer

    class Layer(base):  # type: ignore[misc]
        """Keys and values, [rows, heads, room, width], of which the first `used` positions are filled."""

        keys: "torch.Tensor"
        values: "torch.Tensor"

        def __init__(self, keys: "torch.Tensor", values: "torch.Tensor") -> None:
            super().__init__()
            self.lazy_initialization(keys, values)
            self.keys, self.values, self.used = keys, values, keys.shape[2]

        def update(
            self, key_states: "torch.Tensor", value_states: "torch.Tensor", *args: Any, **options: Any
        ) -> tuple["torch.Tensor", "torch.Tensor"]:
            """Write one more token of each text into the room; return all that is filled."""
            end = self.used + key_states.shape[2]
            self.keys[:, :, self.used : end] = key_states
            self.values[:, :, self.used : end] = value_states
            self.used = end
            return self.keys[:, :, :end], self.values[:, :, :end]

        def keep(self, order: "torch.Tensor", *, room: int) -> None:
            """Keep the positions in `order`, [rows, kept], and make room."""
            self.used = order.shape[1]
            for name in ("keys", "values"):
                held = getattr(self, name)
                rows, heads, _, width = held.shape
                places = order[:, None, :, None].expand(rows, heads, self.used, width)
                grown = held.new_empty((rows, heads, room, width))
                grown[:, :, : self.used] = held.gather(2, places)
                setattr(self, name, grown)

        def get_seq_length(self) -> int:
            """Return how many positions are filled."""
            return int(self.used)

    return Layer
