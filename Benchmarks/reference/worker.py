"""The Celery worker: calls the model server, writes the row, publishes the event."""

import uuid

import orjson
import redis
import urllib3
from celery import Celery
from celery.signals import worker_init, worker_process_init
from sqlalchemy import create_engine, update

import shared

app = Celery("worker", broker=shared.REDIS)
app.conf.update(
    task_ignore_result=True,
    task_default_queue=shared.QUEUE,
    task_acks_late=True,
    worker_prefetch_multiplier=8,
    worker_send_task_events=False,
    broker_connection_retry_on_startup=True,
)


class Connections:
    """What a worker process keeps open; made after the fork."""

    def open(self, **_):
        database = f"postgresql+psycopg://postgres@{shared.DATABASE}"
        self.database = create_engine(database, pool_size=30, max_overflow=0, json_serializer=shared.dumps)
        self.models = urllib3.PoolManager(maxsize=64, block=True, retries=False, timeout=600)
        self.redis = redis.Redis.from_url(shared.REDIS, max_connections=64)


connections = Connections()
worker_process_init.connect(connections.open)
worker_init.connect(connections.open)


def call(request):
    """Layers and error of one call of the model server; one of them is None."""
    try:
        answer = connections.models.request(
            "POST", shared.MODEL, body=orjson.dumps(request), headers={"Content-Type": "application/json"}
        )
    except urllib3.exceptions.HTTPError as error:
        return None, repr(error)
    if answer.status != 200:
        return None, f"HTTP {answer.status}"
    return orjson.loads(answer.data)["predicted_layers"], None


@app.task(name="reference.infer")
def infer(identifier, event_id, request):
    channel = shared.channel(event_id)
    connections.redis.publish(channel, shared.event("Inf:Task:Updated", "RUNNING", {"id": identifier}))
    layers, error = call(request)
    status = "ERROR" if error else "COMPLETED"
    ended = update(shared.Inference).where(shared.Inference.id == uuid.UUID(identifier))
    with connections.database.begin() as database:
        database.execute(
            ended.values(status=status, predicted_layers=layers, error=error, updated_at=shared.now())
        )
    connections.redis.publish(channel, shared.final_event(identifier, status, layers, error))
