"""Finds and reads the lines of text of an image: PP-OCRv6 by RapidOCR, whose package carries the weights.

OpenVINO runs it twice as fast as ONNX Runtime, which takes its place where OpenVINO is not installed.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.documents.ocr.image import MAX_SIDE, Pixels

# One thread a file: as many files are parsed side by side as there are cores.
PARAMETERS: dict[str, Any] = {
    "Global.text_score": 0.0,  # the caller judges a line by its confidence
    "Global.use_cls": False,  # turned pages are found by their confidence
    "Global.max_side_len": 2 * MAX_SIDE,
    "Global.log_level": "critical",
    # The detector sees the page smaller than the reader of its lines does: a third of the time, and no more errors.
    "Det.limit_type": "max",
    "Det.limit_side_len": 1216,
    "EngineConfig.openvino.inference_num_threads": 1,
    "EngineConfig.onnxruntime.intra_op_num_threads": 1,
    "EngineConfig.onnxruntime.inter_op_num_threads": 1,
    "EngineConfig.onnxruntime.enable_cpu_mem_arena": False,
}
BATCH_LINES, LINE_STEP = 6, 320  # lines that are read at once, and a step of their width in pixels
UPRIGHT, TALL = 0.75, 1.5
MIN_JUDGED_CHARS = 12
NO_MEMORY = ("bad_alloc", "Failed to allocate", "MemoryError", "Insufficient memory")


@dataclass(frozen=True)
class RecognizedLine:
    """A line of an image. Its box is in pixels from the upper left; `confidence` is between 0 and 1."""

    text: str
    left: float
    top: float
    right: float
    bottom: float
    confidence: float

    @property
    def is_tall(self) -> bool:
        """Whether a line of several characters stands upright: the page lies on its side, or is written downwards."""
        return len(self.text) > 2 and self.bottom - self.top > TALL * (self.right - self.left)


@dataclass(frozen=True)
class RecognizedPage:
    """The lines of an image, and its size in pixels after it was turned upright."""

    lines: tuple[RecognizedLine, ...]
    width: int
    height: int

    @property
    def num_chars(self) -> int:
        return sum(len(line.text) for line in self.lines)

    @property
    def quality(self) -> float:
        """The sum of the characters' confidences; those of lines that lie on their side count little."""
        return sum(len(line.text) * line.confidence * (0.5 if line.is_tall else 1.0) for line in self.lines)


class _EvenShapes:
    """Runs the reader of lines on batches of few different shapes. Its engine needs memory for each that it meets."""

    def __init__(self, session: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> None:
        self._session = session

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The result for a batch (n, 3, height, width). Zeros at the right are what shorter lines of it have, too."""
        num_lines, _, _, width = batch.shape
        columns = -width % LINE_STEP
        padded = np.pad(batch, ((0, max(0, BATCH_LINES - num_lines)), (0, 0), (0, 0), (0, columns)))
        return self._session(padded)[:num_lines].copy()


class Recognizer:
    """Loads the two models, 30 MB. Calls from several threads take turns."""

    def __init__(self) -> None:
        from rapidocr import EngineType, RapidOCR

        engine = EngineType.OPENVINO if find_spec("openvino") else EngineType.ONNXRUNTIME
        self._engine = RapidOCR(params=PARAMETERS | {"Det.engine_type": engine, "Rec.engine_type": engine})
        self._engine(np.full((48, 320, 3), 255, np.uint8), use_det=False)  # loads the reader of lines
        self._engine.text_rec.session = _EvenShapes(self._engine.text_rec.session)
        self._turn = threading.Lock()

    def read(self, pixels: Pixels) -> RecognizedPage:
        """The lines, in no order. A page that was scanned upside down or sideways is turned if it reads better so."""
        page = self._read(pixels)
        if page.num_chars < MIN_JUDGED_CHARS or page.quality >= UPRIGHT * page.num_chars:
            return page
        return max([page, *(self._read(np.rot90(pixels, turns)) for turns in (1, 2, 3))], key=lambda read: read.quality)

    def _read(self, pixels: Pixels) -> RecognizedPage:
        height, width = pixels.shape[:2]
        with self._turn:
            try:
                result = self._engine(np.ascontiguousarray(pixels), use_det=True)
            except Exception as error:
                if any(sign in str(error) for sign in NO_MEMORY):
                    raise MemoryError from error
                raise
        if getattr(result, "txts", None) is None or result.boxes is None:
            return RecognizedPage((), width, height)
        results = zip(result.boxes, result.txts, result.scores, strict=True)
        return RecognizedPage(tuple(_line(box, text, score) for box, text, score in results), width, height)


@lru_cache(maxsize=1)
def recognizer() -> Recognizer:
    """The recognizer of this process."""
    return Recognizer()


def _line(box: Any, text: str, score: float) -> RecognizedLine:
    across, down = np.asarray(box)[:, 0], np.asarray(box)[:, 1]
    left, right, top, bottom = float(across.min()), float(across.max()), float(down.min()), float(down.max())
    return RecognizedLine(text.strip(), left, top, right, bottom, float(score))
