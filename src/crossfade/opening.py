"""Open the models that a recipe names: writer, judges, encoder, inverter; what answers, behind the store."""

import os
from functools import cached_property
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

from crossfade.attribute_roles import PromptTuner
from crossfade.errors import ModelError, SettingsError
from crossfade.libraries import require_libraries
from crossfade.methods import logit_mixup
from crossfade.methods.writing import WritingSettings
from crossfade.models.budget import FREE, Budget, Limits, Prices, Spent, cost_of
from crossfade.models.chat import connect
from crossfade.models.embedded import EmbeddedModel
from crossfade.models.encoder import SentenceEncoder
from crossfade.models.inverter import SentenceInverter
from crossfade.models.pace import Pace
from crossfade.models.replies import ReplyStore
from crossfade.models.steerable import OpenWeights
from crossfade.models.stored import Counts, StoredModel
from crossfade.packaged import packaged_inverter, packaged_writer
from crossfade.recipe import ModelSettings, Recipe
from crossfade.roles import Inverter, TextModel, Usage
from crossfade.selection.channel import ChannelJudge
from crossfade.selection.relabelling import ChoiceJudge, Judge

JUDGES_ONLY = ("likelihood", "channel")
"""Kinds of model that give probabilities of texts and write none."""


class Models:
    """The models of a recipe, made when first used."""

    def __init__(self, recipe: Recipe, store: ReplyStore) -> None:
        self.recipe = recipe
        self._store = store
        self._embedded: list[EmbeddedModel] = []
        self._weights: dict[str | Path, OpenWeights] = {}
        limits = recipe.budget
        self._budget = Budget(Limits(limits.max_requests, limits.max_tokens, limits.max_cost))
        self._prices: dict[str, Prices] = {}

    @cached_property
    def encoder(self) -> SentenceEncoder:
        """The sentence encoder."""
        return SentenceEncoder(self.recipe.encoder)

    @cached_property
    def inverter(self) -> Inverter:
        """What turns embeddings into texts."""
        path = self.recipe.inverter.path
        return open_inverter(None if path is None else Path(path))

    @cached_property
    def writer(self) -> StoredModel:
        """The writing model behind the store."""
        if self.recipe.writer.kind in JUDGES_ONLY:
            raise SettingsError(
                f"writer.kind is '{self.recipe.writer.kind}', which can only judge.", hint="Use 'embedded'."
            )
        return self._stored(self.recipe.writer, "writer")

    @cached_property
    def guided_writer(self) -> StoredModel:
        """The writer's weights, opened for guided writing, behind the store."""
        settings = self.recipe.writer
        if settings.kind == "endpoint":
            raise SettingsError(
                "Guided writing needs the model's weights, and the writer is an endpoint.",
                hint="Use writer.kind = 'embedded' with a hub id, a folder or a GGUF file as writer.path.",
            )
        return self._stored(settings.model_copy(update={"kind": "likelihood"}), "writer")

    @cached_property
    def prompt_tuner(self) -> PromptTuner:
        """The writer's weights, opened for soft prompts."""
        settings = self.recipe.writer
        if settings.kind == "endpoint":
            raise SettingsError(
                "Soft prompts need the model's weights, and the writer is an endpoint.",
                hint="Use writer.kind = 'embedded' with a hub id, a folder or a GGUF file as writer.path.",
            )
        require_libraries("torch", "transformers")
        from crossfade.models.prompt_tuning import SoftPromptTuner

        return SoftPromptTuner(
            settings.path or packaged_writer(), cache=cache_folder(), kept=self.recipe.run_folder / "soft_prompts"
        )

    def writer_of(self, method: WritingSettings) -> StoredModel:
        """Return the writer as a method asks it."""
        return self.guided_writer if isinstance(method, logit_mixup.LogitMixupSettings) else self.writer

    @cached_property
    def judge(self) -> StoredModel:
        """The judging model behind the store."""
        return self._stored(self.recipe.judge, "judge")

    @cached_property
    def second_judge(self) -> StoredModel | None:
        """The other judge behind the store, where the recipe has one."""
        settings = self.recipe.second_judge
        return self._stored(settings, "second_judge") if settings else None

    def judges(self, offered: int) -> dict[str, Judge]:
        """Return the judges by the name of their vote; each compares so many classes."""
        named = {
            "judge": (self.judge, self.recipe.judge),
            "second_judge": (self.second_judge, self.recipe.second_judge),
        }
        return {
            name: _as_judge(model, settings, offered)
            for name, (model, settings) in named.items()
            if model is not None and settings is not None
        }

    def _stored(self, settings: ModelSettings, who: str) -> StoredModel:
        prices = prices_of(settings)
        self._budget.require_prices(prices, who)
        model = self._model(settings)
        if model.name not in self._prices:
            # Writer and judge may be one model.
            self._prices[model.name] = prices
            self._budget.add(self._spent_on(model.name))
        return StoredModel(model, self._store, budget=self._budget, prices=prices, form=settings.form)

    def _spent_on(self, model: str) -> Spent:
        """Add up all calls in the store at the recipe's prices."""
        calls = (reply for name, reply in self._store.calls() if name == model)
        return sum((cost_of(reply, self._prices[model]) for reply in calls), Spent())

    def _model(self, settings: ModelSettings) -> TextModel:
        if settings.kind == "endpoint":
            return _endpoint(settings)
        if settings.kind in JUDGES_ONLY:
            # Writer and judge may be one model.
            path = settings.path or packaged_writer()
            return self._weights.setdefault(path, OpenWeights(path, cache=cache_folder()))
        model = EmbeddedModel(settings.path, parallel=settings.concurrency or 16, context=settings.context)
        self._embedded.append(model)
        return model

    def close(self) -> None:
        """Free the embedded models."""
        for model in self._embedded:
            model.close()

    @property
    def money(self) -> float | None:
        """Money spent over all starts of the run; None where a model in use costs nobody knows what."""
        unpriced = any(prices.cost(Usage()) is None for prices in self._prices.values())
        return None if unpriced else self._budget.spent.cost

    def counts(self, *names: str) -> Counts:
        """Add up what some models did; all of them when none is named."""
        # Looking a model up by name does not make it, as reading the property would.
        used = (self.__dict__.get(name) for name in names or ("writer", "guided_writer", "judge", "second_judge"))
        return sum((model.counts for model in used if model is not None), Counts())


