"""What probes of KServe, Triton, NIM and their like ask for, as the Open Inference Protocol (V2) has it.

Pictures are asked for by POST /stylize: the protocol's own requests are tensors in JSON, which pictures are not.
"""

from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter, Request

from app.http.openapi import problem_responses
from app.http.problems import NOT_READY, QUEUE_FULL, SHUTTING_DOWN
from app.http.service import Service

router = APIRouter(prefix="/v2", tags=["operation"])

MODEL: Final = "impasto"
NOT_READY_RESPONSES: Final = problem_responses(NOT_READY, QUEUE_FULL, SHUTTING_DOWN)


@router.get("", summary="Name and version, as the Open Inference Protocol asks")
async def server() -> dict[str, Any]:
    return {"name": MODEL, "version": version("impasto"), "extensions": []}


@router.get("/health/live", summary="The same as /healthz, for the Open Inference Protocol's probes")
async def live() -> dict[str, bool]:
    return {"live": True}


@router.get(
    "/health/ready",
    summary="The same as /readyz, for the Open Inference Protocol's probes",
    responses=NOT_READY_RESPONSES,
)
async def ready(request: Request) -> dict[str, bool]:
    _service(request).check_ready()
    return {"ready": True}


@router.get(f"/models/{MODEL}/ready", summary="The same for the one model there is", responses=NOT_READY_RESPONSES)
async def model_ready(request: Request) -> dict[str, Any]:
    _service(request).check_ready()
    return {"name": MODEL, "ready": True}


@router.get(f"/models/{MODEL}", summary="What the model takes and gives; it is asked by POST /stylize")
async def model() -> dict[str, Any]:
    """Files of pictures, by the names of the form's fields."""
    return {
        "name": MODEL,
        "versions": [version("impasto")],
        "platform": "impasto_adain",
        "inputs": [
            {"name": "content", "datatype": "BYTES", "shape": [1]},
            {"name": "style", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [{"name": "result", "datatype": "BYTES", "shape": [1]}],
    }


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service
