"""Taiwan's TDX v2: made documents with the traps of the real ones, and the real samples."""

import gzip
import io
import json
import tarfile
import zipfile
from argparse import Namespace

import numpy as np
import pytest

from data_prep.formats import tdx

NAN = np.nan


def lane(speed, occupancy, *volumes, number=0):
    vehicles = [{"VehicleType": t, "Volume": v, "Speed": 0} for t, v in zip("SLT", volumes)]  # noqa: B905
    return {"LaneID": number, "Speed": speed, "Occupancy": occupancy, "Vehicles": vehicles}


def vd(vdid, *lanes, status=0, time="2024-01-01T08:00:00+08:00"):
    flows = [{"LinkID": "1", "Lanes": list(lanes)}]
    return {"VDID": vdid, "LinkFlows": flows, "Status": status, "DataCollectTime": time}


def live(*entries):
    return json.dumps({"UpdateInterval": 60, "VDLives": list(entries)})


def listed(**places):
    entries = [
        {
            "VDID": vdid,
            "PositionLat": lat,
            "PositionLon": lon,
            "RoadName": "國道1號",
            "DetectionLinks": [{"LinkID": "7", "Bearing": "N", "LaneNum": 3}],
        }
        for vdid, (lat, lon) in places.items()
    ]
    return json.dumps({"VDs": entries})


PLACES = {"a": (25.0, 121.5), "b": (25.01, 121.5)}


@pytest.fixture
def readings(write_file, run):
    """Speed, flow, occupancy of one document with the detector a."""

    def readings(*lanes, **options):
        write_file("in/live.json", live(vd("a", *lanes, **options)))
        folder = write_file("in/list.json", listed(**PLACES)).parent
        series, said = run("tdx", folder)
        assert series is not None, said
        return series.values[0, 0].tolist()

    return readings


def test_volumes_are_summed_speeds_weighted_and_occupancies_averaged(readings):
    found = readings(lane(90, 12, 38, 1, 0), lane(100, 10, 10, 0, 1), lane(60, 5, 0, 0, 10))
    assert found == pytest.approx([(90 * 39 + 100 * 11 + 60 * 10) / 60, 60, 9])


@pytest.mark.parametrize("code", [-99, -1, 255])
def test_codes_are_missing_inside_lanes_too(readings, code):
    found = readings(lane(code, code, 3, code, 0), lane(80, 6, 5, 0, 0))
    np.testing.assert_array_equal(found, [80, NAN, 6])
    np.testing.assert_array_equal(readings(lane(code, code, code)), [NAN] * 3)


@pytest.mark.parametrize("status", [1, 2])
def test_another_status_than_0_is_missing(readings, status):
    np.testing.assert_array_equal(readings(lane(80, 6, 5), status=status), [NAN] * 3)


def test_no_vehicle_has_no_speed_and_a_flow_of_0(readings):
    np.testing.assert_array_equal(readings(lane(0, 0, 0, 0, 0)), [NAN, 0, 0])
    found = readings(lane(0, 0, 0, 0, 0), lane(70, 4, 2, 0, 0))
    np.testing.assert_array_equal(found, [70, 2, 2])
    np.testing.assert_array_equal(readings(lane(0, 40, 2)), [0, 2, 40])  # a standstill


def test_the_mean_is_plain_if_no_volume_is_known(readings):
    np.testing.assert_array_equal(readings(lane(60, 2, -99), lane(80, 4, -99)), [70, NAN, 3])
    without = {"Speed": 50, "Occupancy": 1}
    np.testing.assert_array_equal(readings(without), [50, NAN, 1])


def test_detectors_of_one_document_have_lanes_of_their_own(write_file, run):
    """Of two links, of none, with what is no lane between, silent, with one that counts alone."""
    two_links = vd("a", lane(60, 2, 1))
    two_links["LinkFlows"].append({"LinkID": "2", "Lanes": [lane(90, 4, 2, 0)]})
    entries = [
        two_links,
        vd("b"),
        vd("c", None, lane(50, 6, 4, 1), "none", {"Speed": 70, "Occupancy": 8, "Volume": 5}),
        vd("d", lane(10, 10, 10), status=1),
        vd("e", lane(40, 1, 3)),
        {"VDID": "f", "Status": 0, "DataCollectTime": "2024-01-01T08:00:00+08:00"},
    ]
    table = write_file("list.json", listed(**dict.fromkeys("abcdef", (25.0, 121.5))))
    series, _ = run("tdx", table, write_file("live.json", live(*entries)))
    expected = [[80, 3, 3], [NAN] * 3, [60, 10, 7], [NAN] * 3, [40, 3, 1], [NAN] * 3]
    np.testing.assert_array_equal(series.values[0], expected)


