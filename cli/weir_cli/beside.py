"""What runs beside a role's own work, and must not end unseen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def running_beside(jobs: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Run ``jobs`` beside the body, and cancel them when that is over.

    A job that fails ends the body, and so the role: whoever started it sees why, and starts it anew. One that
    has nothing left to do may return.

    Raises: What a job or the body raised; an exception group where several did.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(job) for job in jobs]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as failures:
        if len(failures.exceptions) > 1:
            raise
        raise failures.exceptions[0] from None
