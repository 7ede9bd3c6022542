from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]


def test_every_link_of_the_readme_leads_to_something() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (_ROOT / "README.md").read_text(encoding="utf-8"))
    assert links
    assert [link for link in links if not (_ROOT / link).exists()] == []
