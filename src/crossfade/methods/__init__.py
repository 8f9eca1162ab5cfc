"""The methods, one file each; this table says what each is and needs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MethodNote:
    """A line of the table of methods."""

    module: str
    paper: str
    needs: str
    does: str


METHODS: dict[str, MethodNote] = {
    "promptmix": MethodNote(
        module="crossfade.methods.promptmix",
        paper="Sahu et al., EMNLP 2023, arXiv 2310.14192",
        needs="writer, encoder",
        does="Writes texts near class borders at a stated ratio.",
    ),
    "example_prompting": MethodNote(
        module="crossfade.methods.example_prompting",
        paper="Sahu et al., NLP4ConvAI 2022, arXiv 2204.01959",
        needs="writer, encoder",
        does="Writes more texts like the examples of one class.",
    ),
    "gpt3mix": MethodNote(
        module="crossfade.methods.gpt3mix",
        paper="Yoo et al., Findings of EMNLP 2021, arXiv 2104.08826",
        needs="writer (for soft labels: with token probabilities), encoder",
        does="Writes texts and labels after examples of several classes; soft labels.",
    ),
    "label_prompting": MethodNote(
        module="crossfade.methods.label_prompting",
        paper="ZeroGen: Ye et al., EMNLP 2022, arXiv 2202.07922",
        needs="writer, encoder",
        does="Writes texts from the class name or description alone.",
    ),
    "inversed_mixup": MethodNote(
        module="crossfade.methods.inversed_mixup",
        paper="Kong et al. 2026, arXiv 2601.21543",
        needs="inverter, encoder",
        does="Mixes the embeddings of two gold texts, and turns the point between them into a text; soft labels.",
    ),
    "soft_prompt_mixture": MethodNote(
        module="crossfade.methods.soft_prompt_mixture",
        paper="Chen et al., Findings of EMNLP 2023, arXiv 2303.01580",
        needs="language model with open weights, encoder, gold rows with intents, entities or slots",
        does="Trains a soft prompt for each attribute and mixes them: texts that carry several at once.",
    ),
    "stepwise_synthesis": MethodNote(
        module="crossfade.methods.stepwise_synthesis",
        paper="Wang et al., Findings of EMNLP 2023, arXiv 2310.13671",
        needs="writer, encoder, student, gold rows to find errors on",
        does="Writes seed texts, then texts like what a student gets wrong; pairs and reading, too.",
    ),
    "logit_mixup": MethodNote(
        module="crossfade.methods.logit_mixup",
        paper="ours: guided writing",
        needs="writer with open weights, encoder",
        does="Mixes the classes' next-token probabilities at a ratio, away from other classes.",
    ),
    "eda": MethodNote(
        module="crossfade.methods.eda",
        paper="Wei, Zou, EMNLP-IJCNLP 2019, arXiv 1901.11196",
        needs="English texts",
        does="Replaces, inserts, swaps or deletes a few words of gold texts.",
    ),
    "aeda": MethodNote(
        module="crossfade.methods.aeda",
        paper="Karimi et al., Findings of EMNLP 2021, arXiv 2108.13230",
        needs="nothing but gold texts",
        does="Inserts punctuation marks into gold texts.",
    ),
    "mention_replacement": MethodNote(
        module="crossfade.methods.mention_replacement",
        paper="Dai, Adel, COLING 2020, arXiv 2010.11683",
        needs="gold rows with entities or slots",
        does="Exchanges entities or slot values of gold texts for others of their type.",
    ),
    "hidden_mixup": MethodNote(
        module="crossfade.methods.hidden_mixup",
        paper="Zhang et al., ICLR 2018, arXiv 1710.09412; Guo et al. 2019, arXiv 1905.08941",
        needs="student 'linear'",
        does="Mixes the embeddings and labels of two gold texts; no text.",
    ),
}
