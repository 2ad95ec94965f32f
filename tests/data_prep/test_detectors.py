import numpy as np
import pytest
from pyproj import Transformer

from data_prep.detectors import read_detectors
from data_prep.tables import TableFormat


def test_table_with_usual_names_is_read(write_file):
    path = write_file(
        "d.csv", "index,sensor_id,latitude,longitude,lanes,road,km\n0,007,34,-118,3,010,1.5\n"
    )
    table = read_detectors(path)
    assert table.vdids == ["007"]
    assert (table.lat.tolist(), table.lon.tolist()) == ([[34.0]], [[-118.0]])
    assert table.info == {"007": {"index": 0, "lanes": 3, "road": "010", "km": 1.5}}


def test_table_without_header_is_read(write_file):
    table = read_detectors(write_file("d.csv", "400001,37.36,-121.9\n400017,37.25,-121.94\n"))
    assert table.vdids == ["400001", "400017"]
    assert table.lat[:, 0].tolist() == [37.36, 37.25]
    assert table.lon[:, 0].tolist() == [-121.9, -121.94]
    assert table.info == {"400001": {}, "400017": {}}


def test_several_points_of_a_detector_are_kept_as_columns_too(write_file):
    path = write_file("d.csv", "id,y1,y2,x1,x2\na,56,57,10,11\n")
    table = read_detectors(path, None, ["y1", "y2"], ["x1", "x2"])
    assert table.lat.tolist() == [[56, 57]]
    assert table.info["a"] == {"y1": 56, "y2": 57, "x1": 10, "x2": 11}


def test_empty_coordinates_are_nan_and_empty_cells_no_attributes(write_file):
    table = read_detectors(write_file("d.csv", "id,lat,lon,road\na,,NaN,\nb,1,2,x\n"))
    assert np.isnan(table.lat[0, 0])
    assert table.info == {"a": {}, "b": {"road": "x"}}


def test_duplicate_ids_are_refused(write_file):
    with pytest.raises(ValueError, match=r"d\.csv'.*1 occur twice at other places: a"):
        read_detectors(write_file("d.csv", "id,lat,lon\na,1,2\na,1,3\nb,1,2\n"))


def test_table_without_rows_is_refused(write_file):
    with pytest.raises(ValueError, match=r"no rows"):
        read_detectors(write_file("d.csv", "id,lat,lon\n"))


def test_unknown_columns_name_the_option(write_file):
    path = write_file("d.csv", "station,y,x\na,1,2\n")
    with pytest.raises(KeyError, match=r"--detector-id-column"):
        read_detectors(path)
    with pytest.raises(KeyError, match=r"--lat-column"):
        read_detectors(path, "station")
    with pytest.raises(KeyError, match=r"'z'.*--lon-column"):
        read_detectors(path, "station", ["y"], ["z"])


def test_as_many_latitudes_as_longitudes_are_required(write_file):
    with pytest.raises(ValueError, match=r"as many --lat-column"):
        read_detectors(write_file("d.csv", "id,a,b,c\nx,1,2,3\n"), "id", ["a", "b"], ["c"])


def test_coordinate_that_is_no_number_is_named(write_file):
    with pytest.raises(ValueError, match=r"column 'lat'.*'24N' for 'a'"):
        read_detectors(write_file("d.csv", "id,lat,lon\na,24N,121\n"))


@pytest.mark.parametrize(
    ("name", "count"),
    [("graph_sensor_locations.csv", 207), ("graph_sensor_locations_bay.csv", 325)],
)
def test_both_forms_of_dcrnn_are_read(shared, name, count):
    table = read_detectors(shared(f"original/dcrnn/{name}"))
    assert len(table.vdids) == count
    assert np.isfinite(table.lat).all()
    assert ((table.lon < -117) & (table.lon > -123)).all()


