"""Ask about a scan in plain words, with the offline model: `python examples/ask.py SCAN "How large is the liver?"`.

Another model: set MODEL to e.g. "anthropic:claude-sonnet-5" and install its package (langchain-anthropic).
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from ostensor.agents.ask import ask_sync
from ostensor.server.mcp.server import build_server
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

MODEL = "offline"


def main(scan: Path, question: str) -> None:
    with TemporaryDirectory() as store, Desk(Settings(store=Path(store), roots=(scan.parent,))) as desk:
        answered = ask_sync(question, build_server(desk), images=[scan.name], model=MODEL)
    for call in answered.calls:
        print(f"{call['call_id']}: {call['tool']}({call['arguments']})")
    for statement in answered.reply.statements if answered.reply else ():
        print(statement.text, [cite.call_id for cite in statement.cites])


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), sys.argv[2])
