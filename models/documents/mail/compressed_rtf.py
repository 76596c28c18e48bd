"""Unpacks the rich text of Outlook messages. Source: MS-OXRTFCP."""

import struct

HEAD = struct.Struct("<IIII")  # size of what follows, size when unpacked, kind, checksum
PACKED, PLAIN = 0x75465A4C, 0x414C454D
DICTIONARY = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript "
    b"\\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par "
    b"\\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)
WINDOW = 4096
MAX_UNPACKED_BYTES = 64 * 2**20


def decompress(content: bytes) -> bytes:
    """The RTF; empty for content that is none, or broken."""
    if len(content) < HEAD.size:
        return b""
    _, size, kind, _ = HEAD.unpack_from(content)
    if kind == PLAIN:
        return content[HEAD.size : HEAD.size + size]
    return _unpacked(content[HEAD.size :], min(size, MAX_UNPACKED_BYTES)) if kind == PACKED else b""


def _unpacked(packed: bytes, size: int) -> bytes:
    """Bytes as they are, and copies (place, length) from a window of the last 4,096 ones."""
    window = bytearray(DICTIONARY.ljust(WINDOW, b"\0"))
    end = len(DICTIONARY)
    text = bytearray()
    position = 0
    while position < len(packed) and len(text) < size:
        control = packed[position]
        position += 1
        for bit in range(8):
            is_copy = control >> bit & 1
            token = packed[position : position + 1 + is_copy]
            if len(token) < 1 + is_copy:
                return bytes(text)
            position += 1 + is_copy
            piece = token
            if is_copy:
                place, length = token[0] << 4 | token[1] >> 4, (token[1] & 15) + 2
                if place == end % WINDOW:
                    return bytes(text)
                piece = b""
                for offset in range(length):
                    byte = window[(place + offset) % WINDOW]
                    window[end % WINDOW] = byte
                    end += 1
                    text.append(byte)
            else:
                window[end % WINDOW] = token[0]
                end += 1
                text += piece
    return bytes(text)
