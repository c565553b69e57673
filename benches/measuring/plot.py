"""Curves as one SVG: a panel each, both axes logarithmic, and beside the measured line a dashed one as steep as its nature."""
import math
from xml.sax.saxutils import escape

from .curves import number

COLUMNS, WIDTH, HEIGHT = 2, 380, 220
LEFT, RIGHT, TOP, BOTTOM = 74, 22, 34, 40
# Seen on white and on black alike.
INK, LINE, NATURE = "#777", "#3b82d6", "#d08a2e"


def decades(values):
    """The powers of ten that enclose them."""
    low = math.floor(math.log10(min(values)) + 1e-9)
    high = math.ceil(math.log10(max(values)) - 1e-9)
    return low, max(high, low + 1)


def panel(curve, left, top):
    points = [(x, y) for x, y in curve.points if x > 0 and y > 0]
    (x_low, x_high), (y_low, y_high) = decades([x for x, _ in points]), decades([y for _, y in points])
    inner_width, inner_height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def at(x, y):
        across = (math.log10(x) - x_low) / (x_high - x_low)
        up = (math.log10(y) - y_low) / (y_high - y_low)
        return left + LEFT + across * inner_width, top + TOP + (1 - up) * inner_height

    def line(ends, colour, more=""):
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*end) for end in ends))
        return f'<polyline points="{drawn}" fill="none" stroke="{colour}" {more}/>'

    def text(x, y, what, anchor="middle", size=11):
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{INK}">{escape(what)}</text>'

    parts = [text(left + LEFT, top + 18, f"{curve.name}{', ' + curve.unit if curve.unit else ''}", "start", 13)]
    for power in range(x_low, x_high + 1):
        x, y = at(10.0**power, 10.0**y_low)
        parts += [line([(10.0**power, 10.0**y_low), (10.0**power, 10.0**y_high)], INK, 'stroke-opacity="0.3"'), text(x, y + 15, number(10.0**power))]
    for power in range(y_low, y_high + 1):
        x, y = at(10.0**x_low, 10.0**power)
        parts += [line([(10.0**x_low, 10.0**power), (10.0**x_high, 10.0**power)], INK, 'stroke-opacity="0.3"'), text(x - 6, y + 4, number(10.0**power), "end")]
    parts.append(text(left + LEFT + inner_width / 2, top + HEIGHT - 8, curve.x_name))
    # From the first point on, as far as the panel goes.
    (x, y), end = points[0], points[-1][0]
    steepest = y * (end / x) ** curve.nature
    if steepest > 10.0**y_high:
        end = x * (10.0**y_high / y) ** (1 / curve.nature)
    parts.append(line([(x, y), (end, y * (end / x) ** curve.nature)], NATURE, 'stroke-dasharray="5 4" stroke-width="1.5"'))
    parts.append(line(points, LINE, 'stroke-width="2"'))
    parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{LINE}"/>' for x, y in (at(*point) for point in points)]
    return parts


def svg(curves):
    curves = [curve for curve in curves if any(x > 0 and y > 0 for x, y in curve.points)]
    rows = -(-len(curves) // COLUMNS)
    width, height = COLUMNS * WIDTH, rows * HEIGHT
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" font-family="sans-serif">']
    for place, curve in enumerate(curves):
        parts += panel(curve, place % COLUMNS * WIDTH, place // COLUMNS * HEIGHT)
    return "\n".join([*parts, "</svg>"]) + "\n"
