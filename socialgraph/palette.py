"""Colours of pictures and pages, which colour-blind people can tell apart."""

__all__ = ["BLUE", "GREEN", "GREY", "INK", "ORANGE", "PURPLE", "RED", "SKY"]
__all__ += ["DIVERGING", "SEQUENTIAL"]

# Okabe and Ito, Color Universal Design (https://jfly.uni-koeln.de/color)
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY = "#CC79A7", "#56B4E9"
INK, GREY = "#1f2428", "#8a929c"
# Shares of the range and their colours; of even steps in lightness.
SEQUENTIAL = [(0.0, "#f7e8b5"), (0.3, "#f0a35e"), (0.65, "#b0405f"), (1.0, "#2d1545")]
DIVERGING = [
    (0.0, "#8c2d04"),
    (0.25, "#f0a35e"),
    (0.5, "#f3f3f1"),
    (0.75, "#74b3d8"),
    (1.0, "#08519c"),
]