def _as_judge(model: TextModel, settings: ModelSettings, offered: int) -> Judge:
    return ChannelJudge(model, offered) if settings.kind == "channel" else ChoiceJudge(model, offered)


def prices_of(settings: ModelSettings) -> Prices:
    """Return what a model costs: what runs here is free, an endpoint's prices are the recipe's."""
    if settings.kind != "endpoint":
        return FREE
    return Prices(settings.prompt_price, settings.cached_price, settings.answer_price)


def _endpoint(settings: ModelSettings) -> TextModel:
    if not settings.base_url or not settings.model:
        raise SettingsError(
            f"An endpoint needs base_url and model; found {settings.base_url!r} and {settings.model!r}."
        )
    key = os.environ.get(settings.key_variable)
    if not key:
        raise ModelError(
            f"The environment variable {settings.key_variable} holds no key for {settings.base_url}.",
            hint=f"Set it with: export {settings.key_variable}=...  (any word for a local server without keys).",
        )
    return connect(
        settings.base_url,
        settings.model,
        key,
        form=settings.form,
        pace=Pace(
            settings.concurrency or 64,
            requests_per_minute=settings.requests_per_minute,
            tokens_per_minute=settings.tokens_per_minute,
        ),
        closed_choice=settings.closed_choice,
        proxy=_proxy_for(settings.base_url),
    )


def _proxy_for(address: str) -> str | None:
    """Return the proxy that the environment or the system names for an address, or None."""
    scheme, _, rest = address.partition("://")
    host = rest.partition("/")[0].rpartition("@")[2]
    if proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(scheme.lower()) or proxies.get("all")


def open_inverter(folder: Path | None = None) -> SentenceInverter:
    """Open an inverter; None is the one that comes with Crossfade.

    Raises:
        ModelError: There is none, or it cannot be loaded.
    """
    return SentenceInverter.load(packaged_inverter() if folder is None else folder, cache=cache_folder())


def cache_folder() -> Path:
    """Return where this user's unpacked weights are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "crossfade"