@pytest.mark.parametrize("ending", ["shp", "gpkg"])
@pytest.mark.filterwarnings("ignore")  # of pyogrio, about the geometry's type
def test_layers_in_a_projected_system_are_read(tmp_path, ending):
    raw = pytest.importorskip("pyogrio.raw", reason="the extra 'feeds' installs it")
    shapely = pytest.importorskip("shapely", reason="the extra 'feeds' installs it")
    # TWD97: a point of Taipei, and a line around another one.
    shapes = [shapely.Point(300471.8, 2765732.2), None]
    shapes[1] = shapely.LineString([(300000.0, 2765000.0), (302000.0, 2767000.0)])
    shapes = shapes[:1] if ending == "shp" else shapes  # a shapefile has one type of geometry
    path = tmp_path / f"sites.{ending}"
    raw.write(
        str(path),
        geometry=np.array(shapely.to_wkb(shapes), dtype=object),
        field_data=[np.array([f"VD-{i}" for i in range(len(shapes))], dtype=object)],
        fields=np.array(["id"], dtype=object),
        geometry_type="Point" if ending == "shp" else "Unknown",
        crs="EPSG:3826",
    )
    table = read_detectors(path)
    assert table.vdids[0] == "VD-0"
    assert table.lat[0, 0] == pytest.approx(25.0, abs=0.01)
    assert table.lon[0, 0] == pytest.approx(121.5, abs=0.01)
    if ending == "gpkg":
        # The middle of the line lies 528 m east and 268 m north of the point.
        assert table.lat[1, 0] - table.lat[0, 0] == pytest.approx(268 / 110_800, rel=0.05)
        assert table.lon[1, 0] - table.lon[0, 0] == pytest.approx(528 / 100_900, rel=0.05)


@pytest.mark.filterwarnings("ignore")  # of pyogrio, about the geometry's type
def test_a_package_of_several_layers_is_refused(tmp_path):
    raw = pytest.importorskip("pyogrio.raw", reason="the extra 'feeds' installs it")
    shapely = pytest.importorskip("shapely", reason="the extra 'feeds' installs it")
    for layer in ("sites", "roads"):
        raw.write(
            str(tmp_path / "a.gpkg"),
            geometry=np.array(shapely.to_wkb([shapely.Point(121.5, 25.0)]), dtype=object),
            field_data=[np.array(["a"], dtype=object)],
            fields=np.array(["id"], dtype=object),
            geometry_type="Point",
            crs="EPSG:4326",
            layer=layer,
        )
    with pytest.raises(ValueError, match=r"one layer of places .* \(got 'sites', 'roads'\)"):
        read_detectors(tmp_path / "a.gpkg")


@pytest.mark.parametrize(
    ("crs", "y", "x", "said"),
    [
        ("EPSG:3826", 25.0, 121.5, "x 121.5, y 25, .*look like degrees: set --crs EPSG:4326"),
        ("EPSG:32632", 48.1, 9.1, "look like degrees"),
        ("EPSG:3826", 300000, 2766000, "look swapped: exchange --lat-column"),
        ("EPSG:28992", 121000, 487000, "look swapped"),  # Amsterdam, to a place 200 km away
        ("EPSG:25832", 690000, 5330000, "look swapped"),
        ("EPSG:3826", 5330000, 690000, "are no places of EPSG:3826 .*Set --crs to their system"),
        ("EPSG:4258", 9.1, 48.1, "look swapped"),
    ],
)
def test_coordinates_that_are_not_of_their_system_are_refused(write_file, crs, y, x, said):
    path = write_file("d.csv", f"id,lat,lon\na,{y},{x}\nb,{y},{x}\nc,,\n")
    with pytest.raises(ValueError, match=said):
        read_detectors(path, crs=crs)


@pytest.mark.parametrize(
    ("crs", "lat", "lon"),
    [
        ("EPSG:25833", 60.39, 5.32),  # Bergen and Kirkenes: all of Norway uses one zone
        ("EPSG:25833", 69.73, 30.05),
        ("EPSG:25832", 51.05, 13.74),
        ("EPSG:3826", 23.57, 119.58),
        ("EPSG:2193", -36.85, 174.76),  # its area goes beyond 180 degrees
        ("EPSG:2193", -43.95, -176.56),
        ("EPSG:3857", 25.0, 121.5),
        ("EPSG:4326", 25.0, 121.5),
        ("+proj=tmerc +lat_0=25 +lon_0=121 +x_0=250000 +units=m", 25.0, 121.5),
    ],
)
def test_coordinates_near_the_area_of_their_system_are_taken(write_file, crs, lat, lon):
    x, y = Transformer.from_crs("EPSG:4326", crs, always_xy=True).transform(lon, lat)
    table = read_detectors(write_file("d.csv", f"id,lat,lon\na,{y},{x}\n"), crs=crs)
    assert [table.lat[0, 0], table.lon[0, 0]] == pytest.approx([lat, lon], abs=1e-6)


GERMAN = "id;lat;lon;name\na;48,1;9,1;Köln\nb;48,25;9,2;Ulm\n"


