"""Checkpoints: one safetensors file of tensors with the rest as JSON in its header, written whole or not at all."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from app.files import write_whole
from app.training.errors import TrainingError


def save(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and JSON values. Raises TrainingError when the disk does not take them; the file is as before."""
    metadata = {"impasto": json.dumps(facts)}
    write(path, safetensors.torch.save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata))


def write(path: Path, data: bytes) -> None:
    """Write a file whole. Raises TrainingError when the disk does not take it; what was there is as before."""
    try:
        write_whole(path, data)
    except OSError as error:
        raise TrainingError(
            f"{path}: cannot be written ({error.strerror}); what was saved before is whole. "
            "Free some space or mend its permissions, then go on with --resume"
        ) from None


def load(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save` wrote. Raises TrainingError for a file that is not there, not whole, or another's."""
    try:
        with safe_open(path, framework="pt") as opened:
            facts = json.loads((opened.metadata() or {})["impasto"])
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise TrainingError(f"{path}: is no checkpoint of a training ({error}); start anew in another --out") from None
    return tensors, facts


def module_tensors(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}


def load_module(prefix: str, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    start = f"{prefix}."
    module.load_state_dict({name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)})


def optimizer_tensors(prefix: str, optimizer: Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{prefix}.{n}.{name}": tensor for n, values in state.items() for name, tensor in values.items()}


def load_optimizer(prefix: str, optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        if key.startswith(f"{prefix}."):
            number, name = key.removeprefix(f"{prefix}.").split(".", 1)
            state.setdefault(int(number), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
