"""Keep the books of writing: what was asked, written, kept and lost, and how much is still wanted."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from crossfade.data import Augmented, Corpus, Synthetic

LEAST_YIELD = 0.5
"""Texts per request that topping up reckons with at least, however few came so far."""


class Ledger:
    """What was asked, written, kept and lost so far.

    Args:
        gold: Names the classes.
        texts_per_class: Texts wanted of each.
        texts_per_request: Texts that one request should bring.
    """

    def __init__(self, gold: Corpus, texts_per_class: int, texts_per_request: int = 1) -> None:
        self.wanted = dict.fromkeys(gold.labels, texts_per_class)
        self.kept: list[Synthetic] = []
        self.dropped: list[Synthetic] = []
        self.counts: dict[str, Counter[str]] = {label: Counter(asked=texts_per_class) for label in gold.labels}
        self.requests: Counter[str] = Counter()
        self.texts_per_request = texts_per_request

    def want(self, label: str, texts: int) -> None:
        """Want so many texts of a class more."""
        self.wanted[label] += texts
        self.counts[label]["asked"] += texts

    def missing(self, label: str) -> int:
        """Return how many texts a class still lacks."""
        return self.wanted[label] - self.counts[label]["accepted"]

    def requests_wanted(self, label: str) -> int:
        """Return how many more requests a class needs, going by what its requests have yielded so far."""
        missing = self.missing(label)
        if missing <= 0:
            return 0
        made = self.requests[label]
        if not made:
            return math.ceil(missing / self.texts_per_request)
        # Rather one round more than texts that nobody wants.
        per_request = max((self.wanted[label] - missing) / made, LEAST_YIELD)
        return max(1, math.floor(missing / per_request))

    def take(self, drafts: Iterable[Synthetic], duplicate: Sequence[bool], *, requests: Iterable[str] = ()) -> None:
        """Keep drafts until each class has what it wants; record every other one with its reason.

        Args:
            drafts: Written texts; those that cannot be used have their reason already.
            duplicate: Which of them repeat another text.
            requests: The class of each request that brought them.
        """
        self.requests.update(requests)
        for draft, is_duplicate in zip(drafts, duplicate, strict=True):
            label = draft.origin.written_label
            reason = draft.origin.reason or ("duplicate" if is_duplicate else None)
            if reason is None and self.missing(label) <= 0:
                reason = "surplus"
            self.counts[label]["written"] += 1
            if reason is None:
                self.counts[label]["accepted"] += 1
                self.kept.append(draft)
            else:
                self.counts[label][reason.split(":")[0]] += 1
                self.dropped.append(replace(draft, origin=replace(draft.origin, reason=reason)))

    def close(self) -> Augmented:
        """Count what was kept, and say whether every class got what it wanted."""
        for label in self.wanted:
            self.counts[label]["kept"] = self.counts[label]["accepted"]
            self.counts[label]["requests"] = self.requests[label]
        losses = {label: dict(counts) for label, counts in self.counts.items()}
        stopped = why_stopped({label: self.missing(label) for label in self.wanted})
        return Augmented(tuple(self.kept), tuple(self.dropped), losses, stopped)


def why_stopped(missing: Mapping[str, int]) -> str:
    """Say whether every class got what it wanted, given how many texts each lacks."""
    short = [f"{label} ({count})" for label, count in missing.items() if count > 0]
    return f"The rounds ran out; texts missing for {', '.join(short)}." if short else "Every class has its texts."
