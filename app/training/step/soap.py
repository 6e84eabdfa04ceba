"""SOAP (Vyas et al. 2024): Adam in the eigenbases of Shampoo's preconditioner, for 3x3 convolutions."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
from torch import Tensor
from torch.optim import Optimizer

# Share of the past kept of the gradients' second moments between channels.
GRAM_DECAY: Final = 0.9
GRAM_EVERY: Final = 2
BASIS_EVERY: Final = 20
# The first bases come from the gradients of one step; they are mended soon.
BASIS_EARLY: Final = (2, 5, 10)
EPSILON: Final = 1e-8


class Soap(Optimizer):
    """Weights (out, in, kh, kw) are updated by Adam in coordinates where gradients are uncorrelated between channels.

    Both the outputs' and the inputs' channels are turned by the eigenvectors of their gradients' second moments; the
    few places of a kernel are left as they are. Other parameters get plain Adam. `product` is the dtype of the turning:
    bfloat16 where the device multiplies it faster. All state is tensors, so that a checkpoint can hold it.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.95, 0.98),
        product: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})
        self._product = product

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        if closure is not None:
            raise TypeError("closures are not supported: compute gradients first")
        for group in self.param_groups:
            for param in group["params"]:
                if param.grad is not None:
                    self._update(param, param.grad, self.state[param], group["lr"], group["betas"])

    def _update(
        self, param: Tensor, gradient: Tensor, state: dict[str, Tensor], rate: float, betas: tuple[float, float]
    ) -> None:
        turned = param.dim() == 4
        if turned:
            # (out, in, kh, kw) -> (kh * kw, out, in): one matrix of channels for each place of the kernel.
            gradient = gradient.permute(2, 3, 0, 1).flatten(0, 1).contiguous()
        if not state:
            state["step"] = torch.zeros(())
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
            if turned:
                self._begin(state, gradient)
        state["step"] += 1
        step = int(state["step"])
        if turned:
            if step % GRAM_EVERY == 0:
                self._remember(state, gradient)
            gradient = self._turn(gradient, state["out_basis"], state["in_basis"])
        first, second = betas
        state["exp_avg"].lerp_(gradient, 1 - first)
        state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        deviation = (state["exp_avg_sq"] / (1 - second**step)).sqrt_().add_(EPSILON)
        update = (state["exp_avg"] / (1 - first**step)).div_(deviation)
        if turned:
            update = self._turn(update, state["out_basis"].T, state["in_basis"].T)
            update = update.view(*param.shape[2:], *param.shape[:2]).permute(2, 3, 0, 1)
        param.sub_(update, alpha=rate)
        if turned and (step % BASIS_EVERY == 0 or step in BASIS_EARLY):
            _mend(state)

    def _begin(self, state: dict[str, Tensor], gradient: Tensor) -> None:
        for side, gram in zip(("out", "in"), self._grams(gradient), strict=True):
            state[f"{side}_gram"] = gram
            # Strongest first, as the iteration of `_mend` orders them.
            state[f"{side}_basis"] = torch.linalg.eigh(gram)[1].flip(1).contiguous()

    def _remember(self, state: dict[str, Tensor], gradient: Tensor) -> None:
        for side, gram in zip(("out", "in"), self._grams(gradient), strict=True):
            state[f"{side}_gram"].lerp_(gram, 1 - GRAM_DECAY)

    def _grams(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """(places, out, in) -> second moments (out, out) and (in, in), summed over all else."""
        scaled = gradient.to(self._product)
        by_output = scaled.transpose(0, 1).flatten(1)
        by_input = scaled.flatten(0, 1)
        return (by_output @ by_output.T).float(), (by_input.T @ by_input).float()

    def _turn(self, places: Tensor, outputs: Tensor, inputs: Tensor) -> Tensor:
        """outputs' transpose times each of (places, out, in) times inputs."""
        half = places.to(self._product) @ inputs.to(self._product)
        return (outputs.T.to(self._product) @ half).float()


def _mend(state: dict[str, Any]) -> None:
    """One step of orthogonal iteration brings the bases to the moments as they are now; the first average follows."""
    # LAPACK leaves columns together; a checkpoint keeps rows together, and sums of another order have other roundings.
    new = {
        side: torch.linalg.qr(state[f"{side}_gram"] @ state[f"{side}_basis"])[0].contiguous() for side in ("out", "in")
    }
    outputs, inputs = (new[side].T @ state[f"{side}_basis"] for side in ("out", "in"))
    state["exp_avg"] = outputs @ state["exp_avg"] @ inputs.T
    state["out_basis"], state["in_basis"] = new["out"], new["in"]
