"""Results, citations and annotations say on which page, row or line their text stands."""

import httpx
import openai

from tests.models.documents.document_files import make_pdf, text_at
from tests.serve.api.api_samples import ingest_file

PAGES = [
    "The harbour opens at dawn in summer.",
    "The orchard sells apples and pears.",
    "The mill grinds rye in winter.",
]
PAGE_2 = {"page": 2, "last_page": 2, "label": "page 2"}
QUESTION = "What does the orchard sell?"


async def ingest_manual(client: openai.AsyncOpenAI) -> str:
    """A PDF whose three short pages are one chunk."""
    return await ingest_file(client, "manual.pdf", make_pdf([text_at(72, 600, line) for line in PAGES]), "default")


async def test_a_citation_names_the_page_of_its_quote(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    await ingest_manual(client)

    native = (await http.post("/v1/query", json={"query": QUESTION})).json()
    chat = await client.chat.completions.create(model="ragserve", messages=[{"role": "user", "content": QUESTION}])

    assert PAGES[1] in native["answer"]
    for citations in (native["citations"], chat.citations):
        assert [citation["location"] for citation in citations if citation["quote"] == PAGES[1]] == [PAGE_2]
    annotated = chat.choices[0].message.annotations or []
    assert PAGE_2 in [annotation.url_citation.location for annotation in annotated]
    assert native["passages"][0]["location"] == {"page": 1, "last_page": 3, "label": "pages 1-3"}


async def test_a_result_of_a_search_names_its_pages(client: openai.AsyncOpenAI, http: httpx.AsyncClient) -> None:
    file_id = await ingest_manual(client)
    await ingest_file(client, "word.html", b"<p>Apples have no page here.</p>", "default")

    page = await client.vector_stores.search("default", query="apples")
    content = await client.vector_stores.files.content(file_id, vector_store_id="default")

    pages = {"page": 1, "last_page": 3, "label": "pages 1-3"}
    locations = {result.filename: result.content[0].location for result in page.data}
    assert locations == {"manual.pdf": pages, "word.html": None}
    assert [chunk.location for chunk in content.data] == [pages]
