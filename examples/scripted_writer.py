"""Run PromptMix with a writer that is a function: see what is asked, and what becomes of the answers.

python examples/scripted_writer.py
"""

import numpy as np

import crossfade
from crossfade.methods.promptmix import PromptMixSettings, augment
from crossfade.models.encoder import SentenceEncoder
from crossfade.models.scripted import ScriptedModel
from crossfade.roles import Request

gold = crossfade.read_corpus(
    [
        ("I was charged twice for one order.", "billing"),
        ("Where do I find my invoice?", "billing"),
        ("The parcel never arrived.", "delivery"),
        ("When will my order be here?", "delivery"),
    ],
    descriptions={"billing": "invoices, charges and refunds", "delivery": "where an order is"},
    kind="customer messages",
)
prompts: list[str] = []


def write(request: Request) -> str:
    """Answer with three lines, the last of them a copy of a gold text, which will be dropped."""
    prompts.append(request.full_prompt)
    number = len(prompts)
    return (
        f"1. Shipment {number} cost me extra.\n2. Invoice {number} came before the box.\n3. The parcel never arrived."
    )


made = augment(
    gold,
    writer=ScriptedModel(write),
    encoder=SentenceEncoder(),
    settings=PromptMixSettings(texts_per_class=3, duplicate_similarity=0.999),
    rng=np.random.default_rng(0),
)
print(prompts[0], "\n")
for row in (*made.kept, *made.dropped):
    origin = row.origin
    print(f"{row.example.label:9} ratio {origin.ratio}  {row.example.text}  [{origin.reason or 'kept'}]")
print(made.stopped)
