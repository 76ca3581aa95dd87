"""A program as users have them: a scan in, a label map of bands out; its last word tells how it misbehaves."""

import os
import socket
import sys
import time
from pathlib import Path

import nibabel
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from band_values import BANDS


def main(image: str, mask: str, how: str = "well") -> None:
    scan = nibabel.load(image)
    array = np.asanyarray(scan.dataobj)
    labels = np.zeros(array.shape, np.uint8)
    for number, (low, high) in enumerate(BANDS.values(), 1):
        labels[(array > low) & (array < high)] = number
    affine = scan.affine
    if how == "slowly":
        for percent in range(0, 101, 2):
            sys.stdout.write(f"{percent} %\n")
            sys.stdout.flush()
            time.sleep(0.2)
    if how == "hangs":
        time.sleep(600)
    if how == "crashes":
        os._exit(3)
    if how == "eats":
        kept = [np.ones(1 << 27, np.uint8) for _ in range(64)]
        sys.stdout.write(str(len(kept)))
    if how == "calls":
        socket.create_connection(("127.0.0.1", int(os.environ.get("PORT", "9"))), timeout=2)
    if how == "nothing":
        return
    if how == "moved":
        affine = affine.copy()
        affine[0, 3] += 5
    if how == "turned":
        labels = labels[:-1]
    if how == "fractions":
        labels = labels + 0.5
    if how == "nan":
        labels = np.where(labels > 0, np.nan, 0.0)
    if how == "apart":
        for number, name in enumerate(BANDS, 1):
            nibabel.save(nibabel.Nifti1Image((labels == number).astype(np.uint8), affine), f"{mask}/{name}.nii.gz")
        return
    nibabel.save(nibabel.Nifti1Image(labels, affine), mask)


if __name__ == "__main__":
    main(*sys.argv[1:])
