"""What answers cost, and where spending ends.

A budget is asked before a request is sent and told after its answer came. It sets aside the most that the requests
under way may cost, so that it is not passed while they are. Ours.
"""

import threading
from dataclasses import dataclass

from crossfade.errors import BudgetError, SettingsError
from crossfade.roles import Reply, Request, Usage

MILLION = 1_000_000
FEWEST_CHARACTERS_PER_TOKEN = 2
"""For the most that a prompt may have; English has about four characters in a token."""


@dataclass(frozen=True, slots=True)
class Prices:
    """Money per million tokens, in any one currency; None is unknown."""

    prompt: float | None = None
    cached: float | None = None
    """For prompt tokens that the provider had read before; as `prompt` when None."""
    answer: float | None = None

    def cost(self, usage: Usage) -> float | None:
        """Return what tokens cost, or None where a price is unknown."""
        if self.prompt is None or self.answer is None:
            return None
        cached = self.prompt if self.cached is None else self.cached
        fresh_tokens = usage.prompt_tokens - usage.cached_tokens
        return (fresh_tokens * self.prompt + usage.cached_tokens * cached + usage.answer_tokens * self.answer) / MILLION


UNKNOWN = Prices()
FREE = Prices(0.0, 0.0, 0.0)
"""Models that run here."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Where spending ends; None is no limit."""

    requests: int | None = None
    tokens: int | None = None
    """Prompt and answer tokens together."""
    cost: float | None = None


UNLIMITED = Limits()


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent, or is set aside."""

    requests: int = 0
    tokens: int = 0
    cost: float = 0.0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.requests + other.requests, self.tokens + other.tokens, self.cost + other.cost)

    def __sub__(self, other: "Spent") -> "Spent":
        return Spent(self.requests - other.requests, self.tokens - other.tokens, self.cost - other.cost)


class Budget:
    """Admits requests while they fit; may be shared by several models and threads.

    Args:
        limits: Where spending ends.
    """

    def __init__(self, limits: Limits = UNLIMITED) -> None:
        self.limits = limits
        self._spent = Spent()
        self._set_aside = Spent()
        self._lock = threading.Lock()

    @property
    def spent(self) -> Spent:
        """What was spent so far; money only where prices are known."""
        return self._spent

    def add(self, spent: Spent) -> None:
        """Count what earlier processes spent."""
        with self._lock:
            self._spent += spent

    def require_prices(self, prices: Prices, who: str) -> None:
        """Refuse a limit on money where no price is known.

        Raises:
            SettingsError: If there is such a limit and the price is unknown.
        """
        if self.limits.cost is not None and prices.cost(Usage()) is None:
            raise SettingsError(
                f"budget.max_cost is {self.limits.cost}, but what the {who} costs is unknown.",
                hint=f"Set {who}.prompt_price and {who}.answer_price, in money per million tokens.",
            )

    def admit(self, request: Request, prices: Prices) -> bool:
        """Set aside the most a request may cost and return True, or return False when that does not fit now."""
        needed = at_most(request, prices)
        with self._lock:
            if self._over(self._spent + self._set_aside + needed):
                return False
            self._set_aside += needed
            return True

    def settle(self, reply: Reply, prices: Prices) -> None:
        """Replace what was set aside for a request by what its answer cost."""
        with self._lock:
            self._set_aside -= at_most(reply.request, prices)
            self._spent += cost_of(reply, prices)

    def reached(self) -> BudgetError:
        """Say which limit stands in the way of the next request."""
        limits, spent = self.limits, self._spent
        parts = [
            f"{name} = {limit:g} ({used:g} spent)"
            for name, limit, used in (
                ("max_requests", limits.requests, spent.requests),
                ("max_tokens", limits.tokens, spent.tokens),
                ("max_cost", limits.cost, spent.cost),
            )
            if limit is not None
        ]
        return BudgetError(
            f"The budget does not allow another request: {', '.join(parts)}.",
            hint="Everything answered is kept. Raise the limit under [budget] and start again: the run continues.",
        )

    def _over(self, total: Spent) -> bool:
        limits = self.limits
        return (
            (limits.requests is not None and total.requests > limits.requests)
            or (limits.tokens is not None and total.tokens > limits.tokens)
            or (limits.cost is not None and total.cost > limits.cost)
        )


def at_most(request: Request, prices: Prices) -> Spent:
    """Return the most that one call may cost."""
    usage = Usage(
        prompt_tokens=len(request.full_prompt) // FEWEST_CHARACTERS_PER_TOKEN + 1,
        answer_tokens=request.sampling.max_tokens,
    )
    return Spent(1, usage.prompt_tokens + usage.answer_tokens, prices.cost(usage) or 0.0)


def cost_of(reply: Reply, prices: Prices) -> Spent:
    """Return what a call cost; one that was accepted and broke without saying its tokens counts as the most."""
    if reply.error is not None and not reply.ask_again and reply.usage == Usage():
        # Refused, or failed before the model was asked.
        return Spent()
    if reply.ask_again and reply.usage == Usage():
        return at_most(reply.request, prices)
    tokens = reply.usage.prompt_tokens + reply.usage.answer_tokens
    return Spent(1, tokens, prices.cost(reply.usage) or 0.0)
