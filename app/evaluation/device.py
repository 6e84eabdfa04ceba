"""Where the networks are run."""

from typing import TypeVar

import torch
from torch import nn

from app.cuda import what_is_there
from app.evaluation.errors import EvaluationError

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def chosen_device(name: str) -> torch.device:
    """Raises EvaluationError when it is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EvaluationError(f"{name} is not there: {what_is_there()}; try --device auto")
    return device


def resident(module: ModuleT, device: torch.device) -> ModuleT:
    return module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
