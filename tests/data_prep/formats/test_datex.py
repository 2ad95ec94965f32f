"""DATEX II of three versions, made in the published layout: no real sample can be had here."""

import numpy as np
import pytest

NAN = np.nan
V2 = 'xmlns="http://datex2.eu/schema/2/2_0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
POINT = (
    "<measurementSiteLocation xsi:type='Point'><pointByCoordinates><pointCoordinates>"
    "<latitude>{}</latitude><longitude>{}</longitude></pointCoordinates></pointByCoordinates>"
    "</measurementSiteLocation>"
)


def characteristic(index, lane="lane1", vehicle="anyVehicle"):
    lane = f"<specificLane>{lane}</specificLane>" if lane else ""
    return (
        f"<measurementSpecificCharacteristics index='{index}'><measurementSpecificCharacteristics>"
        f"{lane}<specificVehicleCharacteristics><vehicleType>{vehicle}"
        "</vehicleType></specificVehicleCharacteristics></measurementSpecificCharacteristics>"
        "</measurementSpecificCharacteristics>"
    )


def record(vdid, version="1", lat=52.1, lon=5.1, *characteristics):
    return (
        f"<measurementSiteRecord id='{vdid}' version='{version}'><measurementSiteName><values>"
        f"<value lang='nl'>A2 {vdid}</value></values></measurementSiteName>"
        + "".join(characteristics)
        + POINT.format(lat, lon)
        + "</measurementSiteRecord>"
    )


def table(*records):
    body = "".join(records)
    return (
        f"<d2LogicalModel {V2}><payloadPublication xsi:type='MeasurementSiteTablePublication'>"
        f"<measurementSiteTable id='T' version='3'>{body}</measurementSiteTable>"
        "</payloadPublication></d2LogicalModel>"
    )


def flow(index, number, more=""):
    return (
        f"<measuredValue index='{index}'><measuredValue><basicData xsi:type='TrafficFlow'>"
        f"<vehicleFlow>{more}<vehicleFlowRate>{number}</vehicleFlowRate></vehicleFlow></basicData>"
        "</measuredValue></measuredValue>"
    )


def speed(index, number):
    return (
        f"<measuredValue index='{index}'><measuredValue><basicData xsi:type='TrafficSpeed'>"
        f"<averageVehicleSpeed numberOfInputValuesUsed='3'><speed>{number}</speed>"
        "</averageVehicleSpeed></basicData></measuredValue></measuredValue>"
    )


def site(vdid, *values, version="1", time="2024-01-01T08:00:00Z"):
    return (
        f"<siteMeasurements><measurementSiteReference id='{vdid}' version='{version}'/>"
        f"<measurementTimeDefault>{time}</measurementTimeDefault>{''.join(values)}"
        "</siteMeasurements>"
    )


def measured(*sites):
    return (
        f"<d2LogicalModel {V2}><payloadPublication xsi:type='MeasuredDataPublication'>"
        f"{''.join(sites)}</payloadPublication></d2LogicalModel>"
    )


TWO_LANES = [characteristic(1), characteristic(2, "lane2"), characteristic(3)]
TWO_LANES += [characteristic(4, "lane2")]


@pytest.fixture
def convert(write_file, run):
    def convert(sites, *documents, words=("--interval", "1min")):
        path = write_file("sites.xml", sites)
        for number, document in enumerate(documents):
            write_file(f"in/{number}.xml", document)
        return run("datex", path.parent / "in", "--detectors", path, *words)

    return convert


def test_lanes_are_joined_by_the_site_table(convert):
    sites = table(record("A", "1", 52.1, 5.1, *TWO_LANES))
    series, _ = convert(
        sites, measured(site("A", flow(1, 600), flow(2, 300), speed(3, 100), speed(4, 70)))
    )
    assert series.vdids == ["A"]
    assert series.values[0, 0].tolist() == [900, 90]
    assert series.units == ["veh/h", "km/h"]
    assert (series.lat[0], series.lon[0]) == (52.1, 5.1)
    assert series.vd_info["A"]["name"] == "A2 A"


def test_values_of_one_type_of_vehicle_are_left_to_those_of_all(convert):
    sites = table(record("A", "1", 52.1, 5.1, characteristic(1), characteristic(2, vehicle="car")))
    series, _ = convert(sites, measured(site("A", flow(1, 600), flow(2, 500))))
    assert series.values[0, 0, 0] == 600


