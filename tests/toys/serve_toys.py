"""A program: serve toy models over HTTP until stopped. Arguments: test folder, store, root, port, HTTP settings (JSON).

A further argument names what servers share, as JSON; one more how the server is watched.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, sys.argv[1])

from desk_toy import CARDS

from ostensor.models import catalogue
from ostensor.observing.settings import Watching
from ostensor.server.http.settings import HttpSettings
from ostensor.server.serve import serve
from ostensor.store.shared import Shared
from ostensor.tools.desk.desk import Desk
from ostensor.tools.desk.settings import Settings

catalogue.ENTRIES = CARDS  # also in the processes this one starts, which run this file again

if __name__ == "__main__":
    shared = Shared(**json.loads(sys.argv[6])) if len(sys.argv) > 6 else Shared()
    settings = Settings(store=Path(sys.argv[2]), roots=(Path(sys.argv[3]),), factory="desk_toy:load", shared=shared)
    with Desk(settings) as desk:
        watching = Watching(**json.loads(sys.argv[7])) if len(sys.argv) > 7 else Watching()
        serve(desk, HttpSettings(port=int(sys.argv[4]), **json.loads(sys.argv[5])), watching)
