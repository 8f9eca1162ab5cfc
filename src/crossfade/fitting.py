"""Refuse a recipe whose student, method or label check cannot do its task, before anything is read or asked."""

from collections.abc import Mapping

from crossfade.data import ANNOTATED_TASKS
from crossfade.errors import SettingsError
from crossfade.methods.example_prompting import ExamplePromptingSettings
from crossfade.recipe import MethodSettings, Recipe

CLASSIFIERS = ("linear", "contrastive", "encoder_classifier", "nearest")
"""Students of one class to a text."""
STUDENTS_OF: Mapping[str, tuple[str, ...]] = {
    "reading": ("span_reader",),
    "intents": ("encoder_classifier", "text_to_text"),
    "entities": ("token_classifier", "text_to_text"),
    "parses": ("token_classifier", "text_to_text"),
}
"""Which students a task without classes can have."""
METHODS_OF: Mapping[str, tuple[str, ...]] = {"reading": ("stepwise_synthesis",)} | dict.fromkeys(
    ANNOTATED_TASKS, ("soft_prompt_mixture", "example_prompting", "mention_replacement", "eda")
)
"""Which methods a task without classes can have."""


def check_task(recipe: Recipe) -> None:
    """Refuse a recipe whose student or method cannot do its task, before anything is read or asked.

    Raises:
        SettingsError: Names the keys that do not fit together.
    """
    data = recipe.data
    if data.test is not None and data.test_share is not None:
        raise SettingsError("data.test and data.test_share are both given.", hint="Leave one out.")
    if recipe.second_judge and "paper" in (recipe.labels.check, *recipe.comparison.checks):
        raise SettingsError(
            "The label check 'paper' takes one judge, and the recipe has a second.",
            hint="Leave out second_judge, or use 'trust' for several.",
        )
    if data.task == "intents" and not {recipe.labels.check, *recipe.comparison.checks} <= {"none", "trust"}:
        raise SettingsError(
            f"labels.check is '{recipe.labels.check}', and intents have other checks.", hint="Use 'trust' or 'none'."
        )
    for kind in (recipe.student.kind, *recipe.comparison.students):
        fitting = STUDENTS_OF.get(data.task or "text", CLASSIFIERS)
        if kind not in fitting:
            raise SettingsError(
                f"The student '{kind}' and data.task = {data.task!r} do not fit together.",
                hint=f"Use one of: {', '.join(fitting)}.",
            )
    for method in (recipe.method, *recipe.comparison.methods):
        _check_keys(method, data.task or "text")
        fits = METHODS_OF.get(data.task or "text")
        if fits is None and method.name in ("soft_prompt_mixture", "mention_replacement"):
            raise SettingsError(
                f"The method '{method.name}' needs annotated texts, and data.task is {data.task!r}.",
                hint=f"Set data.task to one of: {', '.join(ANNOTATED_TASKS)}.",
            )
        if fits is not None and method.name not in fits:
            raise SettingsError(
                f"The method '{method.name}' writes texts of classes, and '{data.task}' has none.",
                hint=f"Use one of: {', '.join(fits)}.",
            )


def _check_keys(method: MethodSettings, task: str) -> None:
    """Refuse keys of example prompting that its other way of asking has, which would say nothing here."""
    if not isinstance(method, ExamplePromptingSettings):
        return
    given = method.model_dump(exclude_defaults=True)
    if task not in ANNOTATED_TASKS:
        if "attribute_exemplars" in given:
            raise SettingsError(
                f"example_prompting has attribute_exemplars = {method.attribute_exemplars}, and a text of the task "
                f"{task!r} carries no attributes.",
                hint="Use examples_per_class.",
            )
        return
    if "texts_per_request" in given and method.texts_per_request != 1:
        raise SettingsError(
            f"example_prompting has texts_per_request = {method.texts_per_request}, and a request brings one text "
            "where texts carry attributes.",
            hint="Leave it out.",
        )
    if "examples_per_class" in given:
        raise SettingsError(
            f"example_prompting has examples_per_class = {method.examples_per_class}, and there are no classes.",
            hint="Use attribute_exemplars.",
        )
