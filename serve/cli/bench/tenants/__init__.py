"""`ragserve bench tenants`: what one tenant's flood costs another tenant."""
