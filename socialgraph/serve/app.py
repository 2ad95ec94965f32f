"""The routes of the service."""

from collections.abc import Iterable
from importlib.resources import files
from typing import Literal

import numpy as np
from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles

from socialgraph import __version__
from socialgraph.calendar import parse_stamps
from socialgraph.serve.guard import Guard
from socialgraph.serve.intake import Reading, read_csv, read_json
from socialgraph.serve.metrics import metrics_text
from socialgraph.serve.service import Busy, Failed, Refused, Service
from socialgraph.serve.views import (
    detectors_json,
    forecast_geojson,
    forecast_json,
    history_json,
)
from socialgraph.stream.reader import Forecast
from socialgraph.stream.tables import csv_header, csv_rows

__all__ = ["make_app"]

_ROW = {"timestamp": "2024-01-01T08:00:00+08:00", "detector": "VD-0", "speed": 61.5}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"type": "array", "items": {"type": "object"}},
                "example": [_ROW],
            },
            "text/csv": {"schema": {"type": "string"}, "example": "timestamp,VD-0\n"},
        },
    }
}
_Detector = Query(None, max_length=200, description="id of one detector; all without it")
_Issued = Query("latest", max_length=40, description="'latest', or a time of issue in ISO 8601")


def make_app(
    service: Service,
    token: str | None = None,
    hosts: tuple[str, ...] | None = None,
    max_body: int = 32 * 2**20,
    max_rate: float = 1000.0,
) -> Guard:
    """The application for an ASGI server. Close the service when the server has ended.

    Args:
        service: what answers.
        token, hosts, max_body, max_rate: as of :class:`Guard`.
    """
    app = FastAPI(
        title="socialgraph",
        version=__version__,
        summary="Traffic forecasts of detectors.",
        docs_url=None,
        redoc_url=None,
    )
    guard = Guard(app, token, hosts, max_body, max_rate)
    _add_page(app)
    _add_readings(app, service)
    _add_forecasts(app, service)
    _add_state(app, service, guard)
    return guard


def _add_page(app: FastAPI) -> None:
    folder = files("socialgraph.serve") / "page"
    for route, name in {"/": "page.html", "/page.js": "page.js", "/page.css": "page.css"}.items():
        path = str(folder / name)
        app.get(route, include_in_schema=False)(lambda path=path: FileResponse(path))
    try:
        from swagger_ui_bundle import swagger_ui_path
    except ImportError:  # the schema is at /openapi.json without it
        return
    app.mount("/swagger", StaticFiles(directory=swagger_ui_path))

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="socialgraph",
            swagger_js_url="/swagger/swagger-ui-bundle.js",
            swagger_css_url="/swagger/swagger-ui.css",
            swagger_favicon_url="data:,",
        )


def _add_readings(app: FastAPI, service: Service) -> None:
    @app.post("/readings", openapi_extra=_BODY)
    async def readings(request: Request) -> JSONResponse:
        """Take readings: the whole of a time in one request; a time that is known is left out."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        body, stream = await request.body(), service.stored.stream

        def read() -> Iterable[Reading]:  # in the thread of the writer
            if kind == "text/csv":
                return read_csv(body, stream.spec, stream.time)
            return read_json(body, stream.spec)

        if kind not in ("application/json", "text/csv"):
            raise HTTPException(415, "Expected Content-Type application/json or text/csv.")
        try:
            return JSONResponse(await service.take(read))
        except Refused as error:
            return JSONResponse({"detail": str(error), **error.taken}, 422)
        except Failed as error:
            return JSONResponse({"detail": str(error), **error.taken}, 500)
        except Busy as error:
            return JSONResponse({"detail": str(error)}, 503, {"Retry-After": "1"})
        except OSError as error:
            return JSONResponse({"detail": str(error)}, 507)

    @app.get("/readings")
    def history(
        detector: str = Query(max_length=200), hours: float = Query(6.0, gt=0, le=168)
    ) -> JSONResponse:
        """The last readings of a detector."""
        with service.reader() as reader:
            last = reader.last()
            if last is None:
                raise HTTPException(404, "There are no readings yet.")
            since = last - np.timedelta64(round(3600 * hours), "s")
            rows = list(reader.readings_of(detector, since))
        if not rows:
            raise HTTPException(404, "There is no such detector.")
        return JSONResponse(history_json(rows, service.form))


def _add_forecasts(app: FastAPI, service: Service) -> None:
    @app.get("/forecasts")
    def forecasts(
        detector: str | None = _Detector,
        issued: str = _Issued,
        format: Literal["json", "csv", "geojson"] = "json",
    ) -> Response:
        """Forecasts after the readings of a time."""
        found = _find(service, detector, issued)
        if format == "csv":
            text = csv_header(service.form) + csv_rows(found, service.form)
            return Response(text, media_type="text/csv; charset=utf-8")
        if format == "geojson":
            content = forecast_geojson(found, service.form)
            return JSONResponse(content, media_type="application/geo+json")
        return JSONResponse(forecast_json(found, service.form))


def _find(service: Service, detector: str | None, issued: str) -> Forecast:
    time = found = None
    if issued != "latest":
        try:
            time = parse_stamps([issued], service.form["timezone"], "first")[0]
        except ValueError as error:
            raise HTTPException(422, f"issued: {error}") from error
    with service.reader() as reader:
        time = reader.last() if time is None else time
        if time is not None:
            one = None if detector is None else reader.forecast_of(detector, time)
            found = reader.forecast(time) if detector is None else one
    if found is None:
        raise HTTPException(404, "There is no forecast of that time and detector.")
    return found


def _add_state(app: FastAPI, service: Service, guard: Guard) -> None:
    @app.get("/detectors")
    def detectors() -> JSONResponse:
        """Detectors with their positions and last readings."""
        return JSONResponse(detectors_json(*service.last_reading(), service.form))

    @app.get("/health")
    def health() -> JSONResponse:
        """Whether readings come: 'ok', 'late' (three intervals without one) or 'empty'."""
        return JSONResponse(service.health())

    @app.get("/metrics")
    def metrics() -> Response:
        """Numbers for Prometheus."""
        text = metrics_text(service, guard.requests)
        return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
