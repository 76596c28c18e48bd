"""Large and hostile files through the running service: each becomes searchable or one clear error."""

from pathlib import Path

import pytest

from serve.cli.remote import IngestedFile, RemoteService
from tests.conftest import Service
from tests.hostile.files import docx_with_photo, pdf_form_that_draws_itself

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def ingest(service: Service, path: Path, content: bytes) -> IngestedFile:
    path.write_bytes(content)
    with RemoteService(service.url, timeout_s=120) as remote:
        return remote.ingest(path, path.name, "default")[1]


def test_a_word_file_with_a_photo_of_9_mb_is_searchable(service: Service, tmp_path: Path) -> None:
    photo = docx_with_photo("The lighthouse keeper paints the gallery every April.", 9 * 1024**2)

    assert ingest(service, tmp_path / "photo.docx", photo).status == "completed"


def test_text_and_chunks_of_over_4_mb_travel_between_stages(changing: Service, tmp_path: Path) -> None:
    # A stand-in embeds it: MiniLM takes a minute and a half for it on two cores.
    changing.deployment("Embedder")["user_config"] = {"model": "hashing-256"}
    changing.deployment("Parser")["user_config"] |= {"chunk_max_tokens": 2048}
    changing.apply()
    book = "".join(f"Chapter {number}.\n\n{'The keeper lights the lamp at dusk. ' * 500}\n\n" for number in range(250))

    result = ingest(changing, tmp_path / "book.txt", book.encode())

    assert len(book) > 4 * 1024**2
    assert result.status == "completed", result.error


def test_a_pdf_that_draws_itself_fails_once_and_says_why(changing: Service, tmp_path: Path) -> None:
    changing.deployment("Parser")["user_config"] |= {"max_memory_mb": 512}
    changing.apply()

    hostile = ingest(changing, tmp_path / "form.pdf", pdf_form_that_draws_itself())
    harmless = ingest(changing, tmp_path / "lamp.md", b"# Lamp\n\nThe lamp turns once in ten seconds.\n")

    assert hostile.status == "failed"
    assert "more than 512 MiB of memory" in (hostile.error or "")
    assert harmless.status == "completed"
