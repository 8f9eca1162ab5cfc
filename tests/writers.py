"""Scripts of writers that several tests of methods share."""

from collections.abc import Iterable, Iterator

from crossfade.roles import Form, Guidance, Reply, Request


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


class GuidedScript:
    """Writes a new text for every guided request, likeliest under the prompt with the largest share."""

    name = "script"

    def __init__(self, form: Form = "continue", text: str = "alpha{0} beta{0} gamma{0}") -> None:
        self.preferred_form: Form = form
        self.text = text
        self.requests: list[Request] = []

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer in the order of the requests; `{0}` in the text is the number of the request, from 1."""
        for request in requests:
            self.requests.append(request)
            yield Reply(
                request=request,
                text=self.text.format(len(self.requests)),
                choice_logprobs=tuple(-10.0 + share for share in guidance_of(request).shares),
                finish="stop",
            )


def guidance_of(request: Request) -> Guidance:
    """Return the guidance of a request that has some."""
    assert request.guidance is not None
    return request.guidance
