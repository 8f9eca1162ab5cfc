from dataclasses import replace

from crossfade.roles import Request, Sampling

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
    # Recorded before `Sampling.logprobs` existed: another digest would ask for paid replies again.
    assert PLAIN.digest("m") == "42f34ca70f62f73664a632d043e0476f3aed8cbe16fd81826cdc61c06e9be596"
    assert RICH.digest("m") == "93511cdc6c7a7a6e99eabf0b5971714e0b65aa33cdceb3685b4610890b8798b2"


def test_asking_for_log_probabilities_changes_the_digest() -> None:
    asking = replace(RICH, sampling=replace(RICH.sampling, logprobs=True))
    assert asking.digest("m") != RICH.digest("m")
