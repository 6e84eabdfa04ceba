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
    few places of a kernel are left as they are. Other parameters get plain Adam, and all of them where `turns` is
    false. `product` is the dtype of the turning: bfloat16 where the device multiplies it faster. All state is tensors,
    so that a checkpoint can hold it.

    A step is in three parts, so that a GPU can record the one that is the same each time: `numbers`, which are all that
    depends on how many steps there were, `update`, and now and then `mend`.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.95, 0.98),
        product: torch.dtype = torch.float32,
        turns: bool = True,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas})
        self._product = product
        self._turns = turns

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        if closure is not None:
            raise TypeError("closures are not supported: compute gradients first")
        parameter = self.param_groups[0]["params"][0]
        self.update(torch.tensor(self.numbers()).to(parameter.device))
        self.mend()

    def numbers(self) -> list[float]:
        """Of the step to come: what Adam divides its averages by, the part of new second moments, and groups' rates."""
        step = self._steps + 1
        first, second = self.param_groups[0]["betas"]
        part = 1 - GRAM_DECAY if step % GRAM_EVERY == 0 else 0.0
        return [1 - first**step, 1 - second**step, part, *(group["lr"] for group in self.param_groups)]

    @torch.no_grad()
    def update(self, numbers: Tensor) -> None:
        """Change the weights by their gradients; `numbers` float32, on their device, as `numbers()` gave them."""
        of_first, of_second, part, *rates = numbers.unbind()
        # A GPU is not waited for, and looks at the moments each time.
        looks = numbers.device.type != "cpu" or float(part) > 0
        for group, rate in zip(self.param_groups, rates, strict=True):
            first, second = group["betas"]
            for param in group["params"]:
                if param.grad is None:
                    continue
                state, gradient = self.state[param], param.grad
                turned = self._turned(param)
                if turned:
                    # (out, in, kh, kw) -> (kh * kw, out, in): one matrix of channels for each place of the kernel.
                    gradient = gradient.permute(2, 3, 0, 1).flatten(0, 1).contiguous()
                if not state:
                    state["step"] = torch.zeros(())
                    state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
                    if turned:
                        self._begin(state, gradient)
                if turned:
                    if looks:
                        self._remember(state, gradient, part)
                    gradient = self._turn(gradient, state["out_basis"], state["in_basis"])
                state["exp_avg"].lerp_(gradient, 1 - first)
                state["exp_avg_sq"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
                deviation = (state["exp_avg_sq"] / of_second).sqrt_().add_(EPSILON)
                change = (state["exp_avg"] / of_first).div_(deviation)
                if turned:
                    change = self._turn(change, state["out_basis"].T, state["in_basis"].T)
                    change = change.view(*param.shape[2:], *param.shape[:2]).permute(2, 3, 0, 1)
                param.sub_(change.mul_(rate))

    @torch.no_grad()
    def mend(self) -> None:
        """Count the step, and bring the bases to the gradients' moments as they are now where it is time to."""
        for param, state in self.state.items():
            state["step"] += 1
            step = int(state["step"])
            if self._turned(param) and (step % BASIS_EVERY == 0 or step in BASIS_EARLY):
                _mend(state)

    @property
    def _steps(self) -> int:
        return max((int(state["step"]) for state in self.state.values()), default=0)

    def _turned(self, param: Tensor) -> bool:
        return self._turns and param.dim() == 4

    def _begin(self, state: dict[str, Tensor], gradient: Tensor) -> None:
        for side, gram in zip(("out", "in"), self._grams(gradient), strict=True):
            state[f"{side}_gram"] = gram
            # Strongest first, as the iteration of `_mend` orders them.
            state[f"{side}_basis"] = torch.linalg.eigh(gram)[1].flip(1).contiguous()

    def _remember(self, state: dict[str, Tensor], gradient: Tensor, part: Tensor) -> None:
        for side, gram in zip(("out", "in"), self._grams(gradient), strict=True):
            state[f"{side}_gram"].lerp_(gram, part)

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


def _mend(state: dict[str, Tensor]) -> None:
    """One step of orthogonal iteration brings the bases to the moments as they are now; the first average follows."""
    # LAPACK leaves columns together; a checkpoint keeps rows together, and sums of another order have other roundings.
    new = {
        side: torch.linalg.qr(state[f"{side}_gram"] @ state[f"{side}_basis"])[0].contiguous() for side in ("out", "in")
    }
    outputs, inputs = (new[side].T @ state[f"{side}_basis"] for side in ("out", "in"))
    # In place: what a GPU recorded goes on reading there.
    state["exp_avg"].copy_(outputs @ state["exp_avg"] @ inputs.T)
    for side, basis in new.items():
        state[f"{side}_basis"].copy_(basis)