def test_a_table_with_a_decimal_comma_and_an_encoding_of_its_own_is_read(write_file):
    path = write_file("d.csv", GERMAN.encode("latin-1"))
    with pytest.raises(ValueError, match="set --encoding"):
        read_detectors(path)
    table = read_detectors(path, table_format=TableFormat(encoding="latin-1"))
    assert table.lat[:, 0].tolist() == [48.1, 48.25]
    assert table.info["a"]["name"] == "Köln"


def test_commas_that_may_be_fractions_are_found_or_asked_for(write_file):
    path = write_file("d.csv", "id;lat;lon\na;48,100;9,100\n")
    for decimal in (None, ","):
        table = read_detectors(path, table_format=TableFormat(decimal=decimal))
        assert [table.lat[0, 0], table.lon[0, 0]] == [48.1, 9.1]
    quoted = write_file("q.csv", 'id,lat,lon\na,"48,1","9,1"\nb,48.2,9.2\n')
    with pytest.raises(ValueError, match="set --detector-decimal ','"):
        read_detectors(quoted)
    table = read_detectors(quoted, table_format=TableFormat(decimal=","))
    assert table.lat[:, 0].tolist() == [48.1, 48.2]


def test_a_table_without_names_may_have_a_decimal_comma(write_file):
    path = write_file("d.csv", "7;48,1;9,1\n8;48,25;9,2\n")
    with pytest.raises(ValueError, match=r"--detector-delimiter .* or --decimal ','"):
        read_detectors(path)
    table = read_detectors(path, table_format=TableFormat(decimal=","))
    assert (table.vdids, table.lat[:, 0].tolist()) == (["7", "8"], [48.1, 48.25])


@pytest.mark.parametrize("crs", [None, "EPSG:4326", "EPSG:4258"])
def test_degrees_of_three_decimals_are_no_thousands(write_file, crs):
    path = write_file("d.csv", "id;lat;lon\na;48.101;9.102\nb;48.203;9.204\n")
    table = read_detectors(path, crs=crs)
    np.testing.assert_allclose(table.lat[:, 0], [48.101, 48.203], atol=1e-5)


def test_a_quote_that_does_not_close_is_refused(write_file):
    path = write_file("d.csv", 'id,lat,lon,name\na,48.1,9.1,"A\nb,48.2,9.2,B\nc,48.3,9.3,"C"\n')
    with pytest.raises(ValueError, match=r"Line 2 of .*has a quote that does not close"):
        read_detectors(path)


LANES = "id,lane,lat,lon,road\na,1,25.0,121.5,R1\na,2,25.0,121.5,R1\nb,1,,,R2\nb,2,,,R3\n"


def test_rows_of_lanes_at_one_place_are_one_detector(run, write_file):
    readings = write_file("r.csv", "t,b,a\n2024-01-01 00:00,1,2\n2024-01-01 00:05,1,2\n")
    words = ["--wide", f"speed={readings}", "--detectors", write_file("d.csv", LANES)]
    series, said = run("csv", *words)
    assert series.vdids == ["b", "a"]
    np.testing.assert_array_equal(series.lat, [np.nan, 25.0])
    assert series.vd_info == {"a": {"road": "R1"}}
    assert "same id       2 rows of the table have the id and place of another one" in said


def test_rows_of_lanes_at_several_places_are_refused(run, write_file):
    readings = write_file("r.csv", "t,a1,a2\n2024-01-01 00:00,1,2\n2024-01-01 00:05,1,2\n")
    text = "id,lane,lat,lon\na,a1,25.0,121.5\na,a2,25.1,121.5\n"
    words = ["--wide", f"speed={readings}", "--detectors", write_file("d.csv", text)]
    series, said = run("csv", *words)
    assert series is None
    assert "1 occur twice at other places: a. Leave one row of each, or set" in said
    assert run("csv", *words, "--detector-id-column", "lane")[0].lat.tolist() == [25.0, 25.1]


def test_decimal_commas_of_detectors_beside_points_of_readings(run, write_file):
    readings = write_file("r.csv", "t;a\n2024-01-01 00:00;1.250\n2024-01-01 00:05;2.250\n")
    table = write_file("d.csv", "id;lat;lon\na;48,1;9,1\n")
    words = ["--wide", f"speed={readings}", "--detectors", table, "--decimal", "."]
    series, said = run("csv", *words)
    assert series is None
    assert "set --detector-decimal ','" in said
    series, _ = run("csv", *words, "--detector-decimal", ",")
    assert series.lat.tolist() == [48.1]
    assert series.values[:, 0, 0].tolist() == [1.25, 2.25]
