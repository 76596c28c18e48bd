"""`ragserve check-config`: the deployment file, checked before it is deployed."""
