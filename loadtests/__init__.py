"""Load tests with Locust: `make load`. Start at locustfile.py."""
