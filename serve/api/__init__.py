"""One router a resource, its request and response models beside it. Only errors.py knows status codes."""
