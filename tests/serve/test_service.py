"""The routes of the service: what is taken, what is answered, and what is refused."""

import asyncio
import contextlib
import json
import os
import threading
import time

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("httpx", reason="starlette's test client needs httpx")
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from socialgraph.serve.app import make_app
from socialgraph.serve.folder import follow_folder
from socialgraph.serve.guard import Guard
from socialgraph.serve.service import Service
from socialgraph.serve.views import forecast_geojson, forecast_json
from socialgraph.stream import StreamingForecaster, StreamStore
from socialgraph.stream.durations import parse_keep
from socialgraph.stream.reader import Detectors, Forecast
from tests.conftest import make_series
from tests.last_value import last_value

SERIES = make_series(steps=60)
CSV = {"Content-Type": "text/csv"}


@pytest.fixture
def start(tmp_path):
    """Starts a service of a file, with bounds; it is closed as SIGTERM closes it."""
    clients = []

    def run(keep="30d", **options):
        store = StreamStore(tmp_path / "s.db", parse_keep(keep))
        service = Service(StreamingForecaster(last_value(SERIES)), store, null_values=[-99.0])
        client = TestClient(make_app(service, **options), base_url="http://localhost")
        client.__enter__()
        client.service = service
        clients.append(client)
        return client

    yield run
    for client in clients:
        end(client)


def end(client):
    """Close a service, once."""
    if client.service is not None:
        client.__exit__(None, None, None)
        client.service.close()
        client.service = None


def rows(steps):
    """Rows of JSON; a missing reading is left out or null."""
    return [
        {"timestamp": f"{SERIES.timestamps[step]}Z", "detector": vdid}
        | {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(SERIES.feature_names, own, strict=True)
        }
        for step in steps
        for vdid, own in zip(SERIES.vdids, SERIES.values[step], strict=True)
    ]


def lines(steps):
    names = [f"{vdid}:{name}" for vdid in SERIES.vdids for name in SERIES.feature_names]
    text = [",".join(["timestamp", *names])]
    for step in steps:
        cells = ("" if np.isnan(v) else repr(float(v)) for v in SERIES.values[step].ravel())
        text.append(",".join([f"{SERIES.timestamps[step]}Z", *cells]))
    return "\n".join(text)


def test_rows_and_lines_give_the_same_forecasts_and_times_are_taken_once(start):
    client = start()
    assert client.get("/health").json()["status"] == "empty"
    assert client.get("/forecasts").status_code == 404
    assert len(client.get("/detectors").json()) == 6
    answer = client.post("/readings", json=rows(range(3)))
    last = "2024-01-01T08:10:00+08:00"
    assert answer.json() == {"read": 3, "old": 0, "repeated": 0, "last": last}
    answer = client.post("/readings", content=lines(range(4)), headers=CSV)
    assert (answer.json()["read"], answer.json()["repeated"]) == (1, 3)
    found = client.get("/forecasts").json()
    assert found["issued"] == "2024-01-01T08:15:00+08:00"
    assert found["times"][2] == "2024-01-01T08:30:00+08:00"
    assert found["units"]["speed"] == "km/h"
    now = np.nan_to_num(SERIES.values[3, :, :1])
    given = [found["forecasts"][vdid]["speed"] for vdid in SERIES.vdids]
    np.testing.assert_allclose(given, now + np.arange(1, 4), rtol=1e-5)
    one = client.get("/forecasts", params={"detector": "VD-4", "issued": last}).json()
    assert list(one["forecasts"]) == ["VD-4"]
    assert one["issued"] == last


def test_forecasts_come_as_csv_and_geojson(start):
    client = start()
    client.post("/readings", json=rows([0]))
    table = client.get("/forecasts", params={"format": "csv"}).text.splitlines()
    assert table[0] == "issued,time,step,detector,speed"
    assert table[1].startswith("2024-01-01T08:00:00+08:00,2024-01-01T08:05:00+08:00,1,VD-0,")
    assert len(table) == 1 + 6 * 3
    answer = client.get("/forecasts", params={"format": "geojson", "detector": "VD-1"})
    assert answer.headers["content-type"].startswith("application/geo+json")
    (feature,) = answer.json()["features"]
    assert feature["geometry"] == {"type": "Point", "coordinates": [121.5, 25.003]}
    assert feature["properties"]["detector"] == "VD-1"
    assert feature["properties"]["speed"][2] == pytest.approx(SERIES.values[0, 1, 0] + 3, rel=1e-5)


