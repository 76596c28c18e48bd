"""A line of a PDF's page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A line of a page. Its box is in points, from the page's lower left. `hyphenated`: a final hyphen was removed.

    `stands_alone`: it is no part of a paragraph, as a comment.
    """

    text: str
    left: float
    bottom: float
    right: float
    top: float
    hyphenated: bool = False
    stands_alone: bool = False

    @property
    def height(self) -> float:
        return max(self.top - self.bottom, 0.1)

    def shares_row_with(self, line: "Line") -> bool:
        """Whether the boxes overlap by more than half of the lower one's height."""
        return min(self.top, line.top) - max(self.bottom, line.bottom) > 0.5 * min(self.height, line.height)
