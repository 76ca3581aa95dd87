"""The form of a final answer: statements, each with the tool calls it rests on."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field


class Cite(BaseModel):
    """Where a statement comes from."""

    call_id: str = Field(description="Id of the tool call whose result says so.")
    handle: str = Field(default="", description="The msk_, img_ or job_ handle in that result, if it is about one.")


class Statement(BaseModel):
    """One sentence of the answer."""

    text: str = Field(description="One sentence; every number with its unit exactly as the tool gave it.")
    cites: list[Cite] = Field(
        default_factory=list, description="Needed for every number, side and verdict in the text."
    )


class Reply(BaseModel):
    """Give your final answer with this tool, once, when no further tool is needed."""

    kind: Literal["answer", "question", "refusal"] = Field(
        description="question: something must be asked back first; refusal: it cannot be done here."
    )
    statements: list[Statement]

    @property
    def text(self) -> str:
        """The answer as one text."""
        return " ".join(statement.text for statement in self.statements)
