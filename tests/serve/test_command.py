"""The service as it is started: who may reach it, how it ends, a folder of feeds, and no torch."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import yaml

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")

from socialgraph.cli import main
from socialgraph.stream import StoreReader
from tests.conftest import ROOT, make_series
from tests.serve.test_service import lines
from tests.test_stream import train

SERIES = make_series(steps=60)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return train(tmp_path_factory.mktemp("serve"), make_series(steps=288 * 3), "stacked")


@pytest.fixture(scope="module")
def exported(checkpoint):
    """Starts in a second, as it imports no torch."""
    main(["export", "--ckpt_path", str(checkpoint), "--to", str(checkpoint.with_suffix(".onnx"))])
    return checkpoint.with_suffix(".onnx")


def free_port():
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return own.getsockname()[1]


class Running:
    """A service in a process of its own."""

    def __init__(self, *words, code="from socialgraph.cli import main; main()", **environment):
        self.port = free_port()
        command = [sys.executable, "-c", code, "serve", "--port", str(self.port), *map(str, words)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, **environment},
        )  # fmt: skip

    def __enter__(self):
        for _ in range(600):
            try:
                self.get("/health")
                return self
            except OSError:
                assert self.process.poll() is None, self.process.stdout.read()
                time.sleep(0.1)
        raise TimeoutError("the service did not start")

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def get(self, path, data=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(
            urllib.request.Request(url, data, headers), timeout=30
        ) as found:
            return json.loads(found.read())

    def post(self, steps):
        return self.get("/readings", lines(steps).encode(), Content_Type="text/csv")


@pytest.mark.parametrize(
    ("words", "token", "said"),
    [
        (["--host", "0.0.0.0"], None, "give a token with --token_file"),
        (["--host", "example.org"], None, "give a token with --token_file"),
        (["--host", "0.0.0.0"], "short", "16 or more letters and digits"),
        (["--feeds", "/nowhere"], None, "--feeds: '/nowhere' is no folder"),
        (["--max_rate", "0"], None, "of 1 or more"),
        (["--port", "65536"], None, "--port from 0 to 65535 (got 65536)"),
        (["--keep", "a while"], None, "such as 30min, 12h or 14d"),
    ],
)
def test_a_start_that_would_be_wrong_is_refused(
    checkpoint, tmp_path, words, token, said, monkeypatch, capsys
):
    if token:
        monkeypatch.setenv("SOCIALGRAPH_TOKEN", token)
    with pytest.raises(SystemExit) as end:
        main(["serve", "--ckpt_path", str(checkpoint), "--state", str(tmp_path / "s.db"), *words])
    assert end.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "s.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--memory", "state"], "An exported file forecasts from windows"),
        (["--profile_half_life", "14d"], "An exported file holds what is usual"),
    ],
)
def test_what_an_exported_file_cannot_do_is_refused(exported, tmp_path, words, said, capsys):
    with pytest.raises(SystemExit) as end:
        main(["serve", "--ckpt_path", str(exported), "--state", str(tmp_path / "s.db"), *words])
    assert end.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.slow
def test_the_end_of_the_process_loses_nothing_and_it_goes_on(exported, tmp_path):
    words = ("--ckpt_path", exported, "--state", tmp_path / "s.db")
    with Running(*words) as service:
        assert service.post(range(6))["read"] == 6
        second = subprocess.run(
            [sys.executable, "-m", "socialgraph", "serve", *map(str, words)],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert second.returncode == 2
        assert f"in use by process {service.process.pid}" in second.stderr
        started = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(30)
        assert time.monotonic() - started < 10
        assert "Traceback" not in service.process.stdout.read()
    with Running(*words) as service:
        assert service.post(range(8)) == {
            "read": 2, "old": 0, "repeated": 6, "last": "2024-01-01T08:35:00+08:00",
        }  # fmt: skip
        service.process.kill()  # and -9 neither
    with StoreReader(tmp_path / "s.db") as reader:
        assert reader.last() == SERIES.timestamps[7]
        assert len(reader.issued()) == 8


@pytest.mark.slow
@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_it_is_called_by_its_address_and_no_header_makes_another_client(exported, tmp_path, host):
    words = ("--ckpt_path", exported, "--state", tmp_path / "s.db", "--max_rate", 1)
    with contextlib.closing(Running(*words, "--host", host)) as service:
        shown = f"[{host}]" if ":" in host else host
        address = f"http://{shown}:{service.port}"
        assert service.process.stdout.readline().startswith(f"{address} serves ")
        found = set()
        for client in range(100):
            request = urllib.request.Request(f"{address}/health")
            request.add_header("X-Forwarded-For", f"10.0.0.{client}")
            try:
                found.add(urllib.request.urlopen(request, timeout=30).status)
            except urllib.error.HTTPError as error:
                found.add(error.code)
            except OSError:  # is not up yet
                time.sleep(0.1)
            if 429 in found:
                break
        assert found == {200, 429}


def container_words(places):
    """What the container starts, with other files in the place of its own."""
    entry = re.search(r"^ENTRYPOINT (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[1]
    service = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["forecasts"]
    words = [*json.loads(entry)[2:], *service["command"]]
    for inside, outside in places.items():
        words = [word.replace(inside, str(outside)) for word in words]
    return words


@pytest.mark.slow
def test_the_container_serves_an_exported_file_without_torch_and_fed_by_a_folder(
    checkpoint, exported, tmp_path
):
    (tmp_path / "feeds").mkdir()
    code = (
        "import sys\n"
        "for name in ('torch', 'torch_geometric', 'pytorch_lightning', 'xlstm', 'pandas', 'scipy',"
        " 'h5py'):\n    sys.modules[name] = None\n"
        "from socialgraph.cli import main; main()"
    )
    (tmp_path / "token.txt").write_text("a-token-of-16-letters\n")
    words = container_words(
        {
            "/state/stream.db": tmp_path / "s.db",
            "/model/forecast.onnx": exported,
            "/run/secrets/token": tmp_path / "token.txt",
            "/feeds": tmp_path / "feeds",
        }
    )
    assert not [word for word in words if word.startswith("/") and str(tmp_path) not in word]
    with Running(*words, code=code) as service:
        (tmp_path / "feeds" / "1.csv").write_text(lines(range(8)) + "\n")
        (tmp_path / "feeds" / "2.csv").write_text("nonsense\n")
        (tmp_path / "feeds" / "3.csv").write_text(lines(range(6, 12)) + "\n")
        for _ in range(100):
            time.sleep(0.2)
            if service.get("/health")["readings"].get("read") == 12:
                break
        assert service.get("/health")["readings"] == {
            "read": 12, "repeated": 2, "refused": 1,
        }  # fmt: skip
        with pytest.raises(urllib.error.HTTPError, match="401"):
            service.get("/forecasts")
        own = service.get("/forecasts", Authorization="Bearer a-token-of-16-letters")
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(30)
        assert "2.csv': Expected a header" in service.process.stdout.read()

    import socialgraph
    from socialgraph.stream import StreamingForecaster

    stream = StreamingForecaster(socialgraph.load(checkpoint))
    for step in range(12):
        forecast = stream.update(SERIES.timestamps[step], SERIES.values[step])
    found = [own["forecasts"][vdid]["speed"] for vdid in SERIES.vdids]
    np.testing.assert_allclose(found, forecast[..., 0].T, rtol=1e-4)
