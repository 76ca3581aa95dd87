"""A server starts with what every call needs, and nothing else."""

import subprocess
import sys

HEAVY = (
    "torch", "monai", "transformers", "sentence_transformers", "openvino", "faiss", "langchain", "nibabel", "pydicom",
    "highdicom", "SimpleITK", "scipy.ndimage", "skimage.measure", "matplotlib", "sksurv",
)  # fmt: skip


def test_importing_the_server_loads_no_library_of_a_single_tool() -> None:
    code = f"import sys, ostensor.tools.server; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
