#!/usr/bin/env python3
"""Draws page.png, the scanned page that the example sends: text on paper, a little askew, with a scanner's dirt.

    apt-get install python3-pil fonts-liberation
    python3 make_page.py [page.png]

The same script gives the same picture: every random number comes from one seed.
"""

import random
import sys
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

WIDTH, HEIGHT = 1240, 1000  # the upper part of an A4 sheet at 150 dots per inch
DPI = 150
PAPER, INK = 234, 42
GREYS = 12  # what a frugal scanner keeps; it also keeps the file small
FONTS = Path("/usr/share/fonts/truetype/liberation")

TITLE = "Field Inspection Report"
SUBTITLE = "Pumping Station 4, Lower Mill Lane. Sheet 2 of 3"
BODY = """\
The station was visited on Tuesday, 14 October, between 09:20 and 11:45.
Both duty pumps were running on arrival. The standby unit had been out of
service since the end of September and waits for a new shaft seal.
Pump 1 drew 42 amperes at a discharge pressure of 3.1 bar, which agrees
with the figures of the spring inspection. Pump 2 drew 47 amperes and its
lower bearing was noticeably warm. The grease was renewed, the coupling
was checked for alignment, and the bearing had cooled down by noon.
The wet well had been cleaned in August and shows little sediment. The
float switch of the high level alarm was lifted three times and answered
each time. A hairline crack was found in the concrete beside the inlet
grating. It is dry, and should be looked at again before the first frost.
No other defects were seen.""".splitlines()


def drawn_text() -> Image.Image:
    """The sheet as it was printed: straight, clean, black on white."""
    sheet = Image.new("L", (WIDTH, HEIGHT), 255)
    draw = ImageDraw.Draw(sheet)
    left, y = 150, 110
    draw.text((left, y), TITLE, font=ImageFont.truetype(str(FONTS / "LiberationSerif-Bold.ttf"), 44), fill=INK)
    y += 66
    draw.text((left, y), SUBTITLE, font=ImageFont.truetype(str(FONTS / "LiberationSerif-Italic.ttf"), 29), fill=INK)
    y += 58
    draw.line((left, y, WIDTH - 130, y), fill=INK, width=2)
    y += 36
    font = ImageFont.truetype(str(FONTS / "LiberationSerif-Regular.ttf"), 30)
    for line in BODY:
        draw.text((left, y), line, font=font, fill=INK)
        y += 50
    return sheet


def noise(rng: random.Random, spread: float) -> Image.Image:
    """Grain around 128, roughly normal: the mean of four even draws per pixel."""
    layers = [Image.frombytes("L", (WIDTH, HEIGHT), rng.randbytes(WIDTH * HEIGHT)) for _ in range(4)]
    mean = Image.blend(Image.blend(layers[0], layers[1], 0.5), Image.blend(layers[2], layers[3], 0.5), 0.5)
    return mean.point([round(128 + (value - 128) * spread) for value in range(256)])


def scanned(sheet: Image.Image, rng: random.Random) -> Image.Image:
    """The sheet as the scanner saw it: askew, soft, shaded, grainy, with specks and two punched holes."""
    page = sheet.rotate(0.7, resample=Image.Resampling.BICUBIC, fillcolor=255)
    page = page.filter(ImageFilter.GaussianBlur(0.8)).point([round(value * PAPER / 255) for value in range(256)])

    shade = Image.new("L", (WIDTH, 1))
    shade.putdata([round(255 - 90 * max(0.0, 1 - x / 45)) for x in range(WIDTH)])  # the lid does not quite close
    page = ImageChops.multiply(page, shade.resize((WIDTH, HEIGHT)))

    draw = ImageDraw.Draw(page)
    for y in (285, 765):
        draw.ellipse((58, y - 17, 92, y + 17), fill=176, outline=120)
    for _ in range(60):
        x, y, size = rng.randrange(WIDTH), rng.randrange(HEIGHT), rng.choice((1, 1, 2))
        draw.ellipse((x, y, x + size, y + size), fill=rng.randrange(120, 215))
    page = page.filter(ImageFilter.GaussianBlur(0.4))
    return ImageChops.add(page, noise(rng, 0.12), scale=1, offset=-128)


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("page.png")
    page = scanned(drawn_text(), random.Random(4711))
    step = 255 / (GREYS - 1)
    page = page.point([round(round(value / step) * step) for value in range(256)])
    page.save(target, optimize=True, dpi=(DPI, DPI))
    print(f"{target}: {target.stat().st_size} bytes")


if __name__ == "__main__":
    main()
