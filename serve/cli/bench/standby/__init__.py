"""`ragserve bench standby`: a primary that dies, and the standby that takes over."""
