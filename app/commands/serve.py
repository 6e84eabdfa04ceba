"""`impasto serve`: the service under uvicorn, with a stop that loses nothing."""

import asyncio
import logging
import os
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

import click
import uvicorn
from pydantic.fields import FieldInfo

from app.logs import log_to_stderr
from app.settings import Settings, WrongSettings, read_settings

if TYPE_CHECKING:
    from app.http.service import Service

logger = logging.getLogger("impasto")

SWITCH_SECONDS: Final = 0.0003


class Server(uvicorn.Server):
    """uvicorn, but SIGTERM and SIGINT first drain the service while it still answers, and then exit with 0.

    While it drains, new work gets 503 and `Connection: close`; a second signal ends it at once.
    """

    def __init__(self, config: uvicorn.Config, service: "Service") -> None:
        super().__init__(config)
        self.service = service
        self._drained: asyncio.Task[None] | None = None

    async def startup(self, sockets: Any = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if not self.started:
            self.should_exit = True
            return
        if self.service.draining:
            self.should_exit = self.force_exit = True
            return
        self.service.draining = True
        logger.info("%s: finishing what is in flight, refusing new work", signal.Signals(sig).name)
        self._loop.call_soon_threadsafe(self._drain)

    def _drain(self) -> None:
        self._drained = self._loop.create_task(self._stop_when_idle())

    async def _stop_when_idle(self) -> None:
        grace = self.service.settings.grace_seconds
        try:
            async with asyncio.timeout(grace):
                await self.service.drain()
        except TimeoutError:
            logger.warning("not everything was finished within %g seconds", grace)
            await self.service.stop()
        self.should_exit = True


def _option(name: str, field: FieldInfo) -> click.Option:
    default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
    variable = f"IMPASTO_{name.upper()}"
    return click.Option(
        [f"--{name.replace('_', '-')}"],
        metavar="VALUE",
        help=f"{field.description}  [{variable}; default: {'none' if default == '' else default}]",
    )


def _serve(**given: str | None) -> None:
    try:
        settings = read_settings(**given)
    except WrongSettings as error:
        raise click.UsageError(str(error)) from None
    from app.http.protocol import ProblemProtocol
    from app.main import create_app

    log_to_stderr(settings.log_level)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=ProblemProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=1,
    )
    # The network's thread needs the interpreter for moments between its stages, and would wait 5 ms for each behind
    # whoever parses a request; both cores then stand still.
    sys.setswitchinterval(SWITCH_SECONDS)
    Server(config, app.state.service).run()
    if app.state.service.queue.busy:
        # A batch outlasted the grace time; to unwind the process under the native code that runs it would crash.
        logging.shutdown()
        os._exit(0)


serve = click.Command(
    "serve",
    callback=_serve,
    params=[_option(name, field) for name, field in Settings.model_fields.items()],
    help="Serve POST /stylize over HTTP.\n\nEvery setting is an option here and an environment variable; "
    "the option wins. /docs on the running service shows every field and every error.",
)
