from __future__ import annotations

from pathlib import Path

from weir_cli.settings_page import settings_page

_PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_what_the_settings_say() -> None:
    assert _PAGE.read_text(encoding="utf-8") == settings_page(), (
        "run .venv/bin/python -m weir_cli.settings_page > docs/settings.md"
    )


def test_each_row_names_the_setting_its_variable_its_default_and_its_meaning() -> None:
    page = settings_page()
    assert "| `spool.segment_bytes` | `WEIR_SPOOL_SEGMENT_BYTES` | 64 MiB | Size of one spool file" in page
    assert "| `admin_token` | `WEIR_ADMIN_TOKEN` | unset |" in page
