"""Finds what is under water that is usually dry: the water index of two bands, a threshold, and what hangs together."""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from raster import Grid, read_pgm, rings, write, write_png

HOLD = 16  # rows between two looks at whether the caller is still there
COLOURS = {"dry": (0, 0, 0, 0), "always wet": (31, 78, 150, 255), "flooded": (222, 65, 31, 255)}


class Refusal(Exception):
    """An answer other than 200: the HTTP status, and one sentence for the caller."""

    def __init__(self, status: int, detail: str):
        super().__init__(detail)
        self.status = status


@dataclass(frozen=True)
class Request:
    """What is asked: boxes of west, south, east, north; first and last days; and how wet is wet."""

    boxes: list[list[float]]
    periods: list[tuple[str, str]]
    threshold: float
    smallest: int

    @staticmethod
    def read(body: bytes) -> "Request":
        try:
            sent = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise Refusal(400, f"The body is not JSON: {error}.") from None
        sent = sent if isinstance(sent, dict) else {}
        spatial = sent.get("spatial_domain")
        boxes = spatial.get("bbox") if isinstance(spatial, dict) else None
        if not isinstance(boxes, list) or not 1 <= len(boxes) <= 8 or not all(map(is_box, boxes)):
            raise Refusal(400, "`spatial_domain.bbox` must be a list of 1 to 8 boxes [west, south, east, north].")
        periods = sent.get("temporal_domain")
        if not isinstance(periods, list) or not 1 <= len(periods) <= 32 or not all(map(is_period, periods)):
            raise Refusal(400, '`temporal_domain` must be a list of 1 to 32 days or "FIRST_LAST", as in "2026-02-14".')
        parameters = sent.get("parameters", {})
        parameters = parameters if isinstance(parameters, dict) else {}
        threshold, smallest = parameters.get("threshold", 0.0), parameters.get("smallest_area", 12)
        if not is_number(threshold) or not -1 <= threshold <= 1:
            raise Refusal(400, "`parameters.threshold` must be a number from -1 to 1.")
        if type(smallest) is not int or smallest < 1:
            raise Refusal(400, "`parameters.smallest_area` must be a number of pixels above 0.")
        days = [(period[:10], period[-10:]) for period in periods]
        return Request([[float(edge) for edge in box] for box in boxes], days, threshold, smallest)


def is_number(it) -> bool:
    return type(it) in (int, float) and math.isfinite(it)


def is_box(it) -> bool:
    return isinstance(it, list) and len(it) == 4 and all(map(is_number, it)) and it[0] < it[2] and it[1] < it[3]


def is_period(it) -> bool:
    return isinstance(it, str) and re.fullmatch(r"\d{4}-\d\d-\d\d(_\d{4}-\d\d-\d\d)?", it) is not None


