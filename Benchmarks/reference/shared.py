"""The table, and where everything listens: what the API and the worker share."""

import datetime
import os
import uuid

import orjson
from sqlalchemy import JSON, DateTime, String, Uuid
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

REDIS = os.environ["REFERENCE_REDIS"]
DATABASE = os.environ["REFERENCE_DATABASE"]  # "host:port/name", as user postgres
MODEL = os.environ["REFERENCE_MODEL"]
QUEUE = "inference"


def channel(event_id):
    """The Redis channel of one job's events."""
    return f"event:{event_id}"


def dumps(value):
    return orjson.dumps(value).decode()


def now():
    return datetime.datetime.now(datetime.timezone.utc)


class Base(DeclarativeBase):
    pass


class Inference(Base):
    """A job: its request and, once it has ended, its layers or its error."""

    __tablename__ = "inference"
    id: Mapped[uuid.UUID] = mapped_column(Uuid, primary_key=True, default=uuid.uuid4)
    event_id: Mapped[uuid.UUID] = mapped_column(Uuid, index=True, default=uuid.uuid4)
    status: Mapped[str] = mapped_column(String(16), default="PENDING")
    request: Mapped[dict] = mapped_column(JSON)
    predicted_layers: Mapped[list | None] = mapped_column(JSON, nullable=True)
    error: Mapped[str | None] = mapped_column(String, nullable=True)
    created_at: Mapped[datetime.datetime] = mapped_column(DateTime(timezone=True), default=now)
    updated_at: Mapped[datetime.datetime | None] = mapped_column(DateTime(timezone=True), nullable=True)


def event(kind, status, data):
    return dumps({"detail_type": kind, "status": status, "data": data})


def final_event(identifier, status, layers, error):
    data = {"id": str(identifier), "predicted_layers": layers, "error": error}
    return event("Inf:Task:Failed" if error else "Inf:Task:Updated", status, data)


def is_final(text):
    return '"status":"COMPLETED"' in text or '"status":"ERROR"' in text
