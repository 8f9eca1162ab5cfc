"""Scripts of writers that several tests of methods share."""

from crossfade.roles import Request


class Fluent:
    """Writes the given number of new texts for each request, as a list, and remembers what it was asked."""

    def __init__(self, per_reply: int = 3) -> None:
        self.per_reply = per_reply
        self.requests: list[Request] = []
        self.written = 0

    def __call__(self, request: Request) -> str:
        self.requests.append(request)
        return "\n- ".join(self.new_text() for _ in range(self.per_reply))

    def new_text(self) -> str:
        """Return words that no other text has."""
        self.written += 1
        return f"alpha{self.written} beta{self.written} gamma{self.written}"
