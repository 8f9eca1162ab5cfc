"""How near does prompt tuning come to the machine's peak of matrix multiplication in the same dtype?

    python benchmarks/soft_prompt_speed.py

Processor seconds of one thread, so that other work on the machine counts little; on a GPU, wall time. The peak is
measured anew beside every step. A step is forward, and back to the inputs of a frozen model: 4 operations for each
parameter and token of the layers (no gradient of weights), 4 for the output layer at the positions that are counted;
attention is left out, so that the shares are a little too low.
"""

import argparse
import time
from collections.abc import Callable

import torch

from crossfade.attribute_roles import AttributePrompt, MixerName, SoftPromptShape
from crossfade.models.prompt_tuning import SoftPromptTuner
from crossfade.models.soft_prompts import SoftPrompts
from crossfade.opening import cache_folder
from crossfade.packaged import packaged_writer

SIZE = 1536
"""Rows and columns of the matrices that the peak is measured with."""
MIXERS: tuple[MixerName, ...] = ("concat", "pooling", "attention", "bottleneck", "cnn", "sum")


def seconds(work: Callable[[], object], times: int = 1) -> float:
    """Return the seconds that a piece of work takes."""
    gpu = torch.cuda.is_available()
    clock = time.perf_counter if gpu else time.process_time
    work()
    if gpu:
        torch.cuda.synchronize()
    started = clock()
    for _ in range(times):
        work()
    if gpu:
        torch.cuda.synchronize()
    return (clock() - started) / times


def peak(dtype: torch.dtype, device: torch.device) -> float:
    """Return the operations a second of a large product."""
    matrix = torch.randn(SIZE, SIZE, device=device).to(dtype)
    return 2 * SIZE**3 / seconds(lambda: matrix @ matrix, times=2)


def step(tuner: SoftPromptTuner, soft: SoftPrompts, prompts: list[AttributePrompt], texts: list[str]) -> None:
    """Do what training does with the rows that are read at once."""
    torch.autograd.backward(tuner.prompted.losses(soft, prompts, texts))
    soft.zero_grad()


def main() -> None:
    """Measure each mixer, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=6)
    parser.add_argument("--prefix", type=int, default=100)
    parser.add_argument("--length", type=int, default=20)
    given = parser.parse_args()
    if not torch.cuda.is_available():
        torch.set_num_threads(1)
    tuner = SoftPromptTuner(packaged_writer(), cache=cache_folder(), kept=cache_folder() / "soft_prompts")
    model = tuner.prompted.model
    body = sum(value.numel() for value in model.base_model.layers.parameters())
    head = model.get_output_embeddings().weight.numel()
    text = "remind me to water the plants in the garden tomorrow at five in the afternoon"
    words = "Reminders, each with what it must contain:\n\nContains: me; the plants; tomorrow\nText:"
    print(f"dtype {model.dtype}, {given.rows} rows, prefix {given.prefix}, {given.length} for each of 3 attributes")
    print("| mixer | tokens a row | rows a second | share of the peak |\n| --- | --- | --- | --- |")
    for mixer in MIXERS:
        shape = SoftPromptShape(
            instruction="Show me one more of these reminders",
            descriptions={name: name for name in ("intent", "todo", "time")},
            prefix_length=given.prefix,
            attribute_length=given.length,
            mixer=mixer,
            mixing_temperature=1.0,
            most_attributes=3,
        )
        soft = tuner.prompted.new_prompts(shape)
        prompts = [AttributePrompt(groups=(("intent", "todo", "time"),), words=words)] * given.rows
        read = len(tuner.prompted.inputs(soft, prompts[:1])[0])
        said = len(tuner.prompted.text_tokens(text))
        taken = seconds(lambda soft=soft, prompts=prompts: step(tuner, soft, prompts, [text] * given.rows))  # type: ignore[misc]
        operations = given.rows * (4 * body * (read + said - 1) + 4 * head * said)
        share = operations / taken / peak(model.dtype, model.device)
        print(f"| {mixer} | {read + said} | {given.rows / taken:.2f} | {100 * share:.0f} % |", flush=True)


if __name__ == "__main__":
    main()
