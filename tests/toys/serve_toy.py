"""The server with toy models in a process of its own: `python serve_toy.py STORE ROOT [HOST:PORT [TOOLSETS]]`."""

import sys
from pathlib import Path


def main(store: str, root: str, http: str | None = None, toolsets: str = "core,clinical,viewer") -> None:
    sys.path.insert(0, str(Path(__file__).parent))
    from desk_toy import CARDS

    from ostensor.models import catalogue
    from ostensor.server.http.settings import http_settings
    from ostensor.server.serve import serve
    from ostensor.tools.desk.desk import Desk
    from ostensor.tools.desk.settings import Settings

    catalogue.ENTRIES = CARDS
    catalogue.forget_cards()
    settings = Settings(Path(store), (Path(root),), toolsets=tuple(toolsets.split(",")), factory="desk_toy:load")
    with Desk(settings) as desk:
        serve(desk, http_settings(http, None) if http else None)


if __name__ == "__main__":
    main(*sys.argv[1:])
