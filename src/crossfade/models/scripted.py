"""Answer requests from a function or a table: a model for tests and documentation."""

from collections.abc import Callable, Iterable, Iterator, Mapping

from crossfade.roles import Form, Reply, Request


class ScriptedModel:
    """A text model whose answers are written down beforehand.

    Args:
        reply: Returns the answer to a request; or a table from full prompt to answer.
        name: What identifies the script's answers in the store.
        preferred_form: The form that `auto` picks.
    """

    def __init__(
        self,
        reply: Callable[[Request], str] | Mapping[str, str],
        name: str = "scripted",
        preferred_form: Form = "instruct",
    ) -> None:
        self._reply = reply
        self._name = name
        self._preferred_form = preferred_form
        self.asked = 0

    @property
    def name(self) -> str:
        """What identifies the script's answers."""
        return self._name

    @property
    def preferred_form(self) -> Form:
        """The form the script was made for."""
        return self._preferred_form

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Answer one request at a time, in order, and count it in `asked`.

        A prompt that is not in the table gets a reply with an error.
        """
        for request in requests:
            self.asked += 1
            yield self._answer_one(request)

    def _answer_one(self, request: Request) -> Reply:
        if not isinstance(self._reply, Mapping):
            return Reply(request=request, text=self._reply(request), finish="stop")
        text = self._reply.get(request.full_prompt)
        if text is None:
            return Reply(request=request, error=f"The script has no answer for the prompt '{request.full_prompt}'.")
        return Reply(request=request, text=text, finish="stop")