def test_alarms_are_told_by_their_names():
    detectors = Detectors(["a", "b"], [25.0, 25.1], [121.5, 121.6])
    codes = np.float32([[0, 0], [3, 3]])
    forecast = Forecast(SERIES.timestamps[0], detectors, {"speed": codes + 50, "alarm": codes})
    form = {"columns": ["speed", "alarm"], "features": ["speed"], "units": ["km/h"]}
    form |= {"timezone": "Asia/Taipei", "interval_minutes": 5.0}
    told = forecast_json(forecast, form)["forecasts"]
    assert told["a"] == {"speed": [50.0, 50.0], "alarm": [None, None]}
    assert told["b"] == {"speed": [53.0, 53.0], "alarm": ["sensor", "sensor"]}
    points = forecast_geojson(forecast, form)["features"]
    assert [p["properties"]["alarm"] for p in points] == [[None, None], ["sensor", "sensor"]]


def test_detectors_have_places_and_last_readings_and_a_history(start):
    client = start()
    client.post("/readings", json=rows(range(10)))
    entry = client.get("/detectors").json()[2]
    assert (entry["detector"], entry["lat"], entry["lon"]) == ("VD-2", 25.006, 121.5)
    flow = SERIES.values[9, 2, 1]
    assert entry["reading"]["flow"] == (None if np.isnan(flow) else pytest.approx(flow, rel=1e-5))
    past = client.get("/readings", params={"detector": "VD-2", "hours": 0.25}).json()
    assert past["times"][0] == "2024-01-01T08:30:00+08:00"
    assert len(past["times"]) == len(past["readings"]["speed"]) == 4
    assert client.get("/readings", params={"detector": "none"}).status_code == 404


