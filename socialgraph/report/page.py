"""The page: HTML around its sections, which needs nothing from anywhere else."""

from html import escape
from pathlib import Path

from socialgraph.report.content import Content
from socialgraph.report.data import page_data, to_json
from socialgraph.report.sections import SECTIONS

__all__ = ["plotly_script", "render"]

_HERE = Path(__file__).parent
# Nothing may be loaded from anywhere, whatever a name in a file holds.
_POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:"


def plotly_script() -> str:
    """The code of plotly.js.

    Raises:
        ImportError: without plotly.
    """
    try:
        from plotly.offline import get_plotlyjs
    except ImportError as error:
        raise ImportError(
            "A report needs plotly: pip install 'socialgraph[report]', or pip install plotly."
        ) from error
    return get_plotlyjs()


def render(content: Content, script: str) -> str:
    """The page.

    Args:
        content: of :func:`socialgraph.report.collect.collect`.
        script: of :func:`plotly_script`.
    """
    title = escape(f"Forecasts of {content.subject.target}: {content.subject.name}")
    body = "\n".join(section(content) for section in SECTIONS)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{title}</title>\n"
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{_read('page.css')}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f'<script id="content" type="application/json">{to_json(page_data(content))}</script>\n'
        f"<script>{script}</script>\n<script>\n{_read('page.js')}</script>\n</body>\n</html>\n"
    )


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
