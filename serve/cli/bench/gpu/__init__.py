"""`ragserve bench gpu`: the rows of `bench models` on CUDA."""
