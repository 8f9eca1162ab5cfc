import numpy as np
import pytest

from crossfade.reports.projection import project


@pytest.mark.parametrize(("count", "way"), [(1, "PCA"), (2, "PCA"), (40, "PCA"), (120, "t-SNE")])
def test_every_text_gets_a_place_and_the_same_one_again(count: int, way: str) -> None:
    vectors = np.random.default_rng(0).normal(size=(count, 8))
    texts = [str(number) for number in range(count)]
    found = project(texts, vectors)
    assert found.way == way
    assert list(found.place) == texts
    assert np.isfinite(list(found.place.values())).all()
    assert project(texts, vectors) == found


def test_equal_texts_of_two_groups_stay_apart() -> None:
    rng = np.random.default_rng(0)
    vectors = np.vstack([rng.normal(0, 0.1, (20, 8)), rng.normal(5, 0.1, (20, 8))])
    places = np.array(list(project([str(number) for number in range(40)], vectors).place.values()))
    first, second = places[:20].mean(axis=0), places[20:].mean(axis=0)
    assert np.linalg.norm(first - second) > 10 * places[:20].std(axis=0).max()
