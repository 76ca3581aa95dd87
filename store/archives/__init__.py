"""Archives of a hospital as sources of scans and records: DICOMweb, DIMSE and FHIR nodes that a person configured."""
