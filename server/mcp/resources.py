"""What a client may read without calling a tool: images, masks, jobs and models by their handle."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from mcp_types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference

from ...imaging.errors import BadCall
from ...tools.desk.desk import Desk
from .slabs import slices_per_read


def add_resources(server: MCPServer[Any], desk: Desk) -> None:
    """Records as JSON under ostensor://, and completion of the handles in their addresses."""
    _add_records(server, desk)
    _add_completion(server, desk)


def _add_records(server: MCPServer[Any], desk: Desk) -> None:
    @server.resource("ostensor://image/{image_id}", mime_type="application/json", description="An opened image.")
    def image(image_id: str) -> str:
        from ...tools.files.aliases import alias_of_image  # as the store, loaded with the first call

        record = _found(lambda: desk.store.image(image_id))
        grid, dtype = record.grid, desk.store.volume(image_id).array.dtype.newbyteorder("<")
        return _text(
            image_id=record.image_id,
            alias=alias_of_image(record),
            modality=record.modality,
            shape=list(grid.shape),
            spacing_mm=list(grid.spacing_mm) if grid.spacing_known else None,
            orientation=grid.axis_codes,
            synthetic=record.synthetic,
            dtype=dtype.str,
            slices_per_read=slices_per_read(grid.shape, dtype),
            masks=[mask.mask_id for mask in desk.store.masks_of(image_id)],
        )

    @server.resource("ostensor://mask/{mask_id}", mime_type="application/json", description="A mask's record.")
    def mask(mask_id: str) -> str:
        record = _found(lambda: desk.store.mask_record(mask_id))
        return _text(
            mask_id=record.mask_id,
            image_id=record.image_id,
            structure=record.structure,
            voxels=record.voxels,
            **record.facts,
        )

    @server.resource("ostensor://job/{job_id}", mime_type="application/json", description="A job as it stands.")
    def job(job_id: str) -> str:
        record = _found(lambda: desk.jobs.wait(job_id, 0.0))
        return _text(
            job_id=record.job_id,
            tool=record.tool,
            state=record.state,
            progress=record.progress,
            result=record.result,
            error=record.error,
        )

    @server.resource("ostensor://model/{model}", mime_type="application/json", description="A model's card.")
    def model(model: str) -> str:
        from ...models import catalogue

        return _text(**dataclasses.asdict(_found(lambda: catalogue.card(model))))


def _add_completion(server: MCPServer[Any], desk: Desk) -> None:
    async def complete(
        ref: PromptReference | ResourceTemplateReference,
        argument: CompletionArgument,
        context: CompletionContext | None,
    ) -> Completion | None:
        del ref, context
        choices: dict[str, Callable[[], list[str]]] = {
            "image_id": lambda: [record.image_id for record in desk.store.images()],
            "mask_id": lambda: [
                m.mask_id for record in desk.store.images() for m in desk.store.masks_of(record.image_id)
            ],
            "job_id": lambda: [record.job_id for record in desk.store.jobs()],
            "structure": lambda: sorted(row.name for row in desk.table.rows),
            "model": _models,
        }
        kind = argument.name.removeprefix("before_").removeprefix("after_")
        if kind not in choices:
            return None
        fitting = [value for value in choices[kind]() if value.startswith(argument.value)]
        return Completion(values=fitting[:100], total=len(fitting), has_more=len(fitting) > 100)

    register: Callable[..., Any] = server.completion
    register()(complete)


def _models() -> list[str]:
    from ...models import catalogue

    return [card.name for card in catalogue.catalogue()]


def _found(look: Any) -> Any:
    try:
        return look()
    except BadCall as error:
        raise ResourceNotFoundError(str(error)) from None


def _text(**values: Any) -> str:
    return json.dumps(values, indent=1)
