#!/usr/bin/env python3
"""Makes the satellite scenes of an invented valley: three dates, two bands each, the same on every machine.

    python3 scene.py FOLDER

A river winds through the valley, a lake lies beside it, and in February the water stands more than three metres
higher. The bands are reflectances times 10000, as 16-bit PGM with a world file.
"""

import math
import random
import sys
from array import array
from pathlib import Path

from raster import Grid, write_pgm

GRID = Grid(west=9.0, north=52.96, step=0.0004, width=600, height=400)  # about 27 m by 44 m a pixel
WATER_LEVELS = {"2026-01-05": 1.0, "2026-02-14": 4.6, "2026-03-20": 2.2}  # metres above the river's bed
BANDS = ("green", "nir")


def smooth_noise(seed: int, cell: int) -> list[array]:
    """Hills between 0 and 1, about `cell` pixels apart."""
    dice = random.Random(seed)
    columns, rows = GRID.width // cell + 2, GRID.height // cell + 2
    points = [[dice.random() for _ in range(columns)] for _ in range(rows)]
    weights = [(x // cell, (1 - math.cos(math.pi * (x % cell) / cell)) / 2) for x in range(GRID.width)]
    hills = []
    for y in range(GRID.height):
        upper, lower = points[y // cell], points[y // cell + 1]
        down = (1 - math.cos(math.pi * (y % cell) / cell)) / 2
        line = [above + (below - above) * down for above, below in zip(upper, lower)]
        hills.append(array("d", (line[at] + (line[at + 1] - line[at]) * along for at, along in weights)))
    return hills


def terrain() -> list[array]:
    """Metres above the river's bed."""
    wide, narrow = smooth_noise(11, 80), smooth_noise(12, 16)
    heights = []
    for y in range(GRID.height):
        river = 300 + 90 * math.sin(y / 55) + 25 * math.sin(y / 17 + 1)
        heights.append(array("d", (
            min(
                abs(x - river) / 14 + (x - river) ** 2 / 9000,  # the valley
                1.4 * math.hypot(x - 480, (y - 120) * 1.5) / 34,  # the lake
            ) + 4.5 * wide[y][x] * min(1.0, abs(x - river) / 60) + 2.0 * narrow[y][x] - 1.0
            for x in range(GRID.width)
        )))
    return heights


def make_scenes(folder: Path) -> None:
    """Writes `DATE_green.pgm` and `DATE_nir.pgm` for every date."""
    folder.mkdir(parents=True, exist_ok=True)
    heights, fields = terrain(), smooth_noise(13, 24)
    for date, level in WATER_LEVELS.items():
        grain = random.Random(date)  # of the sensor
        bands = {name: [] for name in BANDS}
        for y in range(GRID.height):
            green, nir = array("H"), array("H")
            for height, field in zip(heights[y], fields[y]):
                if height < level:
                    depth = min(level - height, 2.0)
                    values = 900 - 120 * depth, 420 - 150 * depth
                else:  # from bare soil to meadows
                    values = 1150 - 450 * field, 1900 + 1800 * field
                shine = 1 + (grain.random() - 0.5) * 0.3
                green.append(int(values[0] * shine))
                nir.append(int(values[1] * (2 - shine)))
            bands["green"].append(green)
            bands["nir"].append(nir)
        for name, rows in bands.items():
            write_pgm(folder / f"{date}_{name}.pgm", GRID, rows)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: scene.py FOLDER")
    make_scenes(Path(sys.argv[1]))
