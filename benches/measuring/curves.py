"""A cost at several sizes, and how steep it is: the exponent of the power law that fits best."""
import dataclasses
import math


@dataclasses.dataclass
class Curve:
    name: str
    x_name: str
    unit: str
    # 0: it stays the same; 1: it doubles when the size does; 2: it becomes four times as much.
    nature: float
    # How much more than its nature the exponent may be; what is measured on a busy machine varies.
    tolerance: float
    points: list
    # Only so many of the last points tell how steep it is: a small size costs mostly what it would cost at none. None: all.
    last: int | None = 3

    def exponent(self):
        """Least squares over the logarithms of sizes and values."""
        points = [(math.log(x), math.log(y)) for x, y in self.points if x > 0 and y > 0][-(self.last or 0):]
        if len(points) < 2:
            return None
        mean_x, mean_y = (sum(axis) / len(points) for axis in zip(*points))
        spread = sum((x - mean_x) ** 2 for x, _ in points)
        return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else None

    def is_too_steep(self):
        exponent = self.exponent()
        return exponent is not None and exponent > self.nature + self.tolerance

    def told(self):
        """Its row: name, from and to, exponent, nature, verdict."""
        exponent = self.exponent()
        steep = "too few points" if exponent is None else "STEEPER" if self.is_too_steep() else "as it should"
        values = f"{number(self.points[0][1])} to {number(self.points[-1][1])} {self.unit}".rstrip()
        sizes = f"{number(self.points[0][0])} to {number(self.points[-1][0])} {self.x_name}"
        return [self.name, sizes, values, "" if exponent is None else f"{exponent:.2f}", f"{self.nature:g} (+{self.tolerance:g})", steep]


def number(value):
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
