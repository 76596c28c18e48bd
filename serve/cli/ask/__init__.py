"""`ragserve ask`: one question, its answer and its citations."""
