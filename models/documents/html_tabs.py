"""Tabs of a page: which label belongs to which panel."""

from selectolax.lexbor import LexborNode

from models.documents.text import one_line


class Tabs:
    """The labels of tab panels, by ids, else by order."""

    def __init__(self, root: LexborNode) -> None:
        tabs = root.css("[role=tab]")
        panels = root.css("[role=tabpanel]")
        by_id = {tab.attributes.get("id"): tab for tab in tabs}
        by_panel = {tab.attributes.get("aria-controls"): tab for tab in tabs}
        self._labels: dict[int, str] = {}
        labelled: set[int] = set()
        unmatched: list[LexborNode] = []
        for panel in panels:
            tab = by_id.get(panel.attributes.get("aria-labelledby") or "")
            tab = tab or by_panel.get(panel.attributes.get("id") or "")
            if tab is None:
                unmatched.append(panel)
            else:
                self._label(panel, tab, labelled)
        free = [tab for tab in tabs if tab.mem_id not in labelled]
        for panel, tab in zip(unmatched, free, strict=False):
            self._label(panel, tab, labelled)
        self._labelled = labelled

    def _label(self, panel: LexborNode, tab: LexborNode, labelled: set[int]) -> None:
        self._labels[panel.mem_id] = one_line(tab.text(deep=True) or "")
        labelled.add(tab.mem_id)

    def label(self, panel: LexborNode) -> str:
        """The label of a panel, or ""."""
        return self._labels.get(panel.mem_id, "") if self._labels else ""

    def stands_at_panel(self, tab: LexborNode) -> bool:
        """Whether a tab's label is read at its panel."""
        return bool(self._labelled) and tab.mem_id in self._labelled
