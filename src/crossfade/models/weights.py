"""Load a language model of transformers: hub id, folder, or a GGUF file whose weights are unpacked once."""

from functools import cached_property
from pathlib import Path
from typing import Any

from crossfade.errors import ModelError, missing_extra
from crossfade.libraries import reads_bfloat16


class CausalWeights:
    """The weights and the tokenizer of a causal language model, loaded when first used.

    Args:
        path: A hub id, a folder, or a GGUF file (its weights are unpacked once into `cache`).
        cache: Folder for unpacked GGUF weights; unpacking takes a quarter of a minute for 135M parameters.
        attention: Which code computes attention, in the words of transformers; None lets it choose.
    """

    def __init__(self, path: str | Path, *, cache: Path, attention: str | None = None) -> None:
        self.path = Path(path)
        self.cache = cache
        self.attention = attention

    @property
    def name(self) -> str:
        """Identify the weights by their file or hub id."""
        return f"transformers#{self.path.name if self.path.exists() else self.path}"

    @cached_property
    def tokenizer(self) -> Any:
        """The tokenizer.

        Raises:
            DependencyError: transformers is missing.
            ModelError: It cannot be loaded.
        """
        return self._load(_transformers().AutoTokenizer)

    @cached_property
    def begin(self) -> list[int]:
        """What the tokenizer itself puts before a text: its begin token, or nothing."""
        token = self.tokenizer.bos_token_id
        return [token] if self.tokenizer("")["input_ids"][:1] == [token] else []

    @cached_property
    def model(self) -> Any:
        """The model on the GPU where there is one; in bfloat16 where the device multiplies it fast, else in float32.

        Raises:
            DependencyError: transformers is missing.
            ModelError: It cannot be loaded.
        """
        transformers = _transformers()
        import torch

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        dtype = torch.bfloat16 if reads_bfloat16(device) else torch.float32
        how = {"dtype": dtype} | ({"attn_implementation": self.attention} if self.attention else {})
        return self._load(self._kind(transformers), **how).to(device).eval()

    def _kind(self, transformers: Any) -> Any:
        return transformers.AutoModelForCausalLM

    def _load(self, kind: Any, **options: Any) -> Any:
        try:
            return kind.from_pretrained(self._folder, **options)
        except (OSError, ValueError) as error:
            raise ModelError(
                f"The weights '{self.path}' cannot be loaded: {error}.", hint="Give a hub id, a folder or a GGUF file."
            ) from error

    @cached_property
    def _folder(self) -> str:
        if self.path.suffix != ".gguf":
            return str(self.path)
        folder = self.cache / f"{self.path.stem}-{self.path.stat().st_size}"
        if not (folder / "complete").exists():
            _unpack(self.path, folder)
        return str(folder)


class LanguageWeights(CausalWeights):
    """The same of a causal or an encoder-decoder model, whichever the path holds."""

    def _kind(self, transformers: Any) -> Any:
        config = self._load(transformers.AutoConfig)
        return transformers.AutoModelForSeq2SeqLM if config.is_encoder_decoder else transformers.AutoModelForCausalLM


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise missing_extra("transformers", "torch") from error
    # These two functions publish no types.
    logging: Any = transformers.utils.logging
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    return transformers


def _unpack(gguf: Path, folder: Path) -> None:
    """Write a GGUF file's weights as bfloat16 safetensors, with its tokenizer."""
    import torch

    transformers = _transformers()
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    transformers.AutoTokenizer.from_pretrained(**where).save_pretrained(folder)
    dense = transformers.GgufConfig(dequantize=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16, quantization_config=dense)
    model.save_pretrained(folder)
    (folder / "complete").touch()
