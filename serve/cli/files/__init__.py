"""`ragserve files`: delete and update the files of a vector store by their attributes."""
