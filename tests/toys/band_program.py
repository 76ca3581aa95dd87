"""A program as users have them: a scan in, a label map of bands out; its last word tells how it misbehaves."""

import gzip
import os
import signal
import socket
import sys
import time
from pathlib import Path

import nibabel
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from band_values import BANDS


def main(image: str, mask: str, how: str = "well", *_marks: str) -> None:
    """Mark the bands of a scan; further words only make the process easy to find."""
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
    if how in ("leaves", "forks"):  # a daemon with a session and parent of its own
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(600)
            os._exit(0)
        os.wait()
    if how in ("hangs", "forks"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    if how == "shouts":
        for _ in range(300):
            sys.stdout.write("x" * (1 << 17))
        sys.stdout.write(str(os.fstat(1).st_size))
    if how == "garbage":
        Path(mask).write_bytes(b"\x1f\x8bno gzip at all")
        return
    if how == "gigabytes":  # a header of 40 GB and nothing behind it
        header = nibabel.Nifti1Header()
        header.set_data_shape((32000, 32000, 40))
        header["vox_offset"] = 352
        with gzip.open(mask, "wb") as file:
            file.write(header.binaryblock + bytes(4))
        return
    if how == "no affine":
        made = nibabel.Nifti1Image(labels, affine)
        made.header.set_sform(np.full((4, 4), np.nan), code=2)
        content = bytearray(made.to_bytes())
        content[280:328] = np.full(12, np.nan, "<f4").tobytes()  # srow_x, srow_y, srow_z
        with gzip.open(mask, "wb") as file:
            file.write(bytes(content))
        return
    if how == "link":
        Path(mask).symlink_to("/etc/passwd")
        return
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
