"""The same tools from a Python script, without MCP: a made torso CT, measured and compared with its known volumes.

python examples/python_tools.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

from ostensor.imaging.files import write_volume
from ostensor.imaging.phantoms import torso_ct
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings
from ostensor.tools.running import use


def main(folder: Path) -> None:
    phantom = torso_ct(spacing_mm=(3.0, 3.0, 3.0))
    write_volume(folder / "torso.nii.gz", phantom.volume.array, phantom.volume.grid, synthetic=True)
    with Desk(Settings(store=folder / "store", roots=(folder,))) as desk:
        image = use(desk, "open_image", path="torso.nii.gz").result
        answer = use(desk, "segment", image_id=image.image_id, structures=["liver", "hip bones", "femora"], wait_s=120)
        print(answer.text)
        masks = [row.mask_id for row in answer.result.masks if row.mask_id]
        if not masks:
            return
        # The scan is synthetic, so numbers are only given when asked for on purpose.
        measured = use(desk, "measure", mask_ids=masks, allow_synthetic=True).result
        for row in measured.measurements:
            known = phantom.whole_ml.get(row.structure)
            print(f"{row.structure}: {row.volume_ml:.0f} ml" + (f", known {known:.0f} ml" if known else ""))
        if len(masks) > 1:
            print(use(desk, "derive", quantity="ratio", mask_ids=masks[:2], allow_synthetic=True).text)
        # The same for a whole folder: one table with what stands out first.
        asked = {"paths": ["*.nii.gz"], "structures": ["liver"], "formats": ["csv"], "allow_synthetic": True}
        print(use(desk, "run_batch", **asked, wait_s=120).text)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
