"""What every figure must be, whatever it shows."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

SMALLEST_TYPE = 7
HAIR = 3  # pixels


def check_print(figure: Figure) -> None:
    """As wide as the page, no type below 7 points, and nothing cut off by the border."""
    FigureCanvasAgg(figure).draw()
    assert figure.get_figwidth() == 7.2
    assert figure.dpi == 200
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    assert min(text.get_fontsize() for text in texts) >= SMALLEST_TYPE
    box = figure.get_tightbbox().transformed(figure.dpi_scale_trans)
    width, height = figure.canvas.get_width_height()
    assert box.x0 >= -HAIR
    assert box.y0 >= -HAIR
    assert box.x1 <= width + HAIR
    assert box.y1 <= height + HAIR
