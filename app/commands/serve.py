"""`impasto serve`: the service under uvicorn, with a stop that loses nothing."""

import asyncio
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from ipaddress import ip_address
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click
import uvicorn
from pydantic.fields import FieldInfo

from app.access.keys import KeysError
from app.commands.health import local_address
from app.files import write_whole
from app.logs import log_to_stderr
from app.settings import Settings, WrongSettings, read_settings

if TYPE_CHECKING:
    from app.http.service import Service

logger = logging.getLogger("impasto")

SWITCH_SECONDS: Final = 0.0003
SAME_WISH_SECONDS: Final = 2.0


class Server(uvicorn.Server):
    """uvicorn, but SIGTERM and SIGINT first drain the service while it still answers, and then exit with 0.

    SIGTERM, a supervisor's, first leaves balancers time to notice. While it drains, new work gets 503 and
    `Connection: close`. A second signal ends it at once; one that comes with the first, as where a whole group is
    signalled and `make` passes its own on, is the same wish. While it starts, when nothing can be lost, one is enough.
    """

    def __init__(self, config: uvicorn.Config, service: "Service") -> None:
        super().__init__(config)
        self.service = service
        self._stopping: asyncio.Task[None] | None = None
        self._stop_since = 0.0
        self._hurry = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        path = self.service.settings.address_file
        if self.started and path:
            try:
                host, port = self.servers[0].sockets[0].getsockname()[:2]
                write_whole(path, local_address(host, port).encode())
            except OSError as error:
                logger.warning("%s can't be written, so `impasto health` will not find the service: %s", path, error)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.started:
            # Whoever loads the weights can't be told to stop, and may wait for a file system that hangs.
            logger.info("%s: stopped before it was ready to serve", signal.Signals(sig).name)
            _exit()
        elif not self._stop_since:
            self._stop_since = now
            self._loop.call_soon_threadsafe(self._begin_to_stop, sig)
        elif now - self._stop_since > SAME_WISH_SECONDS:
            self._loop.call_soon_threadsafe(self._hurry.set)

    def _begin_to_stop(self, sig: int) -> None:
        self._stopping = self._loop.create_task(self._stop(signal.Signals(sig)))

    async def _stop(self, sig: signal.Signals) -> None:
        settings = self.service.settings
        if sig == signal.SIGTERM and settings.drain_seconds:
            logger.info("SIGTERM: serving for %g seconds more, with /readyz red", settings.drain_seconds)
            self.service.leaving = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), settings.drain_seconds)
        logger.info("%s: finishing what is in flight, refusing new work", sig.name)
        drained = self._loop.create_task(self.service.drain())
        hurry = self._loop.create_task(self._hurry.wait())
        await asyncio.wait((drained, hurry), timeout=settings.grace_seconds, return_when=asyncio.FIRST_COMPLETED)
        if not drained.done():
            if hurry.done():
                logger.warning("told to stop once more: giving up what is in flight")
            else:
                logger.warning("not everything was finished within %g seconds", settings.grace_seconds)
            await self.service.end()
        self.should_exit = True


def _exit() -> NoReturn:
    """End without unwinding the process under native code that still runs, which would crash."""
    logging.shutdown()
    os._exit(0)


def _raise_file_limit() -> None:
    """Take as many descriptors as the system allows: shells give 1024, fewer than uploads that may come in."""
    with suppress(ImportError, ValueError, OSError):
        import resource  # Unix alone has it

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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

    log_to_stderr(settings.log_level, settings.log_format)
    try:
        app = create_app(settings)
    except KeysError as error:
        raise click.ClickException(str(error)) from None
    if settings.api_keys_file is None and not _is_loopback(settings.host):
        logger.warning("whoever reaches %s may use the service: IMPASTO_API_KEYS_FILE asks for keys", settings.host)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=ProblemProtocol,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        proxy_headers=False,  # the application knows whom to trust
        workers=1,  # else uvicorn reads WEB_CONCURRENCY, which platforms set for servers of many processes
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=1,
    )
    # The network's thread needs the interpreter for moments between its stages, and would wait 5 ms for each behind
    # whoever parses a request; both cores then stand still.
    sys.setswitchinterval(SWITCH_SECONDS)
    _raise_file_limit()
    Server(config, app.state.service).run()
    if app.state.service.queue.busy or app.state.service.jobs.busy:
        _exit()  # a batch outlasted the grace time, or a job's step its own


serve = click.Command(
    "serve",
    callback=_serve,
    params=[_option(name, field) for name, field in Settings.model_fields.items()],
    help="Serve POST /stylize over HTTP.\n\nEvery setting is an option here and an environment variable; "
    "the option wins. /docs on the running service shows every field and every error.",
)
