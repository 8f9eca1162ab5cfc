"""Plan a run or a comparison: what it would ask of its models, and what that costs; nothing is sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crossfade.comparing import compared, compared_checks, require_test
from crossfade.estimating import answer_length, expected_judgements, first_assignments, requests_at_most
from crossfade.methods.writing import WritingSettings
from crossfade.models.budget import Prices
from crossfade.opening import prices_of
from crossfade.parts import Parts, RecipeLike, opened
from crossfade.recipe import MethodSettings
from crossfade.roles import CHARACTERS_PER_TOKEN, Request, Usage
from crossfade.selection.checking import Check


@dataclass(frozen=True, slots=True)
class PlannedCalls:
    """What one model would be asked, expected and at most."""

    calls: int
    calls_at_most: int
    prompt_tokens: int
    prompt_tokens_at_most: int
    answer_tokens: int
    answer_tokens_at_most: int
    money: float | None
    """In the currency of the prices; None where a price is unknown."""
    money_at_most: float | None
    example: str
    """One full prompt; empty when nothing is asked."""

    def beside(self, other: "PlannedCalls") -> "PlannedCalls":
        """Add up the calls of two models."""
        return PlannedCalls(
            calls=self.calls + other.calls,
            calls_at_most=self.calls_at_most + other.calls_at_most,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            prompt_tokens_at_most=self.prompt_tokens_at_most + other.prompt_tokens_at_most,
            answer_tokens=self.answer_tokens + other.answer_tokens,
            answer_tokens_at_most=self.answer_tokens_at_most + other.answer_tokens_at_most,
            money=_sum(self.money, other.money),
            money_at_most=_sum(self.money_at_most, other.money_at_most),
            example=self.example or other.example,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run would ask for; nothing was sent."""

    writing: PlannedCalls
    judging: PlannedCalls


def plan(recipe: RecipeLike, *, comparison: bool = False) -> Plan:
    """Work out what every draw would ask of its models, and show one prompt of each kind; nothing is sent.

    Tokens are counted at four characters each. 'At most' holds for the rounds of topping up, with every answer as long
    as it may be; answers that arrive broken and are asked for again come on top.

    Args:
        recipe: A recipe, its values, or its TOML file.
        comparison: Count all methods and label checks of `compare`, not the recipe's own alone as `run` does.

    Raises:
        SettingsError: A setting cannot work, or a comparison has no test data or names a method twice.
    """
    with opened(recipe, progress=False) as parts:
        settings = parts.recipe
        methods: Mapping[str, MethodSettings] = {"": settings.method}
        checks: Mapping[str, Sequence[Check]] = {"": [parts.label_check]}
        if comparison:
            require_test(settings)
            methods = compared(settings)
            checks = compared_checks(parts, methods)
        writing = judging = _nothing()
        for title, method in methods.items():
            written, judged = _planned_method(parts, method, checks[title])
            writing, judging = writing.beside(written), judging.beside(judged)
        return Plan(writing=writing, judging=judging)


def _planned_method(parts: Parts, method: MethodSettings, checks: Sequence[Check]) -> tuple[PlannedCalls, PlannedCalls]:
    """Count the calls of one method and its label checks over all draws: writing and judging."""
    settings = parts.recipe
    requests: list[Request] = []
    judged = 0
    draws = parts.texts.draws if settings.data.has_test else [(0, 0)]
    for shots, split in draws:
        gold = parts.texts.draw(shots, split) if settings.data.has_test else parts.texts.pool
        assignments = first_assignments(parts, gold, method, parts.rng(shots, split))
        requests.extend(assignment.request for assignment in assignments)
        judged += expected_judgements(parts, gold, method, checks)
    writing = judging = _nothing()
    if isinstance(method, WritingSettings):
        most = len(draws) * requests_at_most(parts, gold, method)
        length = answer_length(parts, gold, method)
        writing = _planned(requests, len(requests), most, length, prices_of(settings.writer))
    for name, judge in parts.models.judges(settings.labels.nearest).items() if judged else ():
        request = judge.example_request(gold)
        calls = judged * judge.requests_each(len(gold.labels))
        choice_length = float(np.mean([len(choice) for choice in request.choices]))
        prices = prices_of(getattr(settings, name))
        judging = judging.beside(_planned([request], calls, calls, choice_length, prices))
    return writing, judging


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _nothing() -> PlannedCalls:
    return PlannedCalls(0, 0, 0, 0, 0, 0, 0.0, 0.0, "")


def _planned(
    examples: Sequence[Request], calls: int, at_most: int, answer_length: float, prices: Prices
) -> PlannedCalls:
    """Count calls that are like the examples, answered in so many characters."""
    prompt_tokens = float(np.mean([len(request.full_prompt) for request in examples])) / CHARACTERS_PER_TOKEN
    longest_answer = max(request.sampling.max_tokens for request in examples)
    answer_tokens = min(longest_answer, answer_length / CHARACTERS_PER_TOKEN + 1)
    expected = Usage(prompt_tokens=round(calls * prompt_tokens), answer_tokens=round(calls * answer_tokens))
    most = Usage(prompt_tokens=round(at_most * prompt_tokens), answer_tokens=at_most * longest_answer)
    return PlannedCalls(
        calls=calls,
        calls_at_most=at_most,
        prompt_tokens=expected.prompt_tokens,
        prompt_tokens_at_most=most.prompt_tokens,
        answer_tokens=expected.answer_tokens,
        answer_tokens_at_most=most.answer_tokens,
        money=prices.cost(expected),
        money_at_most=prices.cost(most),
        example=examples[0].full_prompt,
    )
