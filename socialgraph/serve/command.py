"""The command ``socialgraph serve``."""

import argparse
import asyncio
import ipaddress
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from socialgraph.stream.durations import parse_keep
from socialgraph.stream.options import KEEP, add_stream_options, open_stream, read_detectors
from socialgraph.stream.store import StreamStore

if TYPE_CHECKING:
    from socialgraph.serve.service import Service

__all__ = ["main"]

_TOKEN = "SOCIALGRAPH_TOKEN"
_SHORTEST_TOKEN = 16
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def main(args: Sequence[str] | None = None) -> None:
    """Serve until the process is told to end (SIGTERM or Ctrl-C), and then finish what is begun."""
    options = _parse(args)
    token = _read_token(options.token_file)
    local = _is_loopback(options.host)
    if not local and token is None:
        raise ValueError(
            f"Others can reach --host {options.host}: give a token with --token_file or in the "
            f"environment as {_TOKEN}, or leave --host out to serve this machine alone."
        )
    try:
        import uvicorn

        from socialgraph.serve.app import make_app
        from socialgraph.serve.service import Service
    except ImportError as error:
        raise ValueError(
            f"{error}: install the extra, pip install 'socialgraph[serve]'."
        ) from error
    if options.feeds and not options.feeds.is_dir():
        raise ValueError(f"--feeds: '{options.feeds}' is no folder.")
    stream = open_stream(options)
    store = StreamStore(options.state, parse_keep(options.keep or KEEP))
    try:
        service = Service(stream, store, options.restart_after_gap, options.null_value)
        if options.detectors:
            stream.set_detectors(*read_detectors(options.detectors))
    except BaseException:
        store.close()
        raise
    names = map(_in_brackets, (options.host, *options.allow_host))
    hosts = (*_LOOPBACK, *names) if local else None
    app = make_app(service, token, hosts, options.max_body * 2**20, options.max_rate)
    config = uvicorn.Config(
        app,
        host=options.host,
        port=options.port,
        lifespan="off",  # it would be left open by an end while the server starts
        log_level="error",  # refusals are counted in /metrics, and fill no log
        access_log=False,
        server_header=False,
        proxy_headers=False,  # any client may write them, and be another at each request
        limit_concurrency=options.max_connections,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=30,
    )
    address = f"http://{_in_brackets(options.host)}:{options.port}"
    print(f"{address} serves '{options.state}'", flush=True)
    asyncio.run(_serve(uvicorn.Server(config), service, options.feeds))


async def _serve(server, service: "Service", feeds: Path | None) -> None:
    """Serve, follow the folder meanwhile, and close the service, however early it ends."""
    from socialgraph.serve.folder import follow_folder

    following = None
    try:
        if feeds is not None:
            following = asyncio.create_task(follow_folder(service, feeds))
        await server.serve()
    finally:
        if following is not None:
            following.cancel()
        service.close()


def _read_token(path: Path | None) -> str | None:
    token = os.environ.get(_TOKEN) if path is None else path.read_text().strip()
    if token is None:
        return None
    if len(token) < _SHORTEST_TOKEN or not token.isascii():
        raise ValueError(
            f"Expected a token of {_SHORTEST_TOKEN} or more letters and digits, such as "
            "'openssl rand -hex 32' gives."
        )
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _in_brackets(host: str) -> str:
    """A host as an address of the web has it: IPv6 in brackets, in its short form."""
    try:
        return f"[{ipaddress.IPv6Address(host)}]"
    except ValueError:
        return host


def _parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "socialgraph serve",
        description="Take readings and give forecasts over HTTP: POST /readings, GET /forecasts, "
        "/detectors, /health, /metrics, /docs, and a map at /.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address; another than this machine's needs a token")
    add("--port", type=int, default=8000)
    add("--token_file", type=Path, help=f"file with the token of clients (or {_TOKEN})")
    add("--allow_host", nargs="+", default=[], help="further names of this machine, for a proxy")
    add("--feeds", type=Path, help="folder whose *.csv are taken as they are put there")
    add("--max_body", type=int, default=32, help="MiB of a request")
    add("--max_rate", type=float, default=1000.0, help="requests a second of a client")
    add("--max_connections", type=int, default=200, help="open at once")
    add_stream_options(parser)
    options = parser.parse_args(args)
    missing = [n for n in ("ckpt_path", "state") if getattr(options, n) is None]
    if missing:
        parser.error(f"expected {' and '.join(f'--{name}' for name in missing)}.")
    if not 0 <= options.port <= 65535:
        parser.error(f"expected --port from 0 to 65535 (got {options.port}).")
    if min(options.max_body, options.max_rate, options.max_connections) < 1:
        parser.error("expected --max_body, --max_rate and --max_connections of 1 or more.")
    return options
