"""What the workers of one address tell one another, so that whichever is asked answers for all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from broadcaster.worker import Worker

_PATIENCE_SECONDS: Final = 2.0

Report = Mapping[str, Any]


class Siblings:
    """The other workers, asked over sockets in the folder that all share. metrics, readiness: this one's own."""

    def __init__(self, worker: Worker, metrics: Callable[[], bytes], readiness: Callable[[], Report]) -> None:
        self._worker = worker
        self._metrics = metrics
        self._readiness = readiness

    @asynccontextmanager
    async def told(self) -> AsyncIterator[None]:
        """Meanwhile the others are told about this one."""

        async def metrics(_: web.Request) -> web.Response:
            return web.Response(body=self._metrics())

        async def readyz(_: web.Request) -> web.Response:
            return web.json_response(self._readiness())

        app = web.Application()
        app.add_routes([web.get("/metrics", metrics), web.get("/readyz", readyz)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.UnixSite(runner, str(self._worker.socket(self._worker.index))).start()
            yield
        finally:
            await runner.cleanup()

    async def readiness(self) -> Report:
        """Of all: ready once every one is."""
        answers = await self._ask("/readyz")
        reports: list[Report] = [
            {"ready": False, "reason": "does not answer; it is starting, or about to be started again"}
            if answer is None
            else json.loads(answer)
            for answer in answers
        ]
        reports[self._worker.index] = self._readiness()
        return {"ready": all(report["ready"] for report in reports), "workers": reports}

    async def metrics(self) -> bytes:
        """Of all, each sample with the label `worker`: a sum would fall whenever one is started anew, which a rate
        would take for a counter that began at zero."""
        answers = await self._ask("/metrics")
        answers[self._worker.index] = self._metrics()
        registry = CollectorRegistry()
        registry.register(_All(answers))
        return generate_latest(registry)

    async def _ask(self, path: str) -> list[bytes | None]:
        """Each sibling's answer; None from one that has none, and in the place of this one."""
        return list(await asyncio.gather(*(self._answer(i, path) for i in range(self._worker.count))))

    async def _answer(self, index: int, path: str) -> bytes | None:
        if index == self._worker.index:
            return None
        try:
            async with (
                aiohttp.ClientSession(
                    connector=aiohttp.UnixConnector(str(self._worker.socket(index))),
                    timeout=aiohttp.ClientTimeout(total=_PATIENCE_SECONDS),
                ) as session,
                session.get(f"http://worker{path}") as response,
            ):
                return await response.read()
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None


class _All(Collector):
    def __init__(self, answers: list[bytes | None]) -> None:
        self._answers = answers

    def collect(self) -> Iterable[Metric]:
        up = GaugeMetricFamily("broadcaster_worker_up", "1 for a worker that answers", labels=["worker"])
        families: dict[str, Metric] = {}
        for index, answer in enumerate(self._answers):
            up.add_metric([str(index)], int(answer is not None))
            if answer is None:
                continue
            for family in text_string_to_metric_families(answer.decode()):
                whole = families.setdefault(
                    family.name, Metric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    labels = {**sample.labels, "worker": str(index)}
                    whole.add_sample(sample.name, labels, sample.value)
        return [up, *families.values()]
