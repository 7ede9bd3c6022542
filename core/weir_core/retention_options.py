"""How long the database keeps what it has."""

from __future__ import annotations

from pydantic import Field

from weir_core.options_table import OptionsTable


class RetentionOptions(OptionsTable):
    """The ``[retention]`` table. Sums are kept for good."""

    records_days: float = Field(
        default=90, gt=0, le=36_500, description="Days that records and undecodable events are kept."
    )
    dead_letters_days: float = Field(
        default=14,
        gt=0,
        le=36_500,
        description="Days that dead letters, those of edge payloads included, can be looked at and redriven.",
    )
