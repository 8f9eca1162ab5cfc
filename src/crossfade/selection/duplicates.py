"""Find texts that say almost the same thing twice, with semhash."""

from collections.abc import Sequence

from crossfade.errors import missing_extra
from crossfade.roles import Encoder

EXACT = "basic"
"""semhash's search without an approximate index, whose answers differ between runs: a continued run would then write
other texts than the one it continues."""


def near_duplicates(texts: Sequence[str], *, beside: Sequence[str], encoder: Encoder, threshold: float) -> list[bool]:
    """Mark each text that nearly repeats one in `beside` or an earlier one.

    Args:
        texts: The texts to check, in order of preference.
        beside: Texts that are already kept (gold ones included).
        encoder: Gives the embeddings that are compared.
        threshold: Cosine similarity in [0, 1] from which two texts count as the same.

    Returns:
        One flag per text, True for a duplicate.

    Raises:
        DependencyError: semhash is not installed.
    """
    if not texts:
        return []
    try:
        from semhash import SemHash
    except ImportError as error:
        raise missing_extra("semhash", "duplicates") from error
    # semhash embeds through any object with an `encode` method; the role has just that.
    fresh = set(texts)
    if beside:
        index = SemHash.from_records(list(beside), model=encoder, ann_backend=EXACT)
        fresh = set(index.deduplicate(list(texts), threshold=threshold).selected)
    candidates = [text for text in dict.fromkeys(texts) if text in fresh]
    if candidates:
        within = SemHash.from_records(candidates, model=encoder, ann_backend=EXACT)
        fresh = set(within.self_deduplicate(threshold=threshold).selected)
    flags = []
    for text in texts:
        flags.append(text not in fresh)
        fresh.discard(text)
    return flags
