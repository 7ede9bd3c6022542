"""An accountant that is killed, made to read again, and robbed of its offsets: the sums stay exact."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Integer, cast, select, update
from sqlalchemy.ext.asyncio import AsyncEngine
from tests.collectors.conftest import append_family, open_spool
from tests.fakes.gateway_events import MOMENT_US, analytics, budget_usage

from weir_collectors.tables_accounting import (
    accountant_offsets,
    budget_spend,
    rollups_hourly,
)
from weir_core.clock import rfc3339
from weir_streams.events import Analytics, BudgetUsage
from weir_streams.offsets import group_directory

pytestmark = pytest.mark.crash

SCRIPT = Path(__file__).with_name("accountant_process.py")
FAMILIES = 15_000
"""Each of two events, which are thirty batches and a few that are cut short."""

USAGE = ("prompt_tokens", "response_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens")


@dataclass
class Sent:
    """A plain sum over what was sent, kept beside the log."""

    usage: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    spend: Counter[tuple[Any, ...]] = field(default_factory=Counter)

    def add(self, used: Analytics, spent: BudgetUsage) -> None:
        key = (used.timestamp[:13], used.app_id, used.llm_id, used.model_name, used.user_id or "")
        nano = int(Decimal(used.cost or 0) * 10**9)
        self.usage[*key, "requests"] += 1
        self.usage[*key, "cost_nano"] += nano
        self.usage[*key, "unknown_prices"] += used.cost is None
        self.usage[*key, "total_tokens"] += used.total_tokens
        self.usage[*key, f"usage_{used.usage_source}"] += 1
        self.usage[*key, "errors"] += used.attempts != []
        for name in USAGE:
            self.usage[*key, name] += getattr(used, name)
        spender = (spent.app_id, spent.llm_id, spent.period_id)
        self.spend[*spender, "requests"] += 1
        self.spend[*spender, "cost_nano"] += nano
        self.spend[*spender, "tokens_used"] += spent.tokens_used
        self.spend[*spender, "unknown_prices"] += spent.cost is None


def family(dice: random.Random) -> tuple[Analytics, BudgetUsage]:
    """What one request may leave."""
    tokens = {name: dice.randrange(2000) for name in USAGE}
    cost = None if dice.random() < 0.05 else f"0.{dice.randrange(10**9):09d}"
    who = {
        "app_id": dice.randrange(1, 20),
        "llm_id": dice.randrange(1, 4),
        "user_id": dice.choice((None, "ada", "grace", "edsger")),
        "timestamp": rfc3339(MOMENT_US + dice.randrange(5 * 3600) * 1_000_000),
    }
    total = tokens["prompt_tokens"] + tokens["response_tokens"]
    used = analytics(
        **who,
        **tokens,
        model_name=dice.choice(("gpt-4o", "gpt-4o-mini")),
        total_tokens=total,
        usage_source=dice.choice(("provider", "estimated")),
        cost=cost,
        attempts=[{"llm_id": 1, "status": 500}] if dice.random() < 0.02 else [],
    )
    return used, budget_usage(
        **who, tokens_used=total, cost=cost, period_id=dice.choice(("2027-01", "2027-02"))
    )


@pytest.fixture
def sent(tmp_path: Path) -> Sent:
    """Two spools of events, and their sums."""
    dice = random.Random(1843)
    sent = Sent()
    spools = [open_spool(tmp_path), open_spool(tmp_path)]
    for _ in range(FAMILIES):
        used, spent = family(dice)
        append_family(dice.choice(spools), used, spent)
        sent.add(used, spent)
    for spool in spools:
        spool.close()
    return sent


def run(root: Path, *, kill_after: int | None = None) -> None:
    """Run an accountant to the end, or kill it when so many batches have been added."""
    process = subprocess.Popen([sys.executable, str(SCRIPT), str(root)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if kill_after is None:
        process.communicate()
        assert process.returncode == 0
        return
    for _ in range(kill_after):
        process.stdout.readline()
    process.kill()
    process.communicate()


def lose_the_logs_offsets(root: Path) -> None:
    shutil.rmtree(group_directory(root, "weir.accountant"))


def set_the_logs_offsets_back(root: Path) -> None:
    path = group_directory(root, "weir.accountant") / "offsets.json"
    document = json.loads(path.read_text())
    for offsets in document["offsets"].values():
        for spool in offsets:
            offsets[spool] //= 2
    path.write_text(json.dumps(document))


async def replay(engine: AsyncEngine, from_part: float) -> None:
    """Read a part of the log again: offsets say where to read, marks what was added."""
    offsets = accountant_offsets.c.next_offset
    async with engine.begin() as connection:
        await connection.execute(
            update(accountant_offsets).values(next_offset=cast(offsets * from_part, Integer))
        )


async def test_the_sums_are_exact_after_kills_at_any_batch_replays_and_lost_offsets(
    tmp_path: Path, engine: AsyncEngine, sent: Sent
) -> None:
    dice = random.Random(1815)
    for _ in range(3):
        run(tmp_path, kill_after=dice.randrange(1, 7))
    lose_the_logs_offsets(tmp_path)
    await replay(engine, 0.5)
    run(tmp_path, kill_after=dice.randrange(1, 7))
    run(tmp_path)
    await check_the_sums(engine, sent)

    set_the_logs_offsets_back(tmp_path)
    await replay(engine, 0)
    run(tmp_path, kill_after=dice.randrange(1, 14))
    run(tmp_path)
    await check_the_sums(engine, sent)


async def check_the_sums(engine: AsyncEngine, sent: Sent) -> None:
    async with engine.connect() as connection:
        rollups = (await connection.execute(select(rollups_hourly))).mappings().all()
        spend = (await connection.execute(select(budget_spend))).mappings().all()
    usage: Counter[tuple[Any, ...]] = Counter()
    names = {name for *_, name in sent.usage}
    for row in rollups:
        hour = rfc3339(row["hour"] * 3_600_000_000)[:13]
        for name in names:
            usage[hour, row["app_id"], row["llm_id"], row["model"], row["user_id"], name] += row[name]
    assert usage == sent.usage
    spent: Counter[tuple[Any, ...]] = Counter()
    for row in spend:
        for name in {name for *_, name in sent.spend}:
            spent[row["app_id"], row["llm_id"], row["period_id"], name] += row[name]
    assert spent == sent.spend
