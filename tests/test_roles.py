from dataclasses import replace

from crossfade.roles import Guidance, Request, Sampling

PLAIN = Request(prompt="a")
RICH = Request(
    prefix="ü ",
    prompt="b",
    form="continue",
    choices=("x", "y"),
    sampling=Sampling(temperature=0.5, stop=("\n",)),
    sample=3,
)


def test_digest_is_the_one_that_stored_replies_are_kept_under() -> None:
    # Written down for version 3 of the store: another digest would ask for paid replies again.
    assert PLAIN.digest("m") == "281a910d1df3914699ca304652e23c74aea35164a468f30d0df98f788b61e721"
    assert RICH.digest("m") == "e76eaecb810f82956cb9a2148e57d3075dae8152c10949cd98ac76ccb964fbb5"
    guidance = Guidance(names=("a", "b", "c"), prompts=("x", "y", "z"), shares=(0.75, 0.25, 0.0), strength=0.5)
    sampling = Sampling(top_p=0.95, stop=("\n",))
    guided = Request(prompt="", form="continue", sampling=sampling, sample=3, guidance=guidance)
    assert guided.digest("m") == "1eb1833275d8a178e6b1414b2ed09bb2952c381a96390e47f8c8c6f2f0b22409"
    silent = replace(guided, guidance=replace(guidance, silent=(2,)))
    assert silent.digest("m") != guided.digest("m")


def test_asking_for_log_probabilities_changes_the_digest() -> None:
    asking = replace(RICH, sampling=replace(RICH.sampling, logprobs=True))
    assert asking.digest("m") != RICH.digest("m")