class Scenes:
    """The scenes of a folder, as `scene.py` writes them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.dates = sorted(file.name[:10] for file in folder.glob("*_green.pgm"))

    def newest(self, periods: list[tuple[str, str]]) -> str:
        found = [date for date in self.dates if any(first <= date <= last for first, last in periods)]
        if not found:
            raise Refusal(422, f"There is no scene in `temporal_domain`; there are {', '.join(self.dates)}.")
        return found[-1]

    def bands(self, date: str, box: list[float]) -> tuple[Grid, list, list]:
        """The part of a scene in a box: its grid, and the rows of the green and of the near infrared band."""
        parts = []
        for name in ("green", "nir"):
            grid, rows = read_pgm(self.folder / f"{date}_{name}.pgm")
            window = grid.window(box)
            if window is None:
                raise Refusal(422, f"The box {box} does not touch the scenes, which cover {grid.bbox}.")
            left, top, right, bottom = window
            parts.append([row[left:right] for row in rows[top:bottom]])
        return grid.cut(window), *parts


def water(green: list, nir: list, threshold: float, hold: Callable[[], None]) -> list[bytearray]:
    """1 where the index of McFeeters, (green - nir) / (green + nir), is above the threshold."""
    mask = []
    for y, (upper, lower) in enumerate(zip(green, nir)):
        if y % HOLD == 0:
            hold()
        # Without the division: a + b is never below zero.
        mask.append(bytearray(a - b > threshold * (a + b) for a, b in zip(upper, lower)))
    return mask


def components(mask: list[bytearray], hold: Callable[[], None]) -> list[set[tuple[int, int]]]:
    """Pixels that are 1 and hang together by their edges, as (column, row); the largest first."""
    left = [bytearray(row) for row in mask]
    found = []
    for y, row in enumerate(left):
        if y % HOLD == 0:
            hold()
        x = row.find(1)
        while x >= 0:
            row[x] = 0
            cells, edge = set(), [(x, y)]
            while edge:
                column, line = edge.pop()
                cells.add((column, line))
                for u, v in ((column + 1, line), (column - 1, line), (column, line + 1), (column, line - 1)):
                    if 0 <= v < len(left) and 0 <= u < len(row) and left[v][u]:
                        left[v][u] = 0
                        edge.append((u, v))
            found.append(cells)
            x = row.find(1, x)
    return sorted(found, key=len, reverse=True)


def hectares(grid: Grid, pixels: int) -> float:
    south, north = grid.bbox[1], grid.bbox[3]
    metre_square = 111_320 * math.cos(math.radians((south + north) / 2)) * 110_574
    return round(pixels * grid.step**2 * metre_square / 10_000, 1)


@dataclass
class Job:
    """One request at work. `tell` hears of progress, `show` of layers that are ready; `hold` raises to stop it."""

    scenes: Scenes
    request: Request
    folder: Path
    address: str
    tell: Callable[[str, float], None]
    show: Callable[[list[dict]], None]
    hold: Callable[[], None]

    def run(self) -> dict:
        date = self.scenes.newest(self.request.periods)
        usual = self.scenes.dates[0]
        for box in self.request.boxes:
            self.scenes.bands(usual, box)  # refuses before anything is shown
        self.folder.mkdir(parents=True, exist_ok=True)
        layers, areas, flooded, usually = [], 0, 0.0, 0.0
        for number, box in enumerate(self.request.boxes):
            suffix = f"-{number + 1}" if len(self.request.boxes) > 1 else ""

            def tell(text: str, part: float) -> None:
                self.tell(text, round((number + part) / len(self.request.boxes), 2))

            grid, green, nir = self.scenes.bands(date, box)
            tell(f"scene of {date}: {grid.width} x {grid.height} pixels", 0.05)
            layers.append(self.picture(grid, green, nir, f"scene{suffix}", date, len(layers)))
            self.show(layers)  # people look at the scene while the rest is computed
            wet = water(green, nir, self.request.threshold, self.hold)
            tell("water found", 0.4)
            _, green, nir = self.scenes.bands(usual, box)
            usually_wet = water(green, nir, self.request.threshold, self.hold)
            tell(f"compared with {usual}", 0.6)
            new = [bytearray(a & ~b & 1 for a, b in zip(*rows)) for rows in zip(wet, usually_wet)]
            lakes = [cells for cells in components(new, self.hold) if len(cells) >= self.request.smallest]
            tell(f"{len(lakes)} flooded areas", 0.8)
            layers.append(self.mask(grid, usually_wet, lakes, f"water{suffix}", len(layers)))
            layers.append(self.outlines(grid, lakes, f"flooded{suffix}", len(layers)))
            areas += len(lakes)
            flooded += hectares(grid, sum(map(len, lakes)))
            usually += hectares(grid, sum(map(sum, usually_wet)))
        return {
            "scene": date, "compared_with": usual, "flooded_areas": areas, "flooded_hectares": round(flooded, 1),
            "usual_water_hectares": round(usually, 1), "predicted_layers": layers,
        }

    # The layers

    def layer(self, grid: Grid, file: str, title: str, symbolizer: str, z_index: int) -> dict:
        name = escape(file.partition(".")[0])
        style = (
            '<StyledLayerDescriptor version="1.0.0" xmlns="http://www.opengis.net/sld" '
            f'xmlns:ogc="http://www.opengis.net/ogc"><NamedLayer><Name>{name}</Name><UserStyle><FeatureTypeStyle>'
            f"<Rule>{symbolizer}</Rule></FeatureTypeStyle></UserStyle></NamedLayer></StyledLayerDescriptor>"
        )
        return {
            "uri": f"{self.address}/layers/{self.folder.name}/{file}", "display_name": title, "z_index": z_index,
            "sld_body": style, "bbox_pred": grid.bbox,
        }

    def picture(self, grid: Grid, green: list, nir: list, name: str, date: str, z_index: int) -> dict:
        """In false colors: plants are red, water is dark."""
        rows = []
        for upper, lower in zip(green, nir):
            row = bytearray(3 * len(upper))
            row[0::3] = bytes(min(255, value * 255 // 4500) for value in lower)
            row[1::3] = row[2::3] = bytes(min(255, value * 255 // 1800) for value in upper)
            rows.append(bytes(row))
        write_png(self.folder / f"{name}.png", grid, rows, None)
        return self.layer(grid, f"{name}.png", f"Scene of {date}", "<RasterSymbolizer/>", z_index)

    def mask(self, grid: Grid, usually_wet: list[bytearray], lakes: list[set], name: str, z_index: int) -> dict:
        rows = [bytearray(row) for row in usually_wet]
        for x, y in (cell for cells in lakes for cell in cells):
            rows[y][x] = 2
        write_png(self.folder / f"{name}.png", grid, [bytes(row) for row in rows], list(COLOURS.values()))
        entries = "".join(
            f'<ColorMapEntry color="#{red:02x}{green:02x}{blue:02x}" quantity="{value}" label="{label}" '
            f'opacity="{opacity // 255}"/>'
            for value, (label, (red, green, blue, opacity)) in enumerate(COLOURS.items())
        )
        style = f'<RasterSymbolizer><ColorMap type="values">{entries}</ColorMap></RasterSymbolizer>'
        return self.layer(grid, f"{name}.png", "Water: always and flooded", style, z_index)

    def outlines(self, grid: Grid, lakes: list[set], name: str, z_index: int) -> dict:
        features = []
        for number, cells in enumerate(lakes):
            self.hold()
            features.append({
                "type": "Feature",
                "properties": {"number": number + 1, "hectares": hectares(grid, len(cells))},
                "geometry": {
                    "type": "Polygon",
                    "coordinates": [[grid.corner(x, y) for x, y in ring] for ring in rings(cells)],
                },
            })
        collection = {"type": "FeatureCollection", "bbox": grid.bbox, "features": features}
        write(self.folder / f"{name}.geojson", json.dumps(collection, separators=(",", ":")))
        style = (
            '<PolygonSymbolizer><Stroke><CssParameter name="stroke">#a82a0c</CssParameter>'
            '<CssParameter name="stroke-width">1.5</CssParameter></Stroke></PolygonSymbolizer>'
        )
        return self.layer(grid, f"{name}.geojson", "Flooded areas", style, z_index)
