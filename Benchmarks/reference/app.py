"""The API: a row in PostgreSQL, a task for Celery, events from Redis as a stream."""

import asyncio
import collections
import contextlib
import uuid

import orjson
import redis.asyncio
from celery import Celery
from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sse_starlette import EventSourceResponse

import shared

engine = create_async_engine(
    f"postgresql+asyncpg://postgres@{shared.DATABASE}",
    pool_size=20,
    max_overflow=0,
    pool_timeout=60,
    json_serializer=shared.dumps,
    json_deserializer=orjson.loads,
)
Session = async_sessionmaker(engine, expire_on_commit=False)
celery = Celery(broker=shared.REDIS)
celery.conf.update(
    task_ignore_result=True, task_default_queue=shared.QUEUE, broker_pool_limit=4, task_send_sent_event=False
)
infer = celery.signature("reference.infer")


class Hub:
    """One Redis subscription for all streams of this process, fanned out to queues."""

    def __init__(self):
        self._queues = collections.defaultdict(set)
        self._subscription = redis.asyncio.from_url(shared.REDIS).pubsub(ignore_subscribe_messages=True)

    async def run(self):
        await self._subscription.subscribe("keep-open")
        async for message in self._subscription.listen():
            if message["type"] == "message":
                for queue in tuple(self._queues.get(message["channel"].decode(), ())):
                    queue.put_nowait(message["data"].decode())

    @contextlib.asynccontextmanager
    async def listener(self, channel):
        queue = asyncio.Queue()
        is_first = not self._queues[channel]
        self._queues[channel].add(queue)
        if is_first:
            await self._subscription.subscribe(channel)
        try:
            yield queue
        finally:
            self._queues[channel].discard(queue)
            if not self._queues[channel]:
                del self._queues[channel]
                await self._subscription.unsubscribe(channel)


hub = Hub()


@contextlib.asynccontextmanager
async def lifespan(_):
    running = asyncio.create_task(hub.run())
    yield
    running.cancel()
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


class Request(BaseModel):
    model_id: str
    spatial_domain: dict
    temporal_domain: list[str] = []
    location: str | None = None
    parameters: dict = {}


@app.get("/healthz")
async def health():
    return {"ok": True}


@app.post("/v1/async/inference")
async def submit(body: Request):
    row = shared.Inference(request=body.model_dump())
    async with Session() as session:
        session.add(row)
        await session.commit()
    infer.clone(args=(str(row.id), str(row.event_id), row.request)).apply_async()
    record = {"id": str(row.id), "event_id": str(row.event_id), "status": row.status}
    return JSONResponse(record | {"created_at": row.created_at.isoformat()}, status_code=202)


@app.get("/v1/async/inference/{identifier}")
async def read(identifier: uuid.UUID):
    async with Session() as session:
        row = await session.get(shared.Inference, identifier)
    if row is None:
        raise HTTPException(404)
    record = {"id": str(row.id), "event_id": str(row.event_id), "status": row.status}
    return JSONResponse(record | {"predicted_layers": row.predicted_layers, "error": row.error})


@app.get("/v1/async/notify/{event_id}")
async def listen(event_id: uuid.UUID):
    async def events():
        async with hub.listener(shared.channel(event_id)) as queue:
            # The row is read after the subscription, so that nothing is missed in between.
            async with Session() as session:
                found = select(shared.Inference).where(shared.Inference.event_id == event_id)
                row = (await session.execute(found)).scalar_one_or_none()
            if row is None:
                return
            if row.status in ("COMPLETED", "ERROR"):
                yield {"data": shared.final_event(row.id, row.status, row.predicted_layers, row.error)}
                return
            text = ""
            while not shared.is_final(text):
                text = await queue.get()
                yield {"data": text}

    return EventSourceResponse(events(), ping=15)
