"""EXIF fields as texts."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from visionpipe.errors import BadImageError, UnreadableSourceError
from visionpipe.images.metadata import read_exif_fields


def photo(path: Path, exif: Image.Exif | None = None) -> Path:
    Image.new("RGB", (8, 8), "red").save(path, exif=exif or Image.Exif())
    return path


def test_names_and_values(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0110] = "Camera 1\0"
    exif[0x9C9B] = "海".encode("utf-16-le")
    exif[0x0131] = "\x01\x02"
    block = exif.get_ifd(0x8769)
    block[0x9003] = "2024:05:01 12:00:00"
    block[0x829A] = IFDRational(1, 250)
    block[0x9286] = b"ASCII\0\0\0two dogs"
    block[0x9000] = b"0232"
    block[0x927C] = b"\x00\x01binary"
    block[0x8827] = 200
    gps = exif.get_ifd(0x8825)
    gps[1], gps[2] = "S", (33.0, 51.0, 25.2)
    gps[3], gps[4] = "E", (151.0, 12.0, 54.0)
    fields = read_exif_fields(photo(tmp_path / "a.jpg", exif))
    assert fields["Model"] == "Camera 1"
    assert fields["XPTitle"] == "海"
    assert fields["DateTimeOriginal"] == "2024:05:01 12:00:00"
    assert fields["ExposureTime"] == "0.004"
    assert fields["UserComment"] == "two dogs"
    assert fields["ExifVersion"] == "0232"
    assert fields["ISOSpeedRatings"] == "200"
    assert (fields["GPSLatitude"], fields["GPSLongitude"]) == ("-33.85700", "151.21500")
    assert "MakerNote" not in fields
    assert "Software" not in fields


def test_a_broken_position_is_left_out(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8825)[2] = (33.0, 51.0, IFDRational(0, 0))
    assert "GPSLatitude" not in read_exif_fields(photo(tmp_path / "a.jpg", exif))


def test_no_exif_is_no_field(tmp_path: Path) -> None:
    assert read_exif_fields(photo(tmp_path / "a.png")) == {}


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSourceError, match="there is no such file"):
        read_exif_fields(tmp_path / "missing.jpg")
    text = tmp_path / "a.txt"
    text.write_text("no image")
    with pytest.raises(BadImageError, match="not an image"):
        read_exif_fields(text)
