"""Opening DICOM that may be hostile: members of folders and archives, bounded streams, sizes inside packed frames."""
