"""Draw from a nucleus (Holtzman et al. 2020, arXiv 1904.09751) with given random numbers, so that a draw repeats."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def draw_places(shares: "torch.Tensor", top_p: "torch.Tensor | float", uniforms: "torch.Tensor") -> "torch.Tensor":
    """Draw one place of each row from the fewest likely places that together reach `top_p`.

    Args:
        shares: Probabilities, [rows, places], the largest first.
        top_p: Nucleus, in (0, 1]; [rows, 1], or one for all.
        uniforms: A number in [0, 1) for each row, [rows, 1]: where in its nucleus the place lies, likely ones first.

    Returns:
        The place drawn, [rows, 1].
    """
    import torch

    nucleus = torch.where(shares.cumsum(dim=1) - shares < top_p, shares, 0)
    reached = nucleus.cumsum(dim=1)
    places = torch.searchsorted(reached, uniforms.to(reached.dtype) * reached[:, -1:], right=True)
    # Rounding may put a draw of nearly 1 beyond the last.
    return places.minimum((nucleus > 0).sum(dim=1, keepdim=True) - 1)
