"""Makes ``docs/settings.md`` out of the settings themselves.

``python -m weir_cli.settings_page > docs/settings.md``; a test fails while the page is not current.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import ByteSize

from weir_core.settings_sources import SettingName, setting_names

_UNITS: Final = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))

_HEAD: Final = """\
# Settings

Weir reads `weir.toml` in the working directory (or the file that `--config` names), then the environment,
then flags; the later wins. An unknown name or a bad value stops the start with a line that names it and exit
code 2. Settings are read once, at the start.

```toml
# weir.toml
port = 8080
workers = 2
max_request_bytes = "8 MiB"

[spool]
sync = "always"
```

The same in the environment:

```
WEIR_PORT=8080 WEIR_WORKERS=2 WEIR_MAX_REQUEST_BYTES=8MiB WEIR_SPOOL_SYNC=always weir serve
```

As flags, `weir serve` takes `--host`, `--port`, `--workers` and `--data-dir`. Times are in seconds; sizes in
bytes or with a unit. An empty variable counts as unset.

| `weir.toml` | environment | default | meaning |
|---|---|---|---|
"""


def settings_page() -> str:
    """The whole page."""
    return _HEAD + "".join(_rows())


def _rows() -> Iterator[str]:
    for setting in setting_names():
        cells = (f"`{setting.dotted}`", f"`{setting.environment}`", _default(setting), setting.description)
        yield f"| {' | '.join(cells)} |\n"


def _default(setting: SettingName) -> str:
    value = setting.default
    if value is None or value == "":
        return "unset"
    if isinstance(value, ByteSize):
        return _size(value)
    return f"`{value}`" if isinstance(value, str | Path) else str(value)


def _size(value: int) -> str:
    for factor, unit in _UNITS:
        if value and value % factor == 0:
            return f"{value // factor} {unit}"
    return str(value)


if __name__ == "__main__":
    sys.stdout.write(settings_page())
