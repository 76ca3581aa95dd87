"""The smallest picture and sound, made here."""

import base64
import io
import wave

from PIL import Image


def _png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (1, 1), (200, 30, 30)).save(file, "PNG")
    return file.getvalue()


def _wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0\0")
    return file.getvalue()


PNG = base64.b64encode(_png()).decode("ascii")
WAV = base64.b64encode(_wav()).decode("ascii")
