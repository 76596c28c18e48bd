"""`ragserve bench peers`: the whole query path against Haystack and LangChain services."""
