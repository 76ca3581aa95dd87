"""Talk to the server as an assistant does: over MCP, with a scan given by its path.

python examples/mcp_client.py SCAN [STRUCTURE ...]
"""

import base64
import sys
import tempfile
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters


async def main(scan: Path, structures: list[str]) -> None:
    with tempfile.TemporaryDirectory() as store:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "ostensor.commands", "serve", "--root", str(scan.parent), "--store", store],
        )
        async with Client(server) as client:
            print("tools:", ", ".join(tool.name for tool in (await client.list_tools()).tools))
            image = await client.call_tool("open_image", {"path": scan.name})
            print(image.content[0].text)
            if image.is_error:
                return
            found = await client.call_tool(
                "segment", {"image_id": image.structured_content["image_id"], "structures": structures, "wait_s": 120}
            )
            print(found.content[0].text)
            if found.is_error:
                return
            masks = [row["mask_id"] for row in found.structured_content["masks"] if row["mask_id"]]
            for row in found.structured_content["masks"]:
                print(f"  {row['structure']}: {row['verdict']}, {row['volume_ml']} ml {row.get('reason', '')}")
            if masks:
                picture = await client.call_tool(
                    "render", {"image_id": image.structured_content["image_id"], "mask_ids": masks, "view": "montage"}
                )
                Path("picture.png").write_bytes(base64.b64decode(picture.content[1].data))
                print("wrote picture.png")


if __name__ == "__main__":
    anyio.run(main, Path(sys.argv[1]).resolve(), sys.argv[2:] or ["liver", "spleen", "left kidney", "right kidney"])
