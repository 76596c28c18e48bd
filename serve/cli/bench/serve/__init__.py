"""`ragserve bench serve`: the service as customers use it: a large corpus, unseen questions, many clients."""