def test_units_attributes_and_places_come_from_the_documents(write_file, run):
    write_file("in/live.json", live(vd("b", lane(50, 1, 2)), vd("a", lane(60, 1, 2))))
    folder = write_file("in/list.json", listed(**PLACES)).parent
    series, _ = run("tdx", folder)
    assert series.vdids == ["b", "a"]
    assert series.units == ["km/h", "veh/min", "%"]
    assert series.timezone == "Asia/Taipei"
    assert series.lat.tolist() == [25.01, 25.0]
    assert series.vd_info["a"]["RoadName"] == "國道1號"
    assert series.vd_info["a"]["LaneNum"] == 3
    assert str(series.timestamps[0]) == "2024-01-01T00:00:00"


def minutes(count):
    """A document a minute: volume m, speed 10 m."""
    for m in range(count):
        time = f"2024-01-01T08:{m:02}:00+08:00"
        yield f"{m:02}.json", live(vd("a", lane(10 * m, 2, m, 0), time=time))


def test_a_minute_becomes_five_by_the_rule_of_each_feature(write_file, run):
    for name, text in minutes(10):
        write_file(f"in/{name}", text)
    folder = write_file("in/list.json", listed(**PLACES)).parent
    series, report = run("tdx", folder, "--interval", "5min")
    assert series.units == ["km/h", "veh/5min", "%"]
    assert series.values[:, 0, 1].tolist() == [10, 35]
    squares = [sum(m * m for m in range(5)), sum(m * m for m in range(5, 10))]
    np.testing.assert_allclose(series.values[:, 0, 0], [10 * squares[0] / 10, 10 * squares[1] / 35])
    assert "speed weighted, flow sum, occupancy mean" in report


def test_one_minute_alone_makes_no_five(write_file, run):
    """Its vehicles are those of a fifth of the step."""
    write_file("in/live.json", live(vd("a", lane(60, 1, 2))))
    folder = write_file("in/list.json", listed(**PLACES)).parent
    series, report = run("tdx", folder, "--interval", "5min")
    assert np.isnan(series.values).all()
    assert "3 of too few" in report


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "gz members"])
def test_archives_of_a_document_a_minute_equal_a_folder(write_file, tmp_path, run, kind):
    documents = dict(minutes(10)) | {"list.json": listed(**PLACES)}
    for name, text in documents.items():
        write_file(f"in/{name}", text)
    expected, _ = run("tdx", tmp_path / "in")
    path = tmp_path / f"day.{kind[:6].replace('gz mem', 'zip')}"
    if kind in ("zip", "gz members"):
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in documents.items():
                packed = gzip.compress(text.encode()) if kind != "zip" else text
                archive.writestr(f"d/{name}" + (".gz" if kind != "zip" else ""), packed)
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as archive:
            for name, text in documents.items():
                info = tarfile.TarInfo(name)
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
    found, _ = run("tdx", path)
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.lat.tolist() == expected.lat.tolist()


def test_members_with_hostile_names_stay_names(tmp_path, run, write_file):
    names = ["../../evil.json", "/tmp/evil.json", "a\\..\\b.json"]
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for m, name in enumerate(names):
            time = f"2024-01-01T08:0{m}:00+08:00"
            archive.writestr(name, live(vd("a", lane(60, 1, 2), time=time)))
    table = write_file("list.json", listed(**PLACES))
    before = sorted(tmp_path.parent.parent.glob("evil*"))
    series, _ = run("tdx", tmp_path / "a.zip", table)
    assert series.values[:, 0, 0].tolist().count(60) == 2  # names that leave the folder are hidden
    assert sorted(tmp_path.parent.parent.glob("evil*")) == before


def test_a_document_that_unpacks_to_more_than_any_has_is_refused(tmp_path, run, monkeypatch):
    monkeypatch.setattr("data_prep.sources._LARGEST_DOCUMENT", 10_000)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.json", " " * 20_000)
        archive.writestr("b.json", live(vd("a", lane(60, 1, 2))))
    assert "a.zip:a.json' has more than" in run("tdx", tmp_path / "a.zip")[1]


def test_a_cut_off_archive_is_named(tmp_path, run, write_file):
    for name, text in minutes(5):
        write_file(f"in/{name}", text)
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        archive.add(tmp_path / "in", "in")
    path = write_file("day.tar.gz", whole.getvalue()[:-40])
    assert "day.tar.gz' is damaged" in run("tdx", path)[1]


