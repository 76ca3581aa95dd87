"""A chat model that follows a script; callables in it see the messages, so they can assert on them."""

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable

Step = AIMessage | Callable[[list[BaseMessage]], AIMessage]


class Scripted(BaseChatModel):
    script: list[Any]
    seen: list[list[BaseMessage]] = []  # noqa: RUF012 — pydantic copies it
    bound: list[str] = []  # noqa: RUF012

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        self.bound[:] = [
            tool["title"] if isinstance(tool, dict) and "title" in tool else getattr(tool, "name", str(tool))
            for tool in tools
        ]
        return self.bind()

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.seen.append(list(messages))
        assert self.script, "the script is exhausted"
        step = self.script.pop(0)
        message = step(messages) if callable(step) else step
        return ChatResult(generations=[ChatGeneration(message=message)])


def calls(name: str, number: int = 0, **arguments: Any) -> AIMessage:
    return AIMessage(
        content="", tool_calls=[{"name": name, "args": arguments, "id": f"c{number}", "type": "tool_call"}]
    )


def replies(*statements: tuple[str, list[tuple[str, str]]], kind: str = "answer", number: int = 90) -> AIMessage:
    rows = [{"text": text, "cites": [{"call_id": c, "handle": h} for c, h in cites]} for text, cites in statements]
    return calls("Reply", number, kind=kind, statements=rows)
