"""``socialgraph report``: what a forecaster can do, as one page that needs nothing from anywhere.

Computing is apart from showing: ``scoring`` forecasts the test windows beside their ``rivals``;
``errors``, ``health``, ``influence`` and ``details`` make numbers of them; ``collect`` gathers
these as the parts of ``content``, and ``page`` (with ``sections``, ``tables``, ``figures`` and
``data``) only shows them. A new section of the page is a function in ``sections.SECTIONS``, and its
numbers in ``content``.
"""

from socialgraph.report.command import main, write_report

__all__ = ["main", "write_report"]
