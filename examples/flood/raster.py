"""Grids of pixels and the formats in which they are kept: PGM and PNG with a world file beside them, and GeoJSON rings.

Programs for maps read all of these as they are. Coordinates are in WGS 84 (EPSG:4326).
"""

import math
import os
import struct
import sys
import zlib
from array import array
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Grid:
    """Where pixels lie: the west and north edge and the size of a pixel in degrees, and how many there are."""

    west: float
    north: float
    step: float
    width: int
    height: int

    @property
    def bbox(self) -> list[float]:
        """West, south, east, north."""
        east, south = self.corner(self.width, self.height)
        return [self.west, south, east, self.north]

    def corner(self, column: int, row: int) -> list[float]:
        """The upper left corner of a pixel as longitude and latitude."""
        return [round(self.west + column * self.step, 9), round(self.north - row * self.step, 9)]

    def window(self, bbox: list[float]) -> tuple[int, int, int, int] | None:
        """The pixels that touch a box: first column and row, last ones exclusive; None if there are none."""
        west, south, east, north = bbox
        tiny = 1e-6  # of a pixel: an edge that lies on a border of pixels does not take the next one in
        left = max(0, math.floor((west - self.west) / self.step + tiny))
        top = max(0, math.floor((self.north - north) / self.step + tiny))
        right = min(self.width, math.ceil((east - self.west) / self.step - tiny))
        bottom = min(self.height, math.ceil((self.north - south) / self.step - tiny))
        return (left, top, right, bottom) if left < right and top < bottom else None

    def cut(self, window: tuple[int, int, int, int]) -> "Grid":
        left, top, right, bottom = window
        west, north = self.corner(left, top)
        return Grid(west, north, self.step, right - left, bottom - top)

    def world_file(self) -> str:
        half = self.step / 2
        return f"{self.step:.9f}\n0\n0\n{-self.step:.9f}\n{self.west + half:.9f}\n{self.north - half:.9f}\n"


def write(path: Path, content: bytes | str) -> None:
    """Whole or not at all: a reader never sees half a file, and a repetition gives the same one."""
    part = path.with_name(f".{path.name}.{os.getpid()}.{id(content):x}")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    part.replace(path)


def write_pgm(path: Path, grid: Grid, rows: list[array]) -> None:
    """Numbers from 0 to 65535 as a 16-bit grey map."""
    data = array("H", (value for row in rows for value in row))
    if sys.byteorder == "little":
        data.byteswap()
    write(path.with_suffix(".wld"), grid.world_file())
    write(path, b"P5\n%d %d\n65535\n" % (grid.width, grid.height) + data.tobytes())


def read_pgm(path: Path) -> tuple[Grid, list[array]]:
    """What `write_pgm` wrote."""
    kind, size, limit, data = path.read_bytes().split(b"\n", 3)
    if kind != b"P5" or limit != b"65535":
        raise ValueError(f"{path} is not a 16-bit grey map")
    width, height = map(int, size.split())
    values = array("H", data)
    if sys.byteorder == "little":
        values.byteswap()
    step, _, _, _, x, y = map(float, path.with_suffix(".wld").read_text().split())
    grid = Grid(round(x - step / 2, 9), round(y + step / 2, 9), step, width, height)
    return grid, [values[row * width : (row + 1) * width] for row in range(height)]


def write_png(path: Path, grid: Grid, rows: list[bytes], palette: list[tuple[int, int, int, int]] | None) -> None:
    """Rows of RGB triples, or of indices into a palette of red, green, blue and opacity."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", grid.width, grid.height, 8, 3 if palette else 2, 0, 0, 0))]
    if palette:
        parts.append(chunk(b"PLTE", b"".join(bytes(colour[:3]) for colour in palette)))
        parts.append(chunk(b"tRNS", bytes(colour[3] for colour in palette)))
    parts.append(chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))))
    write(path.with_suffix(".wld"), grid.world_file())
    write(path, b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b""))


def rings(cells: set[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """The outlines of pixels that hang together by their edges: the outer ring first, then the holes.

    A cell is (column, row). Points are corners of pixels; each ring ends where it began. As maps show them, with north
    up, the outer ring runs against the clock and the holes with it (RFC 7946).
    """
    # Every edge between a cell and its outside, with the cell on the left of the direction (in rows growing down).
    follow: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for x, y in cells:
        if (x, y + 1) not in cells:
            follow.setdefault((x, y + 1), []).append((x + 1, y + 1))
        if (x + 1, y) not in cells:
            follow.setdefault((x + 1, y + 1), []).append((x + 1, y))
        if (x, y - 1) not in cells:
            follow.setdefault((x + 1, y), []).append((x, y))
        if (x - 1, y) not in cells:
            follow.setdefault((x, y), []).append((x, y + 1))
    found = []
    while follow:
        start = min(follow, key=lambda point: (point[1], point[0]))
        ring, at, came = [start], start, (0, 0)
        while True:
            ends = follow[at]
            # Two cells that touch at a corner alone: a turn to the left stays with this one.
            left = (came[1], -came[0])
            end = next((end for end in ends if (end[0] - at[0], end[1] - at[1]) == left), ends[0])
            ends.remove(end)
            if not ends:
                del follow[at]
            step = (end[0] - at[0], end[1] - at[1])
            if step == came:
                ring[-1] = end  # straight on
            else:
                ring.append(end)
            at, came = end, step
            if at == start:
                break
        found.append(ring)
    return sorted(found, key=area, reverse=True)


def area(ring: list[tuple[int, int]]) -> float:
    """In pixels; below zero for a hole."""
    return -sum(x * v - u * y for (x, y), (u, v) in zip(ring, ring[1:])) / 2
