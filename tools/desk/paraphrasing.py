"""A chat model that says a prompt in other words, when one is configured; what it says is checked like any draft."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable

from ...imaging.errors import Unavailable

Paraphrase = Callable[[str, int], list[str]]
"""Gets a sentence and how many variants are wanted; answers sentences, which nobody trusts."""

_BULLET = re.compile(r"^(?:[-*•]|\d{1,2}[.)])\s+")  # "3.5 cm" at the start of a sentence is none
_ORDER = (
    "Rewrite the sentence in {count} different ways. Keep every fact, add none, keep left and right, keep names of "
    "body parts. Answer with one sentence per line and nothing else.\nSentence: {text}"
)


def chat_paraphraser(model: str) -> Paraphrase:
    """Paraphrases by a LangChain chat model.

    Args:
        model: "provider:name", as LangChain's `init_chat_model` takes it.

    Raises:
        Unavailable: LangChain or the provider's package is missing.
    """
    try:
        chat_models = importlib.import_module("langchain.chat_models")
        chat = chat_models.init_chat_model(model)
    except (ImportError, ValueError) as error:
        raise Unavailable(
            f"The paraphraser '{model}' cannot be used ({type(error).__name__}). It takes provider:name and the packages "
            "of `pip install 'ostensor[agents]'` with the provider's own. Start without --paraphraser to do without."
        ) from error

    def paraphrase(text: str, count: int) -> list[str]:
        answer = chat.invoke(_ORDER.format(count=count, text=text))
        return lines(str(answer.content), count)

    return paraphrase


def lines(answer: str, count: int) -> list[str]:
    """The sentences of an answer, without bullets and numbers; at most `count`."""
    found = [_BULLET.sub("", line.strip()).strip().strip('"') for line in answer.splitlines()]
    return [line for line in found if line][:count]