XML = """<?xml version="1.0" encoding="UTF-8"?>
<VDLiveList xmlns="http://traffic.transportdata.tw/standard/traffic/schema/"><VDLives><VDLive>
<VDID>a</VDID><LinkFlows><LinkFlow><LinkID>1</LinkID><Lanes><Lane><LaneID>0</LaneID><Speed>90</Speed>
<Occupancy>12</Occupancy><Vehicles><Vehicle><Volume>4</Volume></Vehicle><Vehicle><Volume>2</Volume>
</Vehicle></Vehicles></Lane></Lanes></LinkFlow></LinkFlows><Status>0</Status>
<DataCollectTime>2024-01-01T08:00:00.000+08:00</DataCollectTime></VDLive></VDLives></VDLiveList>"""


def test_xml_gives_what_json_gives(write_file, run):
    table = write_file("list.json", listed(**PLACES))
    series, _ = run("tdx", table, write_file("live.xml", XML))
    assert series.values[0, 0].tolist() == [90, 6, 12]


@pytest.mark.parametrize(
    "text",
    [
        XML.replace("<VDLiveList", '<!DOCTYPE x [<!ENTITY e "aaaa">]><VDLiveList', 1),
        '<!DOCTYPE x SYSTEM "file:///etc/passwd"><VDLives/>',
        "<a>" * 5000 + "</a>" * 5000,
        XML[:-30],
        '{"VDLives": [',
        "[" * 100_000,
        "no document",
        '{"Other": []}',
    ],
)
def test_hostile_and_broken_documents_are_named(write_file, run, text):
    series, said = run("tdx", write_file("bad.xml", text))
    assert series is None
    assert "bad.xml'" in said
    assert "Traceback" not in said


def test_a_number_that_cannot_be_read_is_named(write_file, run):
    table = write_file("list.json", listed(**PLACES))
    path = write_file("live.json", live(vd("a", lane("fast", 1, 2))))
    assert "Expected numbers in 'a' of" in run("tdx", table, path)[1]


def entry(**changes):
    return json.dumps({"VDLives": [vd("a", lane(60, 1, 2)) | changes]})


def bare_lane(**changes):
    return live(vd("a", lane(60, 1, 2) | changes))


@pytest.mark.parametrize(
    "text",
    [
        *("5", '"x"', "[5]", '[{"a": 1}]', "true", '{"VDLives": 5}', '{"VDLives": "x"}'),
        *('{"VDLives": {"VDLive": 5}}', '{"VDLives": [{"Status": 0}]}', '{"VDs": 5}'),
        *('{"VDs": [{"VDID": null}]}', '{"VDs": [{"VDID": "a", "DetectionLinks": 5}]}'),
        *(entry(VDID=bad) for bad in (None, "", " ", [], {"a": 1}, True)),
        *(entry(DataCollectTime=bad) for bad in (None, "", [], {"a": 1}, True, 1.5, float("nan"))),
        *(entry(DataCollectTime=bad) for bad in ([1], "never", 10**400)),
        *(entry(LinkFlows=bad) for bad in (5, "x", True, [{"Lanes": 5}], {"LinkFlow": "x"})),
        *(entry(Status=bad) for bad in ({"a": 1}, [1], "Normal", 10**400)),
        *(bare_lane(Speed=bad) for bad in ({"a": 1}, [1, 2], "fast", 10**400)),
        *(bare_lane(Vehicles=bad) for bad in (5, "x", [{"Volume": []}], [{"Volume": 10**400}])),
    ],
)
def test_what_has_another_shape_than_a_document_of_tdx_is_named(write_file, text):
    """As an error that a watch passes over."""
    path = str(write_file("bad.json", text))
    feed = tdx.read(Namespace(raw=[path], detectors=None))
    with pytest.raises(ValueError, match=r"bad\.json'"):
        list(feed.blocks)


def test_an_entry_without_a_time_is_named_wherever_it_stands(write_file, run):
    table = write_file("list.json", listed(**PLACES))
    whole, lacking = vd("b", lane(60, 1, 2)), {"VDID": "a", "Status": 1}
    documents = [{"VDLives": of} for of in ([lacking, whole], [whole, lacking], [lacking])]
    for document in (*documents, [lacking, whole]):
        _, said = run("tdx", table, write_file("live.json", json.dumps(document)))
        assert "Expected a DataCollectTime in each VDLive" in said
        assert "(got none for a)" in said