@pytest.mark.parametrize("whole", ["allLanesCompleteCarriageway", ""])
def test_lanes_are_not_added_to_all_lanes_together(convert, whole):
    """The whole counts where it is known, and the lanes where it is not."""
    lanes = [characteristic(1, whole), *(characteristic(n, f"lane{n - 1}") for n in (2, 3))]
    speeds = [characteristic(n, f"lane{n - 3}") for n in (4, 5)]
    series, _ = convert(
        table(record("A", "1", 52.1, 5.1, *lanes, *speeds)),
        measured(
            site("A", flow(1, 900), flow(2, 600), flow(3, 300), speed(4, 90), speed(5, 70)),
            site("A", flow(1, -1), flow(2, 60), flow(3, 30), time="2024-01-01T08:01:00Z"),
        ),
    )
    assert series.values[0, 0].tolist() == pytest.approx([900, (90 * 600 + 70 * 300) / 900])
    assert series.values[1, 0, 0] == 90


def test_values_of_some_vehicles_alone_are_left_out_and_told(convert):
    lorries = record("A", "1", 52.1, 5.1, characteristic(1, vehicle="lorry"), characteristic(2))
    document = measured(site("A", flow(1, 50), speed(2, 90)), site("B", flow(1, 60)))
    series, report = convert(table(lorries, record("B")), document)
    np.testing.assert_array_equal(series.values[0, 0], [NAN, 90])
    assert "some vehicles  1 measurements left out" in report
    alone = table(record("A", "1", 52.1, 5.1, characteristic(1, vehicle="lorry")))
    _, said = convert(alone, measured(site("A", flow(1, 50))))
    assert "are left out (some vehicles 1)" in said


def test_minus_1_and_errors_are_missing(convert):
    sites = table(record("A", "1", 52.1, 5.1, *TWO_LANES))
    bad = flow(2, 0, "<dataError>true</dataError>")
    series, _ = convert(sites, measured(site("A", flow(1, 600), bad, speed(3, -1), speed(4, 70))))
    np.testing.assert_array_equal(series.values[0, 0], [NAN, 70])


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("<latitude>52.1</latitude>", "got 1 latitudes and 0 longitudes"),
        ("<latitude>x</latitude><longitude>4</longitude>", "could not convert string to float"),
        ("<posList>52.0 4.0 52.2</posList>", "got 2 latitudes and 1 longitudes"),
    ],
)
def test_a_location_that_cannot_be_read_is_named(convert, place, said):
    sites = table(f"<measurementSiteRecord id='A' version='1'>{place}</measurementSiteRecord>")
    _, told = convert(sites, measured(site("A", flow(1, 600))))
    assert "for 'A' of '" in told
    assert "sites.xml'" in told
    assert said in told


def test_another_version_of_a_site_is_left_out_and_told(convert):
    sites = table(record("A", "2"), record("B", "1", 52.2, 5.2))
    series, report = convert(
        sites,
        measured(site("A", flow(1, 600)), site("B", flow(1, 60)), site("X", flow(1, 6))),
    )
    assert series.vdids == ["B"]
    assert "other version  1 measurements left out" in report
    assert "unknown site   1 measurements left out" in report


def test_values_that_are_not_told_apart_are_refused(convert):
    _, said = convert(table(record("A")), measured(site("A", flow(1, 600), flow(2, 300))))
    assert "several values of flow" in said


def test_a_site_that_contradicts_itself_in_one_document_is_a_conflict(convert):
    sites = table(record("A", "1", 52.1, 5.1, characteristic(1), characteristic(2)))
    document = measured(
        site("A", flow(1, 60)), site("A", speed(2, 90)), site("A", flow(1, 62), speed(2, 80))
    )
    assert "(id, time) pairs have rows that differ: A lane lane1 at" in convert(sites, document)[1]
    for rule, expected in (("first", [60, 90]), ("last", [62, 80]), ("mean", [61, 85])):
        words = ["--interval", "1min", "--on-conflict", rule]
        series, _ = convert(sites, document, words=words)
        assert series.values[0, 0].tolist() == expected
    repeated, _ = convert(sites, measured(*[site("A", flow(1, 60), speed(2, -1))] * 2))
    np.testing.assert_array_equal(repeated.values[0, 0], [60, NAN])


def travel_times(*seconds):
    data = (
        "<elaboratedData><basicData><pertinentLocation><predefinedLocationReference id='R1'/>"
        f"</pertinentLocation><travelTime><duration>{s}</duration></travelTime></basicData>"
        "</elaboratedData>"
        for s in seconds
    )
    return f"<d><timeDefault>2024-01-01T08:00:00Z</timeDefault>{''.join(data)}</d>"