def test_health_and_metrics_tell_age_silence_and_counts(start):
    client = start()
    silent = rows([0])
    for row in silent[:3]:
        row["speed"], row["flow"] = -99, None  # a null value
    client.post("/readings", json=silent)
    client.post("/readings", json=silent)
    health = client.get("/health").json()
    assert health["share_silent"] == 0.5
    assert health["status"] == "late"
    start_of = np.datetime64("2024-01-01T00:00:00")
    age = (np.datetime64("now", "s") - start_of) / np.timedelta64(1, "s")
    assert health["age_seconds"] == pytest.approx(age, abs=5)
    text = client.get("/metrics").text
    found = {
        (s.name, *s.labels.values()): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    assert found["socialgraph_readings_total", "read"] == 1
    assert found["socialgraph_readings_total", "repeated"] == 1
    assert found["socialgraph_silent_share",] == 0.5
    assert found["socialgraph_requests_total", "200"] == 3
    assert found["socialgraph_reading_seconds_count",] == 2


ROW = {"timestamp": "2024-01-01T00:00:00Z", "detector": "VD-0", "speed": 1.0}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("{}", "a list of rows"),
        ("[3]", "Row 1: expected an object"),
        (json.dumps([{**ROW, "detector": "<b>"}]), "Row 1: '<b>' is no detector"),
        (json.dumps([{**ROW, "sped": 1}]), "'sped' is no feature"),
        (json.dumps([{**ROW, "speed": "1"}]), "a finite number or null as 'speed'"),
        (json.dumps([{**ROW, "speed": True}]), "a finite number or null as 'speed'"),
        (json.dumps([{**ROW, "speed": float("inf")}]), "a finite number or null as 'speed'"),
        (json.dumps([{**ROW, "speed": 10**400}]), "a finite number or null as 'speed'"),
        (json.dumps([ROW, ROW]), "Row 2: 'VD-0' stands twice"),
        (json.dumps([{**ROW, "timestamp": "2024-01-01T00:00:00"}]), "their offset from UTC"),
        (json.dumps([{**ROW, "timestamp": "now"}]), "Expected times in ISO 8601"),
        (json.dumps([{**ROW, "timestamp": "2090-01-01T00:00Z"}]), "ahead of the clock"),
        (json.dumps([ROW, {**ROW, "timestamp": "2024-01-01T08:00:00+08:00"}]), "one way of writ"),
        (
            json.dumps([{**ROW, "timestamp": f"2024-01-01T00:00:{k:02}.{j}Z"}
                        for k in range(60) for j in range(6)]),
            "288 times or fewer",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_and_changes_nothing(start, body, said):
    client = start()
    answer = client.post("/readings", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 422
    assert said in answer.json()["detail"]
    assert client.get("/forecasts").status_code == 404


def test_times_before_one_that_is_refused_are_kept(start):
    client = start()
    answer = client.post("/readings", content=lines(range(3)) + "\nbroken", headers=CSV)
    assert answer.status_code == 422
    assert "Line 5: expected 13 cells" in answer.json()["detail"]
    assert answer.json()["read"] == 3
    changed = rows([2])
    changed[0]["speed"] = 1.25
    answer = client.post("/readings", json=changed)
    assert answer.status_code == 422
    assert "other readings of 1 detectors, among them ['VD-0']" in answer.json()["detail"]
    assert client.get("/health").json()["readings"] == {"read": 3, "refused": 2}


def test_other_routes_kinds_and_times_are_refused(start):
    client = start()
    client.post("/readings", json=rows([0]))
    assert (
        client.post("/readings", content="x", headers={"Content-Type": "text/plain"}).status_code
        == 415
    )
    assert client.get("/forecasts", params={"issued": "yesterday"}).status_code == 422
    assert client.get("/forecasts", params={"issued": "2024-01-02T00:00Z"}).status_code == 404
    assert client.get("/forecasts", params={"detector": "x" * 201}).status_code == 422
    assert client.get("/forecasts", params={"format": "xml"}).status_code == 422
    assert client.get("/readings", params={"detector": "VD-0", "hours": 1e9}).status_code == 422


def test_bodies_and_rates_are_bounded(start):
    client = start(max_body=500, max_rate=20)
    assert client.post("/readings", json=rows([0])).status_code == 413

    def endless():
        for _ in range(50):
            yield b" " * 100

    answer = client.post("/readings", content=endless(), headers={"Content-Type": "text/csv"})
    assert answer.status_code == 413
    found = [client.get("/health").status_code for _ in range(40)]
    assert found[0] == 200
    assert found.count(429) >= 15
    time.sleep(0.2)
    assert client.get("/health").status_code == 200


def test_a_body_that_does_not_arrive_is_given_up():
    sent = []

    async def receive():
        await asyncio.sleep(60)

    async def send(message):
        sent.append(message)

    guard = Guard(None, None, None, 1000, 10.0, body_seconds=0.05)
    scope = {"type": "http", "method": "POST", "path": "/readings", "headers": [], "client": None}
    asyncio.run(guard(scope, receive, send))
    assert sent[0]["status"] == 408


def test_a_token_opens_all_but_the_page(start):
    client = start(token="a-token-of-16-letters")
    for route in ("/forecasts", "/detectors", "/metrics", "/docs", "/openapi.json", "/readings"):
        assert client.get(route).status_code == 401, route
        wrong = {"Authorization": "Bearer a-token-of-16-letter"}
        assert client.get(route, headers=wrong).status_code == 401
    assert client.post("/readings", json=rows([0])).status_code == 401
    right = {"Authorization": "Bearer a-token-of-16-letters"}
    assert client.post("/readings", json=rows([0]), headers=right).status_code == 200
    assert client.get("/forecasts", headers=right).status_code == 200
    for route in ("/", "/page.js", "/page.css", "/health"):
        assert client.get(route).status_code == 200


def test_no_page_on_the_web_reaches_it_by_a_name_of_its_own(start):
    client = start(hosts=("localhost", "127.0.0.1", "[::1]", "Traffic.Example.org"))
    for host, status in (
        ("localhost:8000", 200), ("[::1]:8000", 200), ("127.0.0.1", 200),
        ("traffic.example.org:80", 200), ("TRAFFIC.example.org", 200),
        ("evil.example", 421), ("localhost.evil.example:8000", 421), ("", 421),
    ):  # fmt: skip
        assert client.get("/health", headers={"Host": host}).status_code == status, host
    assert "access-control-allow-origin" not in client.get("/health").headers
    assert client.get("/").headers["content-security-policy"].startswith("default-src 'self'")


@pytest.mark.slow
def test_many_read_while_one_writes(start):
    client = start(max_rate=1e6)
    client.post("/readings", json=rows([0]))
    wrong = []

    def read():
        for _ in range(60):
            found = client.get("/forecasts", params={"detector": "VD-4"})
            step = SERIES.timestamps == np.datetime64(found.json()["issued"][:19]) - np.timedelta64(
                8, "h"
            )
            truth = np.nan_to_num(SERIES.values[step][0, 4, 0]) + 1
            given = found.json()["forecasts"]["VD-4"]["speed"][0]
            if found.status_code != 200 or abs(given - truth) > 1e-3:
                wrong.append(found.text)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for step in range(1, 60):
        assert client.post("/readings", json=rows([step])).json()["read"] == 1
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_service_that_is_shut_down_goes_on_where_it_stood(start):
    client = start()
    client.post("/readings", json=rows(range(5)))
    end(client)
    again = start()
    answer = again.post("/readings", json=rows(range(7)))
    assert (answer.json()["repeated"], answer.json()["read"]) == (5, 2)
    assert again.get("/health").json()["readings"] == {"read": 7, "repeated": 5}


def test_a_full_disk_is_told_and_what_is_sent_again_is_taken(start):
    client = start()
    client.post("/readings", json=rows([0]))
    db = client.service.stored.store._db
    db.execute("PRAGMA max_page_count = 1").fetchall()
    found = [client.post("/readings", json=rows([step])) for step in range(1, 60)]
    full = [step for step, answer in enumerate(found, start=1) if answer.status_code == 507]
    assert full
    assert "is the disk full?" in found[full[0] - 1].json()["detail"]
    db.execute("PRAGMA max_page_count = 100000").fetchall()
    answer = client.post("/readings", json=rows(range(60)))
    assert answer.json()["read"] == 60 - full[0]


def fail(client, which):
    """Let the network of a service fail in some of its calls, counted from 1; gives the calls."""
    network = client.service.stored.stream.forecaster.network
    forward, calls = network.forward, []

    def failing(features):
        calls.append(features)
        if len(calls) in which:
            raise RuntimeError("out of memory")
        return forward(features)

    network.forward = failing
    return calls


def test_a_network_that_fails_is_told_with_what_was_taken_before(start):
    client = start()
    fail(client, [3])
    answer = client.post("/readings", json=rows(range(4)))
    assert answer.status_code == 500
    assert "out of memory" in answer.json().pop("detail")
    assert (answer.json()["read"], answer.json()["last"][11:16]) == (2, "08:05")
    assert client.post("/readings", json=rows(range(4))).json()["read"] == 2


def test_what_is_told_while_a_forecast_is_made_is_that_of_the_last_one(start):
    client = start()
    client.post("/readings", json=rows(range(2)))
    before = client.get("/detectors").json(), client.get("/health").json()["last_reading"]
    network = client.service.stored.stream.forecaster.network
    forward, begun, go = network.forward, threading.Event(), threading.Event()

    def slow(features):
        begun.set()
        assert go.wait(30)
        return forward(features)

    network.forward = slow
    writer = threading.Thread(target=client.post, args=["/readings"], kwargs={"json": rows([2])})
    writer.start()
    assert begun.wait(30)
    during = client.get("/detectors").json(), client.get("/health").json()["last_reading"]
    go.set()
    writer.join()
    assert during == before
    assert client.get("/health").json()["last_reading"] == "2024-01-01T08:10:00+08:00"


def test_threads_that_come_and_go_leave_no_open_file(start):
    client = start()
    client.post("/readings", json=rows([0]))
    path = str(client.service.path)

    def num_open():
        links = (f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd"))
        return sum(os.path.realpath(link) == path for link in links)

    before = num_open()
    for _ in range(20):
        thread = threading.Thread(target=client.service.health)
        thread.start()
        thread.join()
    assert num_open() <= before + 1


def follow(client, folder, until):
    """Let a service follow a folder until something is so, and for some looks more."""

    async def look():
        following = asyncio.create_task(follow_folder(client.service, folder, 0.01))
        end = time.monotonic() + 30
        while not until() and time.monotonic() < end:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.3)
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following

    asyncio.run(look())
    return client.service.stored.counts["read"]


def test_a_folder_is_followed_past_what_cannot_be_read(start, tmp_path, capsys):
    folder = tmp_path / "feeds"
    (folder / "1.csv").mkdir(parents=True)
    (folder / "2.csv").write_text("nonsense\n")
    (folder / "3.csv").write_text(lines(range(3)))
    client = start()
    assert follow(client, folder, lambda: client.service.stored.counts["read"] == 3) == 3
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    for line, text in zip(said, ("1.csv': ", "2.csv': Expected a header"), strict=True):
        assert text in line[-200:]


@pytest.mark.parametrize("failures", [3, 100])
def test_a_file_is_tried_again_while_the_network_fails_and_later_ones_wait(
    start, tmp_path, capsys, failures
):
    folder = tmp_path / "feeds"
    folder.mkdir()
    (folder / "1.csv").write_text(lines(range(3)))
    (folder / "2.csv").write_text(lines(range(3, 5)))
    client = start()
    calls = fail(client, range(2, 2 + failures))
    read = follow(client, folder, lambda: len(calls) == (8 if failures == 3 else 13))
    said = capsys.readouterr().err.splitlines()
    if failures == 3:
        assert read == 5  # nothing of the first came too late
        assert len(said) == 1
    else:
        assert read == 1
        assert len(calls) == 1 + 2 * 6  # each file is given up in the end
        assert [line.split("'")[1][-5:] for line in said] == ["1.csv", "2.csv"]
    assert all("out of memory" in line for line in said)


def test_a_file_that_changes_in_its_pause_is_taken_before_later_ones(start, tmp_path):
    folder = tmp_path / "feeds"
    folder.mkdir()
    (folder / "0.csv").mkdir()  # cannot be read
    (folder / "1.csv").write_text(lines(range(3)))
    (folder / "2.csv").write_text(lines(range(3, 5)))
    client = start()
    calls, changed = fail(client, [1, 2]), []

    def is_done():
        if len(calls) == 2 and not changed:
            changed.append((folder / "1.csv").write_text(lines(range(3)) + "\n"))
        return client.service.stored.counts["read"] == 5

    assert follow(client, folder, is_done) == 5  # none of them was too old
    assert client.service.stored.counts["old"] == 0


def test_a_file_is_tried_again_when_the_disk_has_room(start, tmp_path, capsys):
    folder = tmp_path / "feeds"
    folder.mkdir()
    (folder / "1.csv").write_text(lines(range(58)))
    (folder / "2.csv").write_text(lines(range(58, 60)))
    client = start()
    db, counts = client.service.stored.store._db, client.service.stored.counts
    db.execute("PRAGMA max_page_count = 1").fetchall()
    told = []
    assert follow(client, folder, lambda: told.append(capsys.readouterr().err) or any(told)) < 58
    assert "".join([*told, capsys.readouterr().err]).count("is the disk full?") == 1
    db.execute("PRAGMA max_page_count = 100000").fetchall()
    assert follow(client, folder, lambda: counts["read"] == 60) == 60


def test_the_schema_names_every_route_and_the_docs_need_no_network(start):
    client = start()
    paths = client.get("/openapi.json").json()["paths"]
    assert set(paths) == {"/readings", "/forecasts", "/detectors", "/health", "/metrics"}
    page = client.get("/docs").text
    assert "https://" not in page
    assert client.get("/swagger/swagger-ui-bundle.js").status_code == 200
