"""`ragserve eval figures`: whether the numbers of an answer stand in the passages that are found."""
