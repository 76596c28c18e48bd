"""How the text of images and scanned pages is recognized."""

from importlib.util import find_spec

from pydantic import BaseModel, ConfigDict, Field

PACKAGE, ENGINES = "rapidocr", ("openvino", "onnxruntime")
PILLOW_MAX_PIXELS = 178_000_000  # Pillow itself refuses more


class OcrConfig(BaseModel):
    """Recognition of text (OCR). `args.ocr: false` in serve_config.yaml switches it off for all parsers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = Field(default=True, description="Recognize text; false refuses images and counts scanned pages.")
    max_pages: int = Field(
        default=50,
        ge=1,
        le=10_000,
        description="Pages and images of one file whose text is recognized.",
    )
    max_s: float = Field(
        default=200.0,
        gt=0,
        le=86_400,
        description="No page of a file begins so many seconds after its first one; later ones are counted.",
    )
    max_pixels: int = Field(
        default=80_000_000, ge=1_000_000, le=PILLOW_MAX_PIXELS, description="A larger image is not read."
    )
    min_confidence: float = Field(
        default=0.85, ge=0, le=1, description="A line that is recognized with less confidence counts as unsure."
    )

    @property
    def problem(self) -> str:
        """Why nothing is recognized, and what to do; "" if text is recognized."""
        if not self.enabled:
            return "recognition of text (OCR) is switched off; set args.ocr to true, or upload the text"
        missing = [] if find_spec(PACKAGE) else [PACKAGE]
        missing += [] if any(map(find_spec, ENGINES)) else [ENGINES[-1]]
        return f"OCR needs packages that are not installed: pip install {' '.join(missing)}" if missing else ""
