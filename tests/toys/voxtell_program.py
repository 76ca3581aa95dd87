"""VoxTell's own server around a predictor of ours: words are bands of intensity; run by the Python that has VoxTell."""

import sys
import time
from typing import Any

import numpy as np
import uvicorn
from voxtell.inference.predictor import InferenceCancelled
from voxtell.server.app import make_app

WORDS = {"liver": 100, "spleen": 200}
SLOW = 3000  # a scan that holds this value is looked at for a minute


class Predictor:
    """What the server asks of VoxTell's predictor."""

    patch_size = (16, 16, 16)
    device = None
    perform_everything_on_device = True

    def list_available_embeddings(self) -> list[str]:
        return list(WORDS)

    def predict_single_image(self, data: Any, prompts: list[str], progress_callback: Any = None, **_: Any) -> Any:
        array = np.asarray(data).reshape(np.shape(data)[-3:])
        steps = 600 if array.max() == SLOW else 5
        for step in range(steps):
            if progress_callback and progress_callback(step, steps) is False:
                raise InferenceCancelled("called off")
            time.sleep(0.1 if steps > 5 else 0)
        return np.stack([np.abs(array - WORDS[word]) < 20 for word in prompts])


if __name__ == "__main__":
    uvicorn.run(
        make_app(Predictor(), "toy", api_key=sys.argv[2]), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning"
    )
