"""Which way of the body a size is told along; the expected readings were written by hand."""

import pytest

from ostensor.retrieval.reports.findings import find_findings
from ostensor.retrieval.reports.sizes import sizes
from ostensor.retrieval.reports.text import split_report

CC, TR, AP = "craniocaudal", "transverse", "anteroposterior"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("The liver measures 18 cm craniocaudally.", {180: CC}),
        ("The liver is 18 cm in cranio-caudal length.", {180: CC}),
        ("a craniocaudal length of 18 cm", {180: CC}),
        ("Liver span 16.5 cm.", {165: CC}),
        ("The span of the liver is 16 cm.", {160: CC}),
        ("Vertebral height: 2.1 cm", {21: CC}),
        ("11 cm CC x 6 cm AP", {110: CC, 60: AP}),
        ("The spleen measures 13 cm in length.", {130: "length"}),
        ("a kidney 10 cm long", {100: "length"}),
        ("AP diameter of the aorta is 31 mm", {31: AP}),
        ("AAA 5.6 cm AP, infrarenal", {56: AP}),
        ("measures 21 mm (AP)", {21: AP}),
        ("3.4 cm in maximum transverse diameter", {34: TR}),
        ("transverse diameter 5 cm", {50: TR}),
        ("4.2 (AP) x 3.1 (TR) x 5.0 (CC) cm", {50: CC, 42: AP, 31: TR}),
        ("4.2 x 3.1 x 5.0 cm (AP x TR x CC)", {50: CC, 42: AP, 31: TR}),
        ("5.0 x 4.1 cm in AP and transverse dimensions", {50: AP, 41: TR}),
        ("a node of 12 mm in short axis", {12: "short"}),
    ],
)
def test_a_direction_goes_to_its_number(text: str, told: dict[int, str]) -> None:
    assert {round(mm): way for size in sizes(text) for mm, way in zip(size.mm, size.ways, strict=True)} == told


@pytest.mark.parametrize(
    "text",
    [
        "2.1 x 1.8 cm",
        "32 and 18 mm",
        "LN 1.6 cm AP window",
        "1.2 cm in long axis",
        "The mass measures 3 cm. Height normal.",
        "grown from 9 to 16 mm",
        "a volume of 120 cc",
    ],
)
def test_where_none_is_told_there_is_none(text: str) -> None:
    assert not any(way for size in sizes(text) for way in size.ways)


def test_a_finding_knows_its_ways_and_how_many_dimensions_one_size_has() -> None:
    def found(text: str) -> tuple[tuple[str, ...], int]:
        one = find_findings(split_report(text))[0]
        return one.along, one.dimensions

    assert found("The liver measures 18 cm craniocaudally.") == ((CC,), 1)
    assert found("A 2.1 x 1.8 cm mass in the left kidney.") == (("", ""), 2)
    assert found("Masses of 32 and 18 mm in the liver.")[1] == 1
