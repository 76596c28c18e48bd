"""Large and hostile files through the running service: each becomes searchable or one clear error."""

from pathlib import Path

import pytest
from openai import OpenAI

from serve.cli.remote import IngestedFile, RemoteService
from tests.conftest import Service
from tests.hostile.files import docx_with_photo, pdf_form_that_draws_itself, pdf_page_that_unpacks
from tests.patience import PATIENCE_S

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def ingest(service: Service, path: Path, content: bytes) -> IngestedFile:
    path.write_bytes(content)
    with RemoteService(service.url, timeout_s=PATIENCE_S) as remote:
        return remote.ingest(path, path.name, "default")[1]


def test_a_word_file_with_a_photo_of_9_mb_is_searchable(service: Service, tmp_path: Path) -> None:
    photo = docx_with_photo("The lighthouse keeper paints the gallery every April.", 9 * 1024**2)

    assert ingest(service, tmp_path / "photo.docx", photo).status == "completed"


def test_text_and_chunks_of_over_4_mb_travel_between_stages(service: Service) -> None:
    # Few, large chunks, in a store of its own that goes afterwards: embedding takes most of the time.
    chunking = {"type": "static", "static": {"max_chunk_size_tokens": 4096, "chunk_overlap_tokens": 0}}
    book = "".join(f"Chapter {number}.\n\n{'The keeper lights the lamp at dusk. ' * 500}\n\n" for number in range(250))

    with OpenAI(base_url=f"{service.url}/v1", api_key="unused", timeout=PATIENCE_S) as client:
        store = client.vector_stores.create(name="books")
        file = client.files.create(file=("book.txt", book.encode()), purpose="assistants")
        attached = client.vector_stores.files.create_and_poll(
            file.id, vector_store_id=store.id, chunking_strategy=chunking
        )
        client.files.delete(file.id)
        client.vector_stores.delete(store.id)

    assert len(book) > 4 * 1024**2
    assert attached.status == "completed", attached.last_error


def test_hostile_pdfs_fail_once_and_say_why(changing: Service, tmp_path: Path) -> None:
    changing.deployment("Parser")["user_config"] |= {"max_memory_mb": 512}
    changing.apply()

    drawn = ingest(changing, tmp_path / "form.pdf", pdf_form_that_draws_itself())
    hostile = ingest(changing, tmp_path / "texts.pdf", pdf_page_that_unpacks())
    harmless = ingest(changing, tmp_path / "lamp.md", b"# Lamp\n\nThe lamp turns once in ten seconds.\n")

    assert (drawn.status, hostile.status) == ("failed", "failed")
    assert "draw each other without end" in (drawn.error or "")
    assert "more than 512 MiB of memory" in (hostile.error or "")
    assert harmless.status == "completed"