def test_a_road_that_contradicts_itself_in_one_document_is_a_conflict(convert):
    sites = "<d><predefinedLocation id='R1'><latitude>52</latitude><longitude>5</longitude>"
    sites += "</predefinedLocation></d>"
    words = ["--features", "travel_time", "--interval", "1min"]
    assert "rows that differ: R1 at" in convert(sites, travel_times(90, 95), words=words)[1]
    series, _ = convert(sites, travel_times(90, 90), words=words)
    assert series.values[0, 0, 0] == 90


def test_namespaces_and_prefixes_do_not_matter(convert):
    """Version 3, with prefixes, timeValue, physicalQuantity and a line as location."""
    sites = (
        '<p xmlns:roa="http://datex2.eu/schema/3/roadTrafficData" xmlns:loc="l">'
        '<roa:measurementSite id="A" version="7"><loc:gmlLineString><loc:posList>'
        "52.0 5.0 52.2 5.2</loc:posList></loc:gmlLineString></roa:measurementSite></p>"
    )
    document = (
        '<p xmlns:roa="http://datex2.eu/schema/3/roadTrafficData" xmlns:c="c">'
        "<roa:siteMeasurements>"
        '<roa:measurementSiteReference id="A" version="7"/><roa:measurementTimeDefault>'
        "<roa:timeValue>2024-01-01T09:00:00+01:00</roa:timeValue></roa:measurementTimeDefault>"
        '<roa:physicalQuantity index="1"><roa:physicalQuantity><roa:basicData><roa:vehicleFlow>'
        "<roa:vehicleFlowRate>420</roa:vehicleFlowRate></roa:vehicleFlow></roa:basicData>"
        "</roa:physicalQuantity></roa:physicalQuantity></roa:siteMeasurements></p>"
    )
    series, _ = convert(sites, document)
    assert series.values[0, 0, 0] == 420
    assert (series.lat[0], series.lon[0]) == (pytest.approx(52.1), pytest.approx(5.1))
    assert str(series.timestamps[0]) == "2024-01-01T08:00:00"


def test_version_1_has_its_numbers_in_the_quantities(convert):
    document = measured(
        "<siteMeasurements><measurementSiteReference>A</measurementSiteReference>"
        "<measurementTimeDefault>2024-01-01T08:00:00Z</measurementTimeDefault>"
        "<measuredValue index='1'><basicDataValue xsi:type='TrafficFlow'>"
        "<vehicleFlow>360</vehicleFlow></basicDataValue>"
        "</measuredValue><measuredValue index='2'><basicDataValue xsi:type='TrafficSpeed'>"
        "<averageVehicleSpeed>88.5</averageVehicleSpeed></basicDataValue></measuredValue>"
        "</siteMeasurements>"
    )
    sites = table(record("A").replace(" version='1'", ""))
    series, _ = convert(sites, document)
    assert series.values[0, 0].tolist() == [360, 88.5]


def test_elaborated_travel_times_are_read(convert):
    sites = (
        f"<d2LogicalModel {V2}><predefinedLocation id='R1' version='1'><linear><from><latitude>52.0"
        "</latitude><longitude>5.0</longitude></from><to><latitude>52.2</latitude><longitude>5.2"
        "</longitude></to></linear></predefinedLocation></d2LogicalModel>"
    )
    document = (
        f"<d2LogicalModel {V2}><payloadPublication xsi:type='ElaboratedDataPublication'>"
        "<timeDefault>2024-01-01T08:00:00Z</timeDefault>"
        "<elaboratedData><basicData xsi:type='TravelTimeData'>"
        "<pertinentLocation><predefinedLocationReference id='R1' version='1'/></pertinentLocation>"
        "<travelTime><duration>95.5</duration></travelTime></basicData></elaboratedData>"
        "</payloadPublication></d2LogicalModel>"
    )
    series, _ = convert(sites, document, words=["--features", "travel_time", "--interval", "1min"])
    assert (series.vdids, series.values[0, 0, 0], series.units) == (["R1"], 95.5, ["s"])
    assert series.lat[0] == pytest.approx(52.1)


def test_minutes_follow_each_other_and_become_five(convert):
    sites = table(record("A"))
    documents = [
        measured(site("A", flow(1, 60 * m), speed(2, 50), time=f"2024-01-01T08:0{m}:00Z"))
        for m in range(5)
    ]
    series, _ = convert(sites, *documents, words=["--interval", "5min"])
    assert series.values[:, 0].tolist() == [[120, 50]]


@pytest.mark.parametrize("text", ["<a/>", "<a>", '<!DOCTYPE a [<!ENTITY b "c">]><a/>'])
def test_documents_without_sites_or_of_hostile_form_are_named(convert, text):
    assert "0.xml'" in convert(table(record("A")), text)[1]
    assert "sites.xml'" in convert(text, measured(site("A", flow(1, 6))))[1]
