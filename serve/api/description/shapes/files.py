"""Uploaded files and their versions."""

from typing import Literal

from pydantic import Field

from serve.api.description.shapes.base import ListShape, Shape


class FileObject(Shape):
    """A stored file."""

    id: str
    object: Literal["file"]
    bytes: int
    created_at: int = Field(description="Unix seconds.")
    expires_at: int | None = Field(default=None, description="Unix seconds; left out if it never expires.")
    filename: str
    purpose: str
    status: Literal["processed"]
    version: int = Field(description="Counts the contents of the file, from 1.")
    sha256: str


class FileList(ListShape):
    data: list[FileObject]


class FileVersionObject(Shape):
    """A version of a file."""

    object: Literal["file.version"]
    file_id: str
    version: int = Field(description="Counts the contents of the file, from 1.")
    filename: str
    bytes: int
    sha256: str
    replaced_at: int | None = Field(description="Unix seconds; null: it is the newest.")


class FileVersionList(Shape):
    object: Literal["list"]
    data: list[FileVersionObject]
    has_more: Literal[False]
