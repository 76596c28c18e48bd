"""Image files as arrays that the recognizer reads: bounded, upright, without transparency."""

import io
import struct
import warnings
import zlib

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from models.errors.requests import UnreadableDocumentError

Pixels = NDArray[np.uint8]  # (height, width, 3), in the order blue, green, red

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "MPO")  # MPO: a JPEG photo with a preview
MAX_SIDE = 2048  # an A4 page has 175 dpi then; twice as many read no better and take four times as long
STEP = 256  # of both sides: the detector's engine needs memory for each size that it meets
MIN_RATIO = 0.25  # of the shorter side to the longer one; the detector enlarges the shorter side
BROKEN = (
    *(OSError, ValueError, SyntaxError, EOFError, KeyError, TypeError, IndexError, AttributeError, RuntimeError),
    *(struct.error, zlib.error, OverflowError, ZeroDivisionError, Image.DecompressionBombWarning),
)


def open_image(content: bytes, filename: str, max_pixels: int) -> Image.Image:
    """The image, not yet decoded. Raises UnreadableDocumentError for a broken or giant one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a large image; our own limit decides
            image = Image.open(io.BytesIO(content), formats=FORMATS)
            check_size(image, filename, max_pixels)
            return image
    except Image.DecompressionBombError as error:
        raise _too_large(filename, "", max_pixels) from error
    except BROKEN as error:
        raise broken(filename, error) from error


def check_size(image: Image.Image, filename: str, max_pixels: int) -> None:
    """Raises UnreadableDocumentError for an image of more pixels than allowed, before they are decoded."""
    if image.width * image.height > max_pixels:
        raise _too_large(filename, f"{image.width:,} x {image.height:,} pixels; ", max_pixels)


def num_pages(image: Image.Image, filename: str) -> int:
    """The number of pages: a TIFF file may have several. Raises UnreadableDocumentError."""
    try:
        return int(getattr(image, "n_frames", 1)) if image.format == "TIFF" else 1
    except BROKEN as error:
        raise broken(filename, error) from error


def read_page(image: Image.Image, number: int, filename: str, max_pixels: int) -> Pixels:
    """A page of an image. Raises UnreadableDocumentError."""
    try:
        if number:
            image.seek(number)
        check_size(image, filename, max_pixels)
        return to_pixels(image)
    except BROKEN as error:
        raise broken(filename, error) from error


def to_pixels(image: Image.Image) -> Pixels:
    """The image at the size that the recognizer reads best, upright."""
    image.draft("RGB", (MAX_SIDE, MAX_SIDE))  # a JPEG image is decoded at a fraction of its size
    if image.mode.startswith(("I", "F")):
        image = _grey(image)
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode == "P":
        image = image.convert("RGBA" if "transparency" in image.info else "RGB")
    factor = max(image.width, image.height) // (2 * MAX_SIDE)
    if factor > 1 and image.mode not in ("P", "PA"):
        exif = image.getexif()
        image = image.reduce(factor)
        image.info["exif"] = exif.tobytes()
    upright = ImageOps.exif_transpose(image)
    upright.thumbnail((MAX_SIDE, MAX_SIDE))
    return with_margins(np.ascontiguousarray(_opaque(upright)[:, :, ::-1]))


def with_margins(pixels: Pixels) -> Pixels:
    """The pixels with white at the right and at the bottom, so that images have few different sizes.

    Nor is an image very narrow or flat then: the detector would enlarge it without bound.
    """
    height, width = pixels.shape[:2]
    rows = _next_step(max(height, int(MIN_RATIO * width))) - height
    columns = _next_step(max(width, int(MIN_RATIO * height))) - width
    return np.pad(pixels, ((0, rows), (0, columns), (0, 0)), constant_values=255)


def _next_step(size: int) -> int:
    return -(-size // STEP) * STEP


def _grey(image: Image.Image) -> Image.Image:
    """An image of 16 or 32 bits a pixel as one of 8."""
    values = np.asarray(image, dtype=np.float32)
    low, high = float(values.min()), float(values.max())
    scaled = (values - low) * (255.0 / (high - low)) if high > low else np.full_like(values, 255.0)
    return Image.fromarray(scaled.astype(np.uint8))


def _opaque(image: Image.Image) -> Pixels:
    """The colours, on a background that contrasts with what is drawn where the image is transparent."""
    if "A" not in image.getbands():
        return np.asarray(image.convert("RGB"))
    rgba = np.asarray(image.convert("RGBA"), dtype=np.float32)
    colours, alpha = rgba[:, :, :3], rgba[:, :, 3:] / 255.0
    drawn = colours[alpha[:, :, 0] > 0.5]
    background = 0.0 if drawn.size and float(drawn.mean()) > 127 and float(alpha.mean()) < 0.999 else 255.0
    blended: Pixels = (colours * alpha + background * (1.0 - alpha)).astype(np.uint8)
    return blended


def broken(filename: str, error: Exception) -> UnreadableDocumentError:
    """The error for an image that cannot be decoded."""
    detail = f"not a readable image ({type(error).__name__}), or cut short; save it again"
    return UnreadableDocumentError(filename, "invalid_file", detail)


def _too_large(filename: str, size: str, max_pixels: int) -> UnreadableDocumentError:
    detail = f"{size}an image of more than {max_pixels:,} pixels is not read; scale it down"
    return UnreadableDocumentError(filename, "invalid_file", detail)
