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
}
