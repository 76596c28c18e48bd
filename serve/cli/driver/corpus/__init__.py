"""A large corpus for benchmarks: the documents of question sets, and passages mixed from them, with their vectors."""
