"""`ragserve bench plan`: predictions of `ragserve plan` against runs."""
