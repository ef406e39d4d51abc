"""Shows the flood on a terminal: its layers, and its outlines drawn in letters.

    python3 show.py layers OUTPUT.json
    python3 show.py uri OUTPUT.json
    python3 show.py map FLOODED.geojson
"""

import json
import sys

COLUMNS, ROWS = 72, 24


def inside(ring: list[list[float]], x: float, y: float) -> bool:
    """Whether a ray from the point to the east crosses the ring an odd number of times."""
    crossings = sum(
        (south > y) != (north > y) and x < west + (y - south) * (east - west) / (north - south)
        for (west, south), (east, north) in zip(ring, ring[1:])
    )
    return crossings % 2 == 1


def show_layers(output: dict) -> None:
    for layer in output["predicted_layers"]:
        print(f"    {layer['z_index']}  {layer['display_name']:<26} {layer['uri']}")
    print(
        f"\n    {output['flooded_areas']} areas, {output['flooded_hectares']:.0f} hectares, are under water on "
        f"{output['scene']} and not on {output['compared_with']};\n    the river and the lake have "
        f"{output['usual_water_hectares']:.0f}. Computed in {output['seconds']:.1f} s."
    )


def show_map(collection: dict) -> None:
    west, south, east, north = collection["bbox"]
    polygons = [feature["geometry"]["coordinates"] for feature in collection["features"]]
    for row in range(ROWS):
        y = north - (row + 0.5) * (north - south) / ROWS
        line = ""
        for column in range(COLUMNS):
            x = west + (column + 0.5) * (east - west) / COLUMNS
            line += "~" if any(sum(inside(ring, x, y) for ring in rings) % 2 for rings in polygons) else "."
        print("    " + line)


if __name__ == "__main__":
    what, path = sys.argv[1:]
    with open(path) as file:
        sent = json.load(file)
    if what == "layers":
        show_layers(sent)
    elif what == "uri":
        print(sent["predicted_layers"][-1]["uri"])
    else:
        show_map(sent)
