"""Headers that break DICOM's rules: what can be read of a source is read."""

from ostensor.imaging.dicom.source import DicomSource


def test_an_element_that_breaks_the_rules_takes_no_other_with_it() -> None:
    """A date of 1.1.1900 in words and a number that is none, as anonymisers write them."""
    study = {
        "00100020": {"vr": "LO", "Value": ["p1"]},
        "00080020": {"vr": "DA", "Value": ["long ago"]},
        "00101030": {"vr": "DS", "Value": ["heavy"]},
        "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
    }
    header = DicomSource(study, ()).header
    assert (header.PatientID, header.StudyInstanceUID) == ("p1", "1.2.3")
    assert "PatientWeight" not in header
