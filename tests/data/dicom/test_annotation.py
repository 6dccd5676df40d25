import pytest

from medssl.data.dicom.header import read_headers


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({}, None),
        ({"BurnedInAnnotation": "NO"}, None),
        ({"BurnedInAnnotation": "YES"}, "declared"),
        ({"ImageType": ["DERIVED", "SECONDARY", "MPR"]}, None),
        ({"ImageType": ["DERIVED", "SECONDARY", "TOMOGRAPHIC"]}, None),
        ({"ImageType": ["DERIVED", "SECONDARY", "SCREEN SAVE"]},
         "suspected: its image type says SCREEN"),
        ({"ConversionType": "WSD"}, None),
        ({"ConversionType": "DV"}, "suspected: its conversion type is DV"),
        (
            {"SecondaryCaptureDeviceManufacturer": "Zephyr"},
            "suspected: it names a device that captures screens",
        ),
        ({"Manufacturer": "VIDAR Systems"}, "suspected: its maker digitizes films"),
    ],
)  # fmt: skip
def test_what_a_header_says_of_text_in_the_pixels(tmp_path, dicom, tags, said):
    path = dicom.write(tmp_path, **tags)[0]
    (header,) = read_headers(path)
    assert header.attributes.get("burned_in") == said
