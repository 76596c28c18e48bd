"""A question set with every kind of turn, small enough to check by hand."""

import json
from pathlib import Path

DOCUMENTS = {
    "mill": ("Mill", "The mill grinds rye at night. Its wheel has forty blades."),
    "dam": ("Dam", "The dam was finished in 1931. It is 85 metres high."),
    "fair": ("Fair", "The autumn fair opens on the first Sunday of October. Entry is free for children."),
}
QUERIES = [
    {"_id": "q1", "text": "When does the mill grind rye?", "answers": ["at night"]},
    {"_id": "q2", "text": "How high is the dam?", "gold_sentences": ["It is 85 metres high ."], "answer": "85 metres"},
    {
        "_id": "q3",
        "text": "How many blades does it have?",
        "answers": ["forty blades"],
        "messages": [
            {"role": "user", "content": "What does the mill's wheel do?"},
            {"role": "assistant", "content": "It turns."},
            {"role": "user", "content": "How many blades does it have?"},
        ],
    },
    {"_id": "q4", "text": "Which opera did Janacek write in 1904?", "answerability": "UNANSWERABLE"},
    {"_id": "q5", "text": "Merci!", "answerability": "CONVERSATIONAL"},
    {"_id": "q6", "text": "And that?", "answerability": "UNDERSPECIFIED"},
]
QRELS = [("q1", "mill"), ("q2", "dam"), ("q3", "mill")]


def write_answer_set(folder: Path) -> Path:
    """Write the sample in BEIR's layout."""
    folder.mkdir(parents=True)
    corpus = [{"_id": key, "title": title, "text": text} for key, (title, text) in DOCUMENTS.items()]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in corpus))
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUERIES))
    rows = ["query-id\tcorpus-id\tscore", *(f"{query}\t{document}\t1" for query, document in QRELS)]
    (folder / "qrels.tsv").write_text("\n".join(rows) + "\n")
    return folder
