"""Lay sentence embeddings out in two dimensions, for people to look at."""

from dataclasses import dataclass

import numpy as np

from crossfade.roles import Floats

MOST_NEIGHBOURS = 3000
"""Texts up to which neighbourhoods are kept (t-SNE). Ours: these take about ten seconds; beyond, the two main axes
(PCA) are shown, which takes no time."""
PERPLEXITY = 30.0
"""Neighbours that t-SNE keeps together; scikit-learn's default."""
BEFORE = 50
"""Dimensions that t-SNE starts from, by PCA, as its authors do."""


@dataclass(frozen=True, slots=True)
class Projection:
    """Texts and where they lie; [texts, 2]."""

    place: dict[str, tuple[float, float]]
    """Text to its two coordinates."""
    way: str
    """'t-SNE' or 'PCA'."""


def project(texts: list[str], vectors: Floats) -> Projection:
    """Lay texts out: near-by texts stay near by (t-SNE), or, for many texts, along their two main axes (PCA).

    Args:
        texts: Different texts.
        vectors: Their embeddings, [texts, width].
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    if len(texts) < 3:
        # Fewer points than axes have no layout to speak of.
        return Projection({text: (float(row), 0.0) for row, text in enumerate(texts)}, "PCA")
    flat = np.asarray(vectors, dtype=np.float64)
    keeps_neighbours = 3 * PERPLEXITY < len(texts) <= MOST_NEIGHBOURS
    axes = min(BEFORE if keeps_neighbours else 2, flat.shape[1], len(texts) - 1)
    flat = PCA(axes, random_state=0).fit_transform(flat)
    if keeps_neighbours:
        flat = TSNE(2, init="pca", perplexity=PERPLEXITY, random_state=0).fit_transform(flat)
    places = {text: (float(x), float(y)) for text, (x, y) in zip(texts, flat, strict=True)}
    return Projection(places, "t-SNE" if keeps_neighbours else "PCA")