@pytest.mark.parametrize("text", ['{"VDLives": []}', '{"VDLives": null}', "[]", '{"VDs": {}}'])
def test_a_document_of_nothing_adds_nothing(write_file, run, text):
    table = write_file("list.json", listed(**PLACES))
    whole = write_file("live.json", live(vd("b", lane(60, 1, 2))))
    series, _ = run("tdx", table, write_file("empty.json", text), whole)
    assert series.values.shape == (1, 1, 3)


def test_lists_over_time_tell_who_appeared_moved_and_vanished(write_file, run):
    live_path = write_file("live.json", live(vd("a", lane(60, 1, 2)), vd("c", lane(60, 1, 2))))
    first = write_file("1.json", listed(a=(25.0, 121.5), b=(25.01, 121.5)))
    second = write_file("2.json", listed(a=(25.02, 121.5), c=(25.03, 121.5)))
    series, report = run("tdx", first, second, live_path)
    assert series.lat.tolist() == [25.02, 25.03]  # the latest entry counts
    assert "1 detectors of the lists: a from 25.0, 121.5 to 25.02, 121.5" in report
    assert "appeared" in report
    assert "1 detectors of the lists: b" in report


def test_a_place_at_0_0_is_unknown_and_told(write_file, run):
    path = write_file("live.json", live(vd("a", lane(60, 1, 2)), vd("b", lane(60, 1, 2))))
    series, report = run("tdx", path, write_file("1.json", listed(a=(0, 0), b=(25.0, 121.5))))
    assert np.isnan(series.lat).tolist() == [True, False]
    assert "1 detectors, whose place is unknown: a" in report


SAMPLES = {
    "json": ("original/taiwan_vd/VDLive_tdx_v2_2019-11-13.json",),
    "xml": ("constructed/taiwan_vd/VDLiveList.xml",),
}


@pytest.mark.parametrize("form", SAMPLES)
def test_the_real_sample_is_read(shared, write_file, run, form):
    """Ten detectors of 2019-11-13, with an own table: the list of the samples has none of them."""
    (path,) = SAMPLES[form]
    ids = ["VD-N1-S-103.670-M-LOOP", "VD-N3-N-176-I-WN-22Y-北上入口3-沙鹿"]
    table = write_file("list.json", listed(**{ids[0]: (24.6, 120.8), ids[1]: (24.2, 120.6)}))
    series, report = run("tdx", shared(path), table)
    assert series.values.shape == (2, 10, 3)
    assert "10 rows, 10 detectors" in report
    found = {v: series.values[:, n] for n, v in enumerate(series.vdids)}
    speed = (90 * 39 + 101 * 31 + 86 * 17) / 87
    np.testing.assert_allclose(found[ids[0]][0], [speed, 87, 29 / 3], rtol=1e-6)
    np.testing.assert_array_equal(found[ids[1]][0], [NAN, 0, 0])
    assert np.isnan(found["VD-N4-W-14-I-W-1X-西向入口2"]).all()  # -99
    assert np.isnan(found["VD-N10-W-25-I-SW-1-Loop"]).all()  # Status 1


@pytest.mark.parametrize(
    ("path", "count"),
    [
        ("original/taiwan_vd/VDList_tdx_v2_2019-11-01.json", 5),
        ("constructed/taiwan_vd/VDList.xml", 5),
        ("original/taiwan_vd/VD_taipei_2026-03-07_EXCERPT4.xml", 4),
    ],
)
def test_the_real_lists_are_joined_with_live_readings_of_their_detectors(
    shared, write_file, run, path, count
):
    text = shared(path).read_text()
    ids = [
        part.split("<")[0].split('"')[0]
        for part in text.replace('"VDID": "', "<VDID>").split("<VDID>")[1:]
    ]
    live_path = write_file(
        "live.json", live(*(vd(v, lane(60 + n, 5, n)) for n, v in enumerate(ids)))
    )
    series, report = run("tdx", shared(path), live_path)
    assert len(series.vdids) == count
    assert np.isfinite(series.lat).all()
    assert ((series.lat > 23) & (series.lat < 26)).all()
    assert series.values[0, 1:, 0].tolist() == [60 + n for n in range(1, count)]
    assert f"{count} of {count} detectors" in report
    assert all(series.vd_info[vdid]["RoadName"] for vdid in ids)


def test_a_list_of_other_detectors_is_refused_with_the_ids_of_both(shared, run):
    folder = shared("original/taiwan_vd")
    _, said = run(
        "tdx", folder / "VDList_tdx_v2_2019-11-01.json", folder / "VDLive_tdx_v2_2019-11-13.json"
    )
    assert "None of the 10 ids of the readings" in said
    assert "Set --detectors" in said
